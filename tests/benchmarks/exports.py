"""Whether exports equal the run: model by tuner by method by target, each with what its proof found.

    python -m tests.benchmarks.exports [--models starter llama ...] [--tuners LoRA ...] [--prompts 50]

Real runs of a few steps, each exported to every target and asked 50 prompts (of the 60 validation rows of a sample). A
line says which; `refused` is what was said before anything started. The starter answers the sample's questions; the
other models are random, but for stories260k, so that theirs are near-ties more often than not.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from studio.backend import Studio
from studio.errors import StudioError
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import with_changes
from tests.tiny import save_tiny

STORIES = Path(__file__).parents[3] / "shared" / "models" / "stories260k"
TUNERS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "rsLoRA": {"tuner.variant": "rslora"},
    "DoRA": {"tuner.variant": "dora"},
    "QLoRA": {"tuner.quantisation": "nf4"},
    "full": {"tuner.kind": "full"},
}
TARGETS = (
    ("adapter", ""), ("merged", "float32"), ("merged", "bfloat16"), ("gguf", "F16"), ("gguf", "Q8_0"),
    ("gguf", "Q4_K_M"), ("gguf-adapter", "F16"),
)  # fmt: skip
SAMPLES = Path(__file__).parents[2] / "assets" / "samples"


def sources(folder: Path, wanted: list[str]) -> Iterator[tuple[str, str]]:
    for name in wanted:
        if name == "starter":
            yield name, name
        elif name == "stories260k":
            if STORIES.is_dir():
                yield name, str(STORIES)
        else:
            yield name, str(save_tiny(folder / name, name))


def pairs(folder: Path) -> Path:
    """A better and a worse answer to each question."""
    import json

    lines = (SAMPLES / "support-en.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line)["messages"] for line in lines]
    texts = [(turns[-2]["content"], turns[-1]["content"]) for turns in rows]
    made = [{"prompt": q, "chosen": a, "rejected": texts[i - 1][1]} for i, (q, a) in enumerate(texts)]
    file = folder / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in made), encoding="utf-8")
    return file


def line(proof: Proof) -> str:
    run, other = proof.perplexity or (1.0, 1.0)
    error = "" if proof.weight_error is None else f", 4 bits off by {proof.weight_error:.1%}"
    return (
        f"{proof.equal}/{proof.prompts} equal, {proof.first_tokens:.1%} of first tokens, "
        f"perplexity {other / run - 1:+.2%}, {proof.rendered}/{proof.conversations} conversations{error}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ["starter", "llama", "gpt2", "qwen2", "stories260k"]
    parser.add_argument("--models", nargs="+", choices=every, default=every)
    parser.add_argument("--tuners", nargs="+", choices=list(TUNERS), default=list(TUNERS))
    parser.add_argument("--methods", nargs="+", choices=["sft", "dpo"], default=["sft", "dpo"])
    parser.add_argument("--prompts", type=int, default=50)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    with tempfile.TemporaryDirectory() as place, Studio.open(Path(place) / "workspace") as studio:
        data = {"sft": studio.import_data(SAMPLES / "support-en.jsonl"), "dpo": studio.import_data(pairs(Path(place)))}
        for name, source in sources(Path(place), options.models):
            for method in options.methods:
                for tuner in options.tuners if method == "sft" else ["LoRA"]:
                    changes = {"data.split.validation_share": 0.15, "training.evaluate": False, **TUNERS[tuner]}
                    kind = "full" if tuner == "full" else "lora"
                    spec = studio.default_spec(data[method].id, model=source, method=method, tuner=kind)
                    run = studio.train(with_changes(spec, changes), f"{name} {method} {tuner}")
                    for target, numbers in TARGETS:
                        show(studio, run.id, ExportSpec.model_validate(
                            {"target": target, "numbers": numbers, "prompts": options.prompts}
                        ), f"{name} | {method} | {tuner} | {target} {numbers}")  # fmt: skip


def show(studio: Studio, run: str, spec: ExportSpec, title: str) -> None:
    try:
        made = studio.exports.make(run, None, spec)
        print(f"{title} | {line(made.proof)} | {made.seconds:.0f} s, told {made.told_seconds:.0f} s", flush=True)
    except StudioError as error:
        print(f"{title} | refused: {error}", flush=True)


if __name__ == "__main__":
    main()
