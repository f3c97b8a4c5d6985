"""An adapter as files that plain PEFT loads, or a model that plain transformers loads, packed into one zip.

The files carry no path of this machine: the base is named as others know it. Equal adapters give equal zips.
"""

import hashlib
import json
import os
import shutil
import time
import zipfile
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from studio.errors import ExportError
from studio.models.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_MODEL
from studio.models.catalog import ModelIdentity
from studio.models.folder import CONFIG as MODEL_CONFIG
from studio.models.loading import MODEL_WEIGHTS

CARD = "README.md"
SPEC = "run-spec.yaml"
_PRIVATE = ("name_or_path", "is_local", "local_files_only")
_LEVEL = 6
_LARGE_BYTES = 50_000_000


def write_adapter(source: Path, target: Path, base: ModelIdentity) -> str:
    """Copy an adapter's two files, and say what its base model is; returns the SHA-256 of the weights as written."""
    config = json.loads((source / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base.name
    config["revision"] = base.commit
    config["inference_mode"] = True
    _write_json(target / ADAPTER_CONFIG, config)
    _write_json(target / BASE_MODEL, {"name": base.name, "revision": base.commit, "sha256": base.fingerprint})
    shutil.copyfile(source / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS)
    return sha256_of(target / ADAPTER_WEIGHTS)


def write_model(source: Path, target: Path) -> str:
    """Copy a model's two files; returns the SHA-256 of the weights as written."""
    config = json.loads((source / MODEL_CONFIG).read_text(encoding="utf-8"))
    _write_json(target / MODEL_CONFIG, {key: value for key, value in config.items() if key != "_name_or_path"})
    shutil.copyfile(source / MODEL_WEIGHTS, target / MODEL_WEIGHTS)
    return sha256_of(target / MODEL_WEIGHTS)


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, target: Path) -> None:
    """The tokenizer as the run used it, with the defaults it was given."""
    tokenizer.save_pretrained(target)
    file = target / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    _write_json(file, {key: value for key, value in config.items() if key not in _PRIVATE})


def pack(folder: Path, target: Path, stamp: float) -> None:
    """All files of `folder` as a zip, on disk when this returns. `stamp` is the time every entry bears."""
    when = time.gmtime(max(stamp, 315_532_800))[:6]  # a zip knows no time before 1980
    with target.open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for path in sorted(folder.iterdir()):
                entry = zipfile.ZipInfo(path.name, when)
                large = path.stat().st_size > _LARGE_BYTES  # weights hardly get smaller, and take minutes for it
                entry.compress_type = zipfile.ZIP_STORED if large else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as packed:
                    shutil.copyfileobj(source, packed, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


def check_zip(archive: Path, folder: Path) -> None:
    """Raises ExportError unless every file of the folder, and nothing else, reads back from the zip as it is."""
    with zipfile.ZipFile(archive) as opened:
        names = {path.name for path in folder.iterdir()}
        if odd := names.symmetric_difference(opened.namelist()):
            raise ExportError("error.export.damaged", file=str(archive), entry=min(odd))
        for name in sorted(names):
            try:
                with opened.open(name) as packed:
                    same = hashlib.file_digest(packed, "sha256").hexdigest() == sha256_of(folder / name)  # type: ignore[arg-type]  # it reads as a file does
            except zipfile.BadZipFile:
                same = False
            if not same:
                raise ExportError("error.export.damaged", file=str(archive), entry=name)


def sha256_of(file: Path) -> str:
    """Hex digest of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write_json(file: Path, values: object) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
