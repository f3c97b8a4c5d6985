"""Memory and time of merging an adapter into a model of 135 million parameters, and of writing the model as GGUF.

    python -m tests.benchmarks.export_memory [--kinds merged-bfloat16 Q8_0 ...] [--numbers bfloat16]

Prints one JSON object a kind: the most resident memory of the process, and of those that it started (megabytes), what
it may be at most (1.5 times the size of the model, as it is or, merged, as it will be, whichever is larger, plus 500),
and the seconds. `merged-nf4` merges into what 4 bits stand for. The model has SmolLM's shape and random
weights. It is made, and each kind is written, in a process of its own: what starts one hands its own peak down to it.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from studio.runs.exports import NUMBERS

KINDS = (*(f"merged-{kind}" for kind in (*NUMBERS["merged"], "nf4")), *NUMBERS["gguf"])


def make_model(folder: Path, numbers: str) -> None:
    """A model folder; what it takes is not measured."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.tiny import tiny_tokenizer

    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).to(getattr(torch, numbers)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(LlamaForCausalLM(config), lora).save_pretrained(str(folder / "adapter"))


def merge_into(folder: Path, kind: str, target: Path) -> int:
    """Bytes of the merged model."""
    from studio.export.merged import merge
    from studio.models.catalog import find_files
    from studio.models.loading import read_tokenizer
    from studio.settings import Settings

    files = find_files(str(folder), Settings(workspace=target, offline=True))
    tokenizer = read_tokenizer("benchmark", folder).tokenizer
    numbers, held = ("bfloat16", "float32") if kind == "nf4" else (kind, None)
    merge(files, folder / "adapter", tokenizer, target / "merged", numbers, stops=(1,), held=held)
    return sum(path.stat().st_size for path in (target / "merged").glob("*.safetensors"))


def measure(folder: Path, kind: str) -> None:
    """One kind, in a process of its own."""
    from studio.export.gguf_model import write_gguf

    model = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as target:
        if kind.startswith("merged-"):
            size = merge_into(folder, kind.removeprefix("merged-"), Path(target))
            model = max(model, size)
        else:
            size = write_gguf(folder, Path(target) / "model.gguf", kind, name="benchmark").size
    seconds = time.perf_counter() - began
    told = {
        "kind": kind,
        "model_mb": model // 2**20,
        "file_mb": size // 2**20,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "peak_started_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "allowed_mb": int(1.5 * model / 2**20) + 500,
        "seconds": round(seconds, 1),
    }
    print(json.dumps(told), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--numbers", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make is not None:
        make_model(options.make, options.numbers)
    elif options.measure is not None:
        measure(options.measure, options.kinds[0])
    else:
        with tempfile.TemporaryDirectory() as folder:
            again = [sys.executable, "-m", __spec__.name, "--numbers", options.numbers]
            subprocess.run([*again, "--make", folder], check=True)
            for kind in options.kinds:
                subprocess.run([*again, "--measure", folder, "--kinds", kind], check=True)


if __name__ == "__main__":
    main()
