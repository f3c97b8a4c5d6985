"""The shipped starter knows its world: a sample of the exam, in phrasings it never learned."""

import random
from pathlib import Path

from studio.settings import read_settings
from studio.starter.exam import answers, load, score
from studio.starter.world import Question, exam

SAMPLE = 60


def test_a_score_counts_what_is_right_and_what_stops() -> None:
    green, red = (Question("colour", "en", "?", f"Grass is {key}.", key) for key in ("green", "red"))
    questions = [green, red]
    scores = score(questions, [("It is GREEN.", True), ("blue", False)])
    assert scores["en", "all"] == scores["en", "colour"]
    assert (scores["en", "all"].asked, scores["en", "all"].right, scores["en", "all"].stopped) == (2, 1, 1)


def test_the_shipped_starter_passes_its_exam(tmp_path: Path) -> None:
    model, tokenizer = load(read_settings(tmp_path).starter)
    rng = random.Random(1)
    by_language = {language: [q for q in exam() if q.language == language] for language in ("en", "ja")}
    questions = [q for asked in by_language.values() for q in rng.sample(asked, SAMPLE)]
    scores = score(questions, answers(model, tokenizer, questions))
    for language in ("en", "ja"):
        found = scores[language, "all"]
        assert found.share >= 0.9, f"{language}: {found.share:.0%} right"
        assert found.stopped / found.asked >= 0.9


def test_the_shipped_starter_is_small(tmp_path: Path) -> None:
    folder = read_settings(tmp_path).starter
    assert (folder / "model.safetensors").stat().st_size < 15_000_000
    assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pth", ".pkl")]
