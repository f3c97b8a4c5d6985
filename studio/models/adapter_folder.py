"""An adapter that was made elsewhere, in a folder as PEFT writes it: looked at without loading it.

Of its weights only the header is read, which is JSON; pickles are never opened. What PEFT can write and a run cannot go
on from is refused by name: a setting that is unknown here may change what the weights mean.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from studio.errors import ModelError, StudioError
from studio.models.folder import CONFIG, PICKLES, file_sha256, fingerprint, read_header, read_json
from studio.runs.adapter_shape import AdapterShape, Names
from studio.runs.spec import LoraSpec

if TYPE_CHECKING:
    from peft import LoraConfig

    from studio.models.shape import Layer, ModelShape

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE_MODEL = "base_model.json"
"""Written beside an exported adapter: name, revision and fingerprint (`sha256`) of its base model."""

# Without a meaning of their own, or one for whoever makes or reads the adapter alone (peft/tuners/lora/config.py).
_NO_MATTER = {
    "base_model_name_or_path", "corda_config", "eva_config", "fan_in_fan_out", "inference_mode", "loftq_config",
    "lora_dropout", "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
    "runtime_config",
}  # fmt: skip
# How the first weights were drawn, where the base model stayed as it was (peft/tuners/lora/layer.py, `update_layer`).
_HARMLESS_INITS = (True, False, None, "default", "gaussian", "eva", "orthogonal")
# These take a part of the base model's weights into the adapter: it fits what was left of them alone.
_CHANGES_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
_NUMBERS = ("F64", "F32", "F16", "BF16")
# Those of convolutions have more.
_DIMENSIONS = {"lora_A": (2,), "lora_B": (2,), "lora_magnitude_vector": (1, 2)}
_TENSOR = re.compile(r"base_model\.model\.(?P<layer>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(\.weight)?")

_Names = Annotated[Names, BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]


class _Config(BaseModel):
    """`adapter_config.json`: what is read of it, and the rest."""

    model_config = ConfigDict(strict=True, extra="allow")

    peft_type: str
    task_type: str | None = None
    auto_mapping: dict[str, Any] | None = None
    base_model_name_or_path: str | None = None
    r: PositiveInt = 8
    lora_alpha: PositiveFloat = 8
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str | None = True
    bias: str = "none"
    target_modules: _Names | None = None
    exclude_modules: _Names | None = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: _Names | None = None
    rank_pattern: dict[str, PositiveInt] | None = None
    alpha_pattern: dict[str, PositiveFloat] | None = None


def peft_config(shape: AdapterShape, **options: Any) -> "LoraConfig":
    """PEFT's configuration of an adapter of this shape, with further options. The first weights are drawn as by
    default: those of other ways would change the base model, and are replaced anyway."""
    from peft import LoraConfig

    listed = lambda names: list(names) if isinstance(names, tuple) else names  # noqa: E731
    return LoraConfig(
        r=shape.rank,
        lora_alpha=shape.alpha,  # type: ignore[arg-type]  # PEFT divides it; a fraction is fine
        use_rslora=shape.rslora,
        use_dora=shape.dora,
        target_modules=listed(shape.targets),
        exclude_modules=listed(shape.excluded),
        layers_to_transform=listed(shape.blocks),
        layers_pattern=listed(shape.blocks_pattern),
        rank_pattern=dict(shape.ranks),
        alpha_pattern=dict(shape.alphas),
        bias="none",
        **options,
    )


class _Base(BaseModel):
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


_File = TypeVar("_File", _Config, _Base)


@dataclass(frozen=True, slots=True)
class AdaptedLayer:
    """The sizes that the adapter's weights have at a layer."""

    rank: int
    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What is known of an adapter from its small file and the header of its weights. `base`: the model that it says it
    was made for, `base_sha256` the fingerprint of that; `shape` is None where `problems` kept it from being told."""

    folder: Path
    problems: tuple[StudioError, ...]
    base: str = ""
    shape: AdapterShape | None = None
    layers: Mapping[str, AdaptedLayer] | None = None
    base_sha256: str = ""


def look_at_adapter(folder: Path) -> AdapterFacts:
    """What stands in the way of going on from the adapter in a folder, all of it, and what the adapter is."""
    try:
        return _look(folder.expanduser().absolute())
    except (OSError, RuntimeError, ValueError) as error:  # a name too long; `~user` of nobody; what may not be read
        return AdapterFacts(folder, (_unreadable(folder, ADAPTER_CONFIG, str(error)),))


def _look(folder: Path) -> AdapterFacts:
    if not folder.is_dir():
        key = "not_a_folder" if folder.exists() else "missing"
        return AdapterFacts(folder, (ModelError(f"error.adapter_folder.{key}", folder=str(folder)),))
    problems: list[ModelError] = []
    config, layers = None, None
    try:
        config = _read_config(folder)
        problems += _config_problems(folder, config)
    except ModelError as error:
        problems.append(error)
    try:
        layers = _read_layers(folder, dora=config is not None and config.use_dora)
    except ModelError as error:
        # What is no LoRA adapter has other weights.
        if config is None or config.peft_type == "LORA":
            problems.append(error)
    base, base_sha256 = (config.base_model_name_or_path or "") if config else "", ""
    if (folder / BASE_MODEL).is_file():
        try:
            base_sha256 = _read_as(_Base, folder, BASE_MODEL).sha256
        except ModelError as error:
            problems.append(error)
    shape = _shape(config) if config and not problems else None
    return AdapterFacts(folder, tuple(problems), base, shape, layers, base_sha256)


def adapter_sha256(folder: Path) -> str | None:
    """The hash of both files, as `read_adapter` tells it of a whole adapter; None where one is not there."""
    files = (folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS)
    if not all(file.is_file() for file in files):
        return None
    return fingerprint([file_sha256(file) for file in files])


def read_adapter_shape(folder: Path) -> AdapterShape:
    """Raises ModelError, the first problem, when a run cannot go on from the adapter in the folder."""
    found = look_at_adapter(folder)
    if found.shape is None:
        raise found.problems[0]
    return found.shape


def _read_config(folder: Path) -> _Config:
    if not (folder / ADAPTER_CONFIG).is_file():
        key = "is_model" if (folder / CONFIG).is_file() else "no_config"
        raise ModelError(f"error.adapter_folder.{key}", folder=str(folder), file=ADAPTER_CONFIG)
    return _read_as(_Config, folder, ADAPTER_CONFIG)


def _read_as(kind: type[_File], folder: Path, file: str) -> _File:
    try:
        return kind.model_validate(read_json(folder, file))
    except ModelError as error:
        raise _unreadable(folder, file, str(error.values["reason"])) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _unreadable(folder, file, f"{where}: {first['msg']}") from None


def _unreadable(folder: Path, file: str, reason: str) -> ModelError:
    return ModelError("error.adapter_folder.unreadable", folder=str(folder), file=file, reason=reason[:200])


def _config_problems(folder: Path, config: _Config) -> Iterator[ModelError]:
    place = str(folder)
    if config.peft_type != "LORA":
        yield ModelError("error.adapter_folder.kind", folder=place, kind=config.peft_type)
        return  # its other settings are those of another kind
    if config.task_type not in (None, "CAUSAL_LM"):
        yield ModelError("error.adapter_folder.task", folder=place, task=config.task_type)
    library = str((config.auto_mapping or {}).get("parent_library", ""))
    if config.auto_mapping and not library.startswith("transformers.models."):
        yield ModelError("error.adapter_folder.code", folder=place, library=library)
    init = config.init_lora_weights
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        yield ModelError("error.adapter_folder.init", folder=place, init=init)
    elif init not in _HARMLESS_INITS:
        yield _unusable(folder, "init_lora_weights", init)
    if not config.target_modules:
        yield _unusable(folder, "target_modules", config.target_modules)
    for name, expression in _expressions(config):
        try:
            re.compile(expression)
        except re.error:
            yield _unusable(folder, name, expression)
    if config.bias != "none":
        yield _unusable(folder, "bias", config.bias)
    for name in ("r", "lora_alpha"):
        try:
            LoraSpec.model_validate({{"r": "rank", "lora_alpha": "alpha"}[name]: getattr(config, name)})
        except ValidationError:
            yield _unusable(folder, name, getattr(config, name))
    for name, value in (config.model_extra or {}).items():
        if value and name not in _NO_MATTER:
            yield _unusable(folder, name, value)


def _expressions(config: _Config) -> Iterator[tuple[str, str]]:
    """The regular expressions by which layers are named, each with its setting."""
    for name in ("target_modules", "exclude_modules"):
        if isinstance(value := getattr(config, name), str):
            yield name, value
    patterns = config.layers_pattern or ()
    yield from (("layers_pattern", one) for one in ((patterns,) if isinstance(patterns, str) else patterns))
    yield from (("rank_pattern", one) for one in config.rank_pattern or ())
    yield from (("alpha_pattern", one) for one in config.alpha_pattern or ())


def _unusable(folder: Path, name: str, value: object) -> ModelError:
    return ModelError("error.adapter_folder.setting", folder=str(folder), setting=name, value=str(value)[:80])


def _shape(config: _Config) -> AdapterShape:
    blocks = config.layers_to_transform
    assert config.target_modules
    return AdapterShape(
        rank=config.r,
        alpha=config.lora_alpha,
        rslora=config.use_rslora,
        dora=config.use_dora,
        targets=config.target_modules,
        excluded=config.exclude_modules,
        blocks=tuple(blocks) if isinstance(blocks, list) else blocks,
        blocks_pattern=config.layers_pattern,
        ranks=tuple((config.rank_pattern or {}).items()),
        alphas=tuple((config.alpha_pattern or {}).items()),
    )


def _read_layers(folder: Path, *, dora: bool) -> dict[str, AdaptedLayer]:
    """The layers that the weights are of, from their header. Raises ModelError when they are missing, pickled, cut or
    of a kind that is not gone on from here."""
    if not (folder / ADAPTER_WEIGHTS).is_file():
        names = sorted(path.name for path in folder.iterdir())
        pickles = [name for name in names if name.endswith(PICKLES) and not name.startswith(_NOT_WEIGHTS)]
        facts = {"folder": str(folder), "file": ADAPTER_WEIGHTS}
        if pickles:
            raise ModelError("error.adapter_folder.pickles", **facts, pickle=pickles[0])
        raise ModelError("error.adapter_folder.no_weights", **facts)
    try:
        header = read_header(folder / ADAPTER_WEIGHTS)
    except ModelError:
        raise _unreadable(folder, ADAPTER_WEIGHTS, "safetensors") from None
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for tensor, entry in header.items():
        if tensor == "__metadata__":
            continue
        found, sizes = _TENSOR.fullmatch(tensor), tuple(entry.get("shape", ()))
        if found is None or len(sizes) not in _DIMENSIONS[found["part"]] or entry.get("dtype") not in _NUMBERS:
            raise ModelError("error.adapter_folder.tensor", folder=str(folder), tensor=tensor)
        parts.setdefault(found["layer"], {})[found["part"]] = sizes
    needed = {"lora_A", "lora_B", *(["lora_magnitude_vector"] if dora else [])}
    for layer, sizes in parts.items():
        if sizes.keys() != needed or sizes["lora_A"][0] != sizes["lora_B"][1]:
            raise ModelError("error.adapter_folder.tensor", folder=str(folder), tensor=layer)
    if not parts:
        raise _unreadable(folder, ADAPTER_WEIGHTS, "0 tensors")
    return {
        layer: AdaptedLayer(sizes["lora_A"][0], sizes["lora_A"][1], sizes["lora_B"][0])
        for layer, sizes in parts.items()
    }


# Against a model


def misfit(adapter: AdapterFacts, name: str, model: "ModelShape") -> ModelError | None:
    """Why the adapter does not fit the model, told by the first layer that does not; None where it fits. `name`: what
    the model is called."""
    assert adapter.shape is not None
    assert adapter.layers is not None
    facts = {"folder": str(adapter.folder), "model": name, **({"base": adapter.base} if adapter.base else {})}
    unnamed = "" if adapter.base else ".unnamed"
    own = {layer.name: layer for layer in model.layers if layer.name not in model.blocked}
    for layer in own.values():
        given = adapter.layers.get(layer.name)
        if given and (given.inputs, given.outputs) != (layer.inputs, layer.outputs):
            sizes = {"inputs": given.inputs, "outputs": given.outputs}
            ours = {"model_inputs": layer.inputs, "model_outputs": layer.outputs}
            return ModelError(f"error.adapter_folder.sizes{unnamed}", layer=layer.name, **sizes, **ours, **facts)
    if strange := next((layer for layer in adapter.layers if layer not in own), None):
        given = adapter.layers[strange]
        sizes = {"inputs": given.inputs, "outputs": given.outputs}
        return ModelError(f"error.adapter_folder.layer{unnamed}", layer=strange, **sizes, **facts)
    return _against_config(adapter.shape, adapter.layers, own, facts, unnamed)


def _against_config(
    shape: AdapterShape,
    layers: Mapping[str, AdaptedLayer],
    own: "Mapping[str, Layer]",
    facts: dict[str, str],
    unnamed: str,
) -> ModelError | None:
    """What its configuration says of the layers of the model, and its weights otherwise. `unnamed`: the end of keys
    where the adapter does not say what its base is."""
    from peft.tuners.tuners_utils import check_target_module_exists
    from peft.utils.other import get_pattern_key

    config = peft_config(shape)
    ranks = dict(shape.ranks)
    for name in own:
        named = config.target_modules == "all-linear" or bool(check_target_module_exists(config, name))
        if named != (name in layers):
            key = f"error.adapter_folder.lacks{unnamed}" if named else "error.adapter_folder.extra"
            return ModelError(key, layer=name, **facts)
        if named:
            rank = ranks.get(get_pattern_key(list(ranks), name), shape.rank)
            if rank != layers[name].rank:
                told = {"rank": layers[name].rank, "told": rank}
                return ModelError("error.adapter_folder.rank", layer=name, **told, **facts)
    return None
