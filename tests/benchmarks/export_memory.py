"""Memory and time of writing a model of 135 million parameters as GGUF, kind by kind.

    python -m tests.benchmarks.export_memory [--kinds Q8_0 Q4_K_M ...] [--numbers bfloat16]

Prints one JSON object a kind: the most resident memory of the process, and of those that it started (megabytes), what
it may be at most (1.5 times the model's size plus 500), and the seconds. The model has SmolLM's shape and random
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


def make_model(folder: Path, numbers: str) -> None:
    """A model folder; what it takes is not measured."""
    import torch
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


def measure(folder: Path, kind: str) -> None:
    """One kind, in a process of its own."""
    from studio.export.gguf_model import write_gguf

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as target:
        size = write_gguf(folder, Path(target) / "model.gguf", kind, name="benchmark").size
    seconds = time.perf_counter() - began
    model = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
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
    parser.add_argument("--kinds", nargs="+", choices=NUMBERS["gguf"], default=NUMBERS["gguf"])
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
