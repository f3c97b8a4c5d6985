"""Documents with new tokens, then answers: compared beside a base that knows none of them, and exported with them."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.chain import Next
from studio.backend.studio import Studio
from studio.data.records import Message
from studio.errors import InputError
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings
from tests.backend.asked import Sides, beside_base, last
from tests.tiny import save_tiny

QUICK = {
    "training.epochs": 2, "training.batch_size": 4, "training.evaluations": 1, "training.learning_rate": 0.02,
    "tuner.rank": 2, "tuner.alpha": 4, "tuner.dropout": 0, "data.max_length": 64, "training.patience": 0,
    "data.split.validation_share": 0.2,
}  # fmt: skip
PROMPT = (Message("user", "what of the myocardium 3?"),)


class Place:
    def __init__(self, folder: Path) -> None:
        self.studio = Studio(Settings(workspace=folder / "w"), worker=False)
        self.model = save_tiny(folder / "tiny", tied=False)
        text = folder / "text.txt"
        text.write_text("\n\n".join(f"The myocardium {i} is a muscle." for i in range(24)), encoding="utf-8")
        rows = folder / "rows.jsonl"
        asked = [{"prompt": f"what of the myocardium {i}?", "completion": "a muscle"} for i in range(12)]
        rows.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
        self.text, self.rows = (self.studio.datasets.import_file(file).id for file in (text, rows))

    def spec(self, method: str, data: str, **changes: object) -> RunSpec:
        paths = {path.replace("__", "."): value for path, value in changes.items()}
        base = {"model.source": str(self.model), "data.version": data, "method.kind": method}
        return with_changes(RunSpec(), {**QUICK, **base, **paths})

    def train(self, spec: RunSpec, name: str) -> str:
        run = self.studio.runner.submit(spec, name).id
        ended = self.studio.runner.run_now(run)
        assert ended.status == "done", (ended.key, ended.values)
        return run

    def answers(self, run: str) -> Sides:
        return last(self.studio, beside_base(self.studio, run, turns=PROMPT, max_new_tokens=12))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("tokens"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def chain(place: Place) -> dict[str, str]:
    """Documents with new tokens, answers on top; and a run that has none of them."""
    read = place.train(place.spec("cpt", place.text, method__new_tokens=10), "read")
    following = place.studio.next_run(Next("sft", read), place.rows)
    answers = place.train(with_changes(following, QUICK), "answers")
    return {"cpt": read, "sft": answers, "plain": place.train(place.spec("sft", place.rows), "plain")}


def test_the_base_answers_as_beside_any_other_run(place: Place, chain: dict[str, str]) -> None:
    """It reads and writes its own tokens, though its embedding has rows for the others."""
    beside = place.answers(chain["plain"])
    for name in ("cpt", "sft", "plain", "sft"):
        update = place.answers(chain[name])
        assert update.base.text == beside.base.text
        assert update.done
        assert update.identical is False
    assert place.answers(chain["sft"]).tuned.adapter_sha256 != place.answers(chain["cpt"]).tuned.adapter_sha256


@pytest.mark.parametrize("name", ["cpt", "sft"])
def test_the_export_is_proven_with_its_tokens(name: str, place: Place, chain: dict[str, str], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    export = place.studio.exports.make(chain[name])
    assert export.proof.passed
    with zipfile.ZipFile(export.path) as archive:
        archive.extractall(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer.get_vocab()) == 271
    assert "resize_token_embeddings(271" in (tmp_path / "README.md").read_text(encoding="utf-8")
    plain = zipfile.ZipFile(place.studio.exports.make(chain["plain"]).path)
    assert "resize_token_embeddings" not in plain.read("README.md").decode()


def test_all_weights_with_new_tokens_are_compared_and_exported(place: Place, chain: dict[str, str]) -> None:
    full = {"tuner.kind": "full", "training.learning_rate": 0.01}
    spec = with_changes(place.spec("cpt", place.text, method__new_tokens=10), full)
    run = place.train(spec, "all of it")
    assert place.answers(run).base.text == place.answers(chain["plain"]).base.text
    assert place.studio.exports.make(run).proof.passed


def test_the_estimate_counts_in_the_new_tokens(place: Place, chain: dict[str, str]) -> None:
    plain = place.studio.estimate(place.spec("cpt", place.text))
    told = place.studio.estimate(place.spec("cpt", place.text, method__new_tokens=10))
    assert told.new_tokens is not None
    assert len(told.new_tokens) == 10
    assert told.tokens < 0.8 * plain.tokens
    assert told.trainable_parameters == plain.trainable_parameters + 2 * 10 * 32
    spec = place.studio.runner.record(chain["sft"]).spec
    assert place.studio.estimate(spec).new_tokens == place.studio.estimate(spec).new_tokens is not None
    record = place.studio.runner.state(chain["cpt"]).started
    assert record is not None
    assert record.trainable_parameters == told.trainable_parameters


def test_a_judge_of_other_tokens_is_refused_at_once(place: Place, chain: dict[str, str], tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"and {i}?", "chosen": f"{i} yes", "rejected": "no"} for i in range(12)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = place.studio.datasets.import_file(pairs).id
    judge = place.studio.runner.submit(place.spec("reward", data), "judge").id
    following = place.studio.next_run(Next("rloo", chain["sft"], judge), data)
    with pytest.raises(InputError, match="other tokens"):
        place.studio.runner.submit(following)
    place.studio.runner.cancel(judge)
