"""A model folder, looked at without loading it: what is missing, what is refused, how big it is.

Only safetensors are read. Their header is JSON (https://huggingface.co/docs/safetensors), so that names, shapes
and truncation are known without reading a weight and without running anything the folder brings.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from studio.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed", "dim")
_MAX_HEADER_BYTES = 100_000_000


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json`, after a look at what the folder holds. Raises ModelError when it is no model folder."""
    if folder.is_file():
        raise ModelError("error.model.not_a_folder", file=str(folder))
    if not folder.is_dir():
        raise ModelError("error.model.folder_missing", folder=str(folder))
    if not (folder / CONFIG).is_file():
        adapter = (folder / "adapter_config.json").is_file()
        raise ModelError("error.model.is_adapter" if adapter else "error.model.no_config", folder=str(folder))
    config = read_json(folder, CONFIG)
    for name in (CONFIG, "tokenizer_config.json"):
        if (folder / name).is_file() and "auto_map" in read_json(folder, name):
            raise ModelError("error.model.remote_code", folder=str(folder), file=name)
    return config


def weight_files(folder: Path, present: Sequence[str] | None = None) -> tuple[str, ...]:
    """Names of the safetensors files that make the model; all are there.

    `present` are the names that count as there (those of a repository, of which `folder` holds only the small
    files); None: what lies in the folder. Raises ModelError on pickles, a missing shard or no weights at all.
    """
    names = sorted(p.name for p in folder.iterdir()) if present is None else present
    if INDEX in names:
        index = read_json(folder, INDEX).get("weight_map")
        if not isinstance(index, dict) or not index or not all(isinstance(v, str) for v in index.values()):
            raise ModelError("error.model.bad_file", folder=str(folder), file=INDEX, reason="weight_map")
        shards = tuple(sorted(set(index.values())))
        for shard in shards:
            if PurePosixPath(shard).name != shard or "\\" in shard:
                raise ModelError("error.model.bad_file", folder=str(folder), file=INDEX, reason=shard)
            if shard not in names:
                raise ModelError("error.model.shard_missing", folder=str(folder), file=shard)
        return shards
    if WEIGHTS in names:
        return (WEIGHTS,)
    pickles = [n for n in names if n.endswith(PICKLES) and n != "training_args.bin"]
    if pickles:
        raise ModelError("error.model.pickles", folder=str(folder), file=pickles[0])
    raise ModelError("error.model.no_weights", folder=str(folder), file=WEIGHTS)


def check_tokenizer_files(folder: Path, present: Sequence[str] | None = None) -> None:
    """Raises ModelError unless one of the known tokenizer files is there."""
    names = [p.name for p in folder.iterdir()] if present is None else present
    if not any(name in names for name in TOKENIZER_FILES):
        raise ModelError("error.model.no_tokenizer", folder=str(folder), file=TOKENIZER_FILES[0])


def count_parameters(folder: Path, files: Sequence[str]) -> int:
    """Numbers stored in the weight files, from their headers. Raises ModelError when a file is damaged or cut."""
    shapes: dict[str, list[int]] = {}
    for name in files:
        header = read_header(folder / name)
        shapes |= {tensor: entry["shape"] for tensor, entry in header.items() if tensor != "__metadata__"}
    return sum(math.prod(shape) for shape in shapes.values())


def read_header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file, checked against the file's length. Raises ModelError."""
    folder, name = str(file.parent), file.name
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ModelError("error.model.bad_weights", folder=folder, file=name)
        raw = opened.read(length)
    try:
        header = json.loads(raw)
        ends = [entry["data_offsets"][1] for tensor, entry in header.items() if tensor != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise ModelError("error.model.bad_weights", folder=folder, file=name) from None
    if size != 8 + length + max(ends, default=0):
        raise ModelError("error.model.bad_weights", folder=folder, file=name)
    return header


def fingerprint(hashes: Sequence[str]) -> str:
    """One name for a set of weights: the SHA-256 over the hex digests of its files, in the order of their names."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """Hex digest of a file; computed once as long as its size and time stay."""
    stat = file.stat()
    return _sha256(str(file), stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(file: str, size: int, time: int) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def context_length(config: dict[str, Any]) -> int | None:
    """Longest sequence the model was made for, in tokens; None when its configuration does not say."""
    return _number(config, _CONTEXT_KEYS)


def hidden_width(config: dict[str, Any]) -> int | None:
    """How many numbers stand for a token between two blocks; None when its configuration does not say."""
    return _number(config, _WIDTH_KEYS)


def _number(config: dict[str, Any], keys: Sequence[str]) -> int | None:
    """The first of these that is there, by whatever name the architecture gives it."""
    inner = config.get("text_config")
    for values in (config, inner if isinstance(inner, dict) else {}):
        for key in keys:
            if isinstance(values.get(key), int) and values[key] > 0:
                return values[key]
    return None


def has_chat_template(folder: Path) -> bool:
    """Whether the folder brings a chat template of its own."""
    if (folder / "chat_template.jinja").is_file():
        return True
    name = "tokenizer_config.json"
    found = read_json(folder, name).get("chat_template") if (folder / name).is_file() else None
    # Several are kept by name: the one for every chat is `default`.
    named = [one.get("name") for one in found if isinstance(one, dict)] if isinstance(found, list) else found
    return "default" in named if isinstance(named, list | dict) else bool(named)


def written_template(folder: Path) -> str | None:
    """The one chat template that is saved in a folder of a tokenizer, or of an adapter. Raises ModelError."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8", errors="replace")
    name = "tokenizer_config.json"
    found = read_json(folder, name).get("chat_template") if (folder / name).is_file() else None
    return found if isinstance(found, str) else None


def read_licence(folder: Path) -> str | None:
    """`license` in the front matter of the folder's README.md."""
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    found = re.match(r"\A---\s*\n(.*?)\n---\s*\n", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    if not found:
        return None
    try:
        front = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return None
    licence = front.get("license") if isinstance(front, dict) else None
    return licence if isinstance(licence, str) else None


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the folder. Raises ModelError naming the file."""
    try:
        values = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("error.model.bad_file", folder=str(folder), file=name, reason=str(error)) from None
    if not isinstance(values, dict):
        raise ModelError("error.model.bad_file", folder=str(folder), file=name, reason=type(values).__name__)
    return values
