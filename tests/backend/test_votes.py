"""Votes and rewritten answers become data; a comparison is kept, opened again and written to a file."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.compare import CompareRequest
from studio.backend.comparisons import prompts_of
from studio.backend.studio import Studio
from studio.backend.talks import Seat, Talk, Turn
from studio.backend.votes import user_name
from studio.data.formats import convert
from studio.data.records import Message, Preference, Rated
from studio.errors import InputError, WorkspaceError
from studio.runs.contestants import Contestant
from studio.runs.spec import ModelSpec
from studio.runs.votes import Answered
from studio.settings import Settings
from tests.backend.made import Made, make, save_models

BASE = Contestant(base=ModelSpec())


def asked(text: str = "By card?") -> tuple[Message, ...]:
    return (Message("user", text),)


def answers(*texts: str, prompted: bool = False) -> list[Answered]:
    who = [Contestant(base=ModelSpec(), run=f"run-{n}" if n else "", system="Be kind." * prompted) for n in range(4)]
    return [Answered(contestant=who[n], name=f"name {n}", text=text) for n, text in enumerate(texts)]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path / "workspace"), worker=False) as opened:
        yield opened


def records(studio: Studio, version: str) -> list[Any]:
    found = studio.datasets.version(version)
    return [convert(row, found.mapped()) for row in studio.datasets.table(version).read()]


def test_votes_become_pairs_that_dpo_learns_from(studio: Studio) -> None:
    cast = studio.votes.cast
    cast(asked(), answers("No.", "Of course."), "best", 1, who=" Mika ", note="kinder", blind=True)
    cast(asked("Late?"), answers("a", "b", "c"), "best", 0)
    cast(asked("Edit?"), answers("teh", "x"), "edit", 0, edited="the")
    cast(asked(), answers("a", "b"), "tie")
    cast(asked(), answers("a", "b"), "bad")
    cast(asked(), answers("same", "same"), "best", 0)
    cast(asked(), answers("a", "b"), "best", 0, same_question=False)
    made = studio.votes.make_set("My votes")
    assert (made.rows, made.undecided, made.apart, made.alike) == (4, 2, 1, 1)
    assert records(studio, made.version.id) == [
        Preference(asked(text), (Message("assistant", good),), (Message("assistant", bad),))
        for text, good, bad in [
            ("By card?", "Of course.", "No."), ("Late?", "a", "b"), ("Late?", "a", "c"), ("Edit?", "the", "teh"),
        ]
    ]  # fmt: skip
    assert {"dpo", "orpo", "reward", "kto"} <= set(studio.datasets.methods(made.version.id))
    assert studio.datasets.natural_method(made.version.id) == "dpo"
    first, *_, last = (row.values for row in studio.datasets.table(made.version.id).read())
    assert (first["who"], first["note"], first["blind"]) == ("Mika", "kinder", True)
    assert (first["chosen_by"], first["rejected_by"], first["when"][:2]) == ("name 1", "name 0", "20")
    assert (last["who"], last["chosen_by"], last["rejected_by"]) == (user_name(), user_name(), "name 0")


def test_each_set_is_a_version_of_the_same_data(studio: Studio) -> None:
    vote = studio.votes.cast(asked(), answers("a", "b"), "best", 1)
    first = studio.votes.make_set("My votes").version
    assert studio.votes.make_set("My votes").version == first  # nothing new was said
    studio.votes.cast(asked(), answers("a", "b"), "best", 0, vote=vote.id)  # another mind
    second = studio.votes.make_set("My votes").version
    assert (second.dataset, second.number, second.rows) == (first.dataset, 2, 1)
    assert records(studio, second.id)[0].chosen[0].content == "a"
    assert records(studio, first.id)[0].chosen[0].content == "b"
    studio.votes.withdraw(vote.id)
    with pytest.raises(InputError) as caught:
        studio.votes.make_set("My votes")
    assert caught.value.key == "error.vote.no_pairs"


def test_a_system_message_or_earlier_turns_make_the_prompt_a_conversation(studio: Studio) -> None:
    talk = (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello"), *asked())
    studio.votes.cast(talk, answers("a", "b", prompted=True), "best", 1)
    studio.votes.cast(asked("Alone?"), answers("c", "d"), "best", 0)
    made = studio.votes.make_set("My votes")
    found = records(studio, made.version.id)
    assert [record.prompt for record in found] == [talk, asked("Alone?")]
    assert next(studio.datasets.table(made.version.id).read()).values["chosen_by"] == "name 1 (+ prompt)"


@pytest.mark.parametrize(("method", "kind"), [("dpo", "pairs"), ("reward", "pairs"), ("kto", "thumbs")])
def test_what_votes_made_stands_in_no_way_of_a_run(studio: Studio, method: str, kind: Any) -> None:
    for number in range(10):
        studio.votes.cast(asked(f"Question {number}?"), answers("Yes.", "No, I am sorry."), "best", number % 2)
    made = studio.votes.make_set("My votes", kind)
    assert studio.problems(studio.default_spec(made.version.id, method=method)) == []


def test_thumbs_hold_what_pairs_cannot(studio: Studio) -> None:
    studio.votes.cast(asked(), answers("a", "b"), "bad")
    studio.votes.cast(asked(), answers("c", "d"), "best", 1)
    studio.votes.cast(asked(), answers("e", "f"), "edit", 0, edited="E")
    studio.votes.cast(asked(), answers("g", "h"), "tie")
    made = studio.votes.make_set("My thumbs", "thumbs")
    found = records(studio, made.version.id)
    assert all(isinstance(record, Rated) for record in found)
    assert [(record.completion[0].content, record.label) for record in found] == [
        ("a", False), ("b", False), ("c", False), ("d", True), ("E", True), ("e", False),
    ]  # fmt: skip
    assert studio.datasets.natural_method(made.version.id) == "kto"
    assert studio.votes.make_set("My votes").version.dataset != made.version.dataset


def test_a_vote_that_says_nothing_is_refused(studio: Studio) -> None:
    for verdict, column, more in (
        ("best", None, {}), ("best", 2, {}), ("tie", 0, {}), ("edit", 0, {}), ("edit", 0, {"edited": " "}),
        ("best", 0, {"edited": "x"}), ("best", 0, {"note": "x" * 6000}),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            studio.votes.cast(asked(), answers("a", "b"), verdict, column, **more)  # type: ignore[arg-type]
        assert caught.value.key == "error.vote.unfit"
    with pytest.raises(InputError):
        studio.votes.cast(asked(), answers("a"), "tie")
    assert studio.votes.all() == []


def test_a_reader_casts_no_vote(studio: Studio) -> None:
    with Studio(studio.settings, read_only=True, worker=False) as reader, pytest.raises(WorkspaceError):
        reader.votes.cast(asked(), answers("a", "b"), "tie")


# With models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("votes")
    made = make(folder, save_models(folder / "models"))
    yield made
    made.studio.close()


def seats(made: Made, *runs: str) -> tuple[Seat, ...]:
    tuned = [made.studio.compare.beside_base(run)[1] for run in runs]
    base = Contestant(base=tuned[0].base)
    return (Seat(base, "llama"), *(Seat(one, "llama", "Mine") for one in tuned))


def ask(made: Made, talk: Talk, *prompts: str, **options: Any) -> Talk:
    request = CompareRequest((), temperature=1.0, max_new_tokens=6, **options)
    return list(made.studio.comparisons.ask_all(talk, [Turn(text) for text in prompts], request))[-1]


def test_votes_on_a_deleted_run_stay_and_say_so(made: Made) -> None:
    runs = [made.run(name="Kept"), made.run(name="Gone")]
    talk = ask(made, Talk(seats(made, *runs)), "One?", "Two?")
    talk = made.studio.comparisons.vote(talk, 0, "best", 2)
    talk = made.studio.comparisons.vote(talk, 1, "tie")
    saved = made.studio.comparisons.save(talk, "")
    made.studio.store.delete_run(runs[1])
    found = {row.name: row for row in made.studio.votes.standings().rows}
    assert [found[name].deleted for name in ("llama", "Kept", "Gone")] == [False, False, True]
    # Of the first vote it is not known which of the two others is better.
    assert [found[name].win_rate.rate for name in ("llama", "Kept", "Gone")] == [1 / 3, 1 / 3, 0.75]
    assert made.studio.votes.standings().rows[0].name == "Gone"
    assert all(row.rating for row in found.values())  # three contestants
    assert made.studio.comparisons.open(saved.id).seats[2].contestant.run == runs[1]
    with pytest.raises(InputError) as caught:
        list(made.studio.compare.stream(CompareRequest(())))
    again = ask(made, Talk(talk.seats), "Three?")
    assert again.turns[-1].failure is not None
    assert again.turns[-1].failure.key == "error.run.unknown"
    with pytest.raises(InputError) as caught:
        made.studio.comparisons.vote(again, 0, "tie")
    assert caught.value.key == "error.vote.no_answer"
    assert made.studio.votes.make_set("My votes").rows == 1  # both runs say the same


def test_another_mind_replaces_the_vote_and_undo_takes_it_back(made: Made) -> None:
    comparisons, count = made.studio.comparisons, len(made.studio.votes.all())
    talk = comparisons.vote(ask(made, Talk(seats(made, made.run())), "One?"), 0, "best", 1)
    talk = comparisons.vote(talk, 0, "edit", 0, edited="rewritten")
    talk = comparisons.vote(talk, 0, "bad", note="both")
    last = made.studio.votes.all()[count:]
    assert sorted((vote.verdict, vote.note) for vote in last) == [("bad", "both"), ("edit", "")]
    talk = comparisons.withdraw(talk, 0)
    assert talk.turns[0].vote is None
    assert [vote.verdict for vote in made.studio.votes.all()[count:]] == ["edit"]


def test_a_comparison_is_opened_as_it_was_saved(made: Made) -> None:
    talk = ask(made, Talk(seats(made, made.run())), "One?", "Two?", system="Be kind.")
    comparisons = made.studio.comparisons
    talk = comparisons.vote(talk, 0, "best", 1, note="good")
    talk = comparisons.vote(talk, 0, "edit", 0, edited="rewritten")
    saved = comparisons.save(talk, "  My   test ")
    assert comparisons.open(saved.id) == saved
    assert (saved.name, saved.turns) == ("My test", talk.turns)
    assert comparisons.save(saved, "Renamed").id == saved.id
    assert comparisons.saved()[0].name == "Renamed"
    vote = saved.turns[0].vote
    assert vote is not None
    made.studio.votes.withdraw(vote.id)
    assert comparisons.open(saved.id).turns[0].vote is None
    comparisons.delete(saved.id)
    with pytest.raises(InputError) as caught:
        comparisons.open(saved.id)
    assert caught.value.key == "error.comparison.unknown"
    with pytest.raises(InputError) as empty:
        comparisons.save(Talk(talk.seats), "x")
    assert empty.value.key == "error.comparison.empty"


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_what_is_written_to_a_file_opens_as_data(ending: str, made: Made) -> None:
    talk = ask(made, Talk(seats(made, made.run())), "=One?", "Two?")
    talk = made.studio.comparisons.vote(talk, 0, "best", 1)
    path = made.studio.comparisons.export(talk, ending)
    version = made.studio.datasets.import_file(path)
    assert version.rows == 4
    assert version.mapping is not None
    assert (version.mapping.prompt, version.mapping.answer) == ("prompt", "completion")
    rows = [row.values for row in made.studio.datasets.table(version.id).read()]
    assert [row["completion"] for row in rows] == [talk.turns[n // 2].answer(n % 2) for n in range(4)]
    assert [row["contestant"] for row in rows] == ["llama", "A run"] * 2


def test_a_set_of_prompts_goes_on_after_one_that_cannot_be_answered(made: Made) -> None:
    talk = ask(made, Talk(seats(made, made.run())), "One?", "long " * 200, "Two?", "One?")
    assert [turn.failure is None for turn in talk.turns] == [True, False, True, True]
    assert talk.turns[1].failure is not None
    assert talk.turns[1].failure.key == "error.compare.column_too_long"
    assert talk.turns[0].answer(1) == talk.turns[3].answer(1)  # each prompt stands alone
    assert all(talk.same_question(turn) for turn in talk.turns)


def test_a_set_of_prompts_stops_when_told(made: Made) -> None:
    stop = threading.Event()
    talks = made.studio.comparisons.ask_all(
        Talk(seats(made, made.run())), prompts_of("a\nb\nc"), CompareRequest((), max_new_tokens=2), stop
    )
    next(talks)
    stop.set()
    assert list(talks) == []
    for texts, key in (("", "no_prompts"), ("x\n" * 501, "many_prompts")):
        with pytest.raises(InputError) as caught:
            next(made.studio.comparisons.ask_all(Talk(), prompts_of(texts), CompareRequest(())))
        assert caught.value.key == f"error.comparison.{key}"


def test_prompts_are_a_line_each_or_between_blank_lines() -> None:
    assert [turn.prompt for turn in prompts_of("a\n b \n\n")] == ["a", "b"]
    assert [turn.prompt for turn in prompts_of("a\nb\n\nc")] == ["a\nb", "c"]


def test_later_turns_are_the_same_question_only_after_the_same_answers(made: Made) -> None:
    talk = ask(made, Talk(seats(made, made.run())), "One?")
    first = talk.turns[0]
    grown = talk.changed(0, alone=False)
    later = Turn("Two?")
    assert not grown.with_turn(later).same_question(later)
    assert [len(turns) for turns in grown.histories(later)] == [3, 3]
    assert talk.histories(later) == ((Message("user", "Two?"),),) * 2  # the first stood alone
    assert talk.same_question(first)


def test_the_record_is_plain_json(made: Made) -> None:
    talk = ask(made, Talk(seats(made, made.run())), "One?")
    saved = made.studio.comparisons.save(talk, "JSON")
    body = json.loads(made.studio.store.comparison(saved.id))
    assert body["turns"][0]["prompt"] == "One?"
