"""A GGUF file written anew in fewer bits by llama.cpp itself, in a process of its own: a fault ends only that one.

Run as a script: reads a JSON request from standard input. It imports nothing of the studio.
"""

import ctypes
import json
import sys
from typing import Any

import llama_cpp


def main() -> None:
    request: dict[str, Any] = json.load(sys.stdin)
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = request["threads"]
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{request['kind']}")
    source, target = request["source"].encode(), request["target"].encode()
    sys.exit(llama_cpp.llama_model_quantize(source, target, ctypes.pointer(params)))


if __name__ == "__main__":
    main()
