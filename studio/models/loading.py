"""Models and tokenizers, loaded whole and safe: from safetensors only, and never with code that a model brings.

What a tokenizer lacks (pad token, end token, chat template) gets a named default, told in a Notice and saved with
every export; so is a chat template that was chosen. Nothing is added to the vocabulary: an adapter then fits the base
model as everybody has it.
"""

import gc
import hashlib
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from studio.data.chat_templates import DEFAULT, TEMPLATES, ChatTemplate, cut_markers
from studio.errors import ModelError, ResourceError, StudioError
from studio.models import folder as folders
from studio.models.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from studio.models.catalog import ModelFiles, ModelIdentity, find_files, find_tokenizer
from studio.models.device import Device
from studio.runs.events import Notice
from studio.settings import Settings

if TYPE_CHECKING:
    from peft import PeftModel

Quantisation = Literal["none", "nf4"]
MODEL_WEIGHTS = "model.safetensors"
SCORE = "score"
"""The layer that scores, in every architecture that transformers can put it on."""

_PAD_NAMES = ("<pad>", "<|pad|>", "[PAD]", "<|finetune_right_pad_id|>", "<|padding|>", "<|endoftext|>")
_END_NAMES = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>", "<|endoftext|>", "<eos>", "[EOS]")

# PEFT imports bitsandbytes, which looks for faster kernels on the Hub and says when there are none.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

# transformers replaces functions of its classes while it loads: two loads at once could leave weights untied.
LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class LoadedTokenizer:
    """A tokenizer with pad token, end token and chat template; `notices` tell which of them are not its own.
    `own_template`: the model brings a chat template, whether it is used or not."""

    tokenizer: PreTrainedTokenizerBase
    notices: tuple[Notice, ...]
    own_template: bool = True


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in evaluation mode, on its device, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: ModelIdentity
    notices: tuple[Notice, ...]


def load_tokenizer(source: str, settings: Settings, chat_template: ChatTemplate = "own") -> LoadedTokenizer:
    """The tokenizer of a model. Raises ModelError when it is missing, broken, or has nothing to end an answer with."""
    name, folder = find_tokenizer(source, settings)
    return read_tokenizer(name, folder, chat_template)


def load_model(
    source: str,
    settings: Settings,
    device: Device,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    quantisation: Quantisation = "none",
    *,
    scores: bool = False,
    shards: int = 1,
    chat_template: ChatTemplate = "own",
) -> LoadedModel:
    """A base model. `auto` takes the numbers the device computes it well in. Draws no random numbers. With `nf4` the
    weights of its linear layers, but for the output, are kept in 4 bits as QLoRA does (Dettmers et al. 2023,
    arXiv:2305.14314). With `scores` it has a layer `score` of one number in place of the output over the vocabulary,
    which is yet to be learned: transformers fills it with random numbers. Of several `shards` this process, one of as
    many, reads its own (`studio.models.sharding`).

    Raises ModelError when files are missing, damaged, pickled or need code, ResourceError when memory is too small.
    """
    files = find_files(source, settings)
    identity = files.identity()
    ready = read_tokenizer(files.name, files.folder, chat_template)
    dtype = getattr(torch, device.numbers(precision, identity.parameters))
    try:
        with LOADING:
            model = _read_model(files.folder, dtype, quantisation, device, scores=scores, shards=shards)
    except StudioError:
        raise
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        raise ResourceError("error.model.memory", model=files.name, parameters=identity.parameters) from error
    rows = cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]
    highest = max(ready.tokenizer.get_vocab().values(), default=0) + 1
    if highest > rows:
        raise ModelError("error.model.vocabulary", model=files.name, tokens=highest, embeddings=rows)
    model.eval()
    return LoadedModel(model, ready.tokenizer, identity, ready.notices)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library's error means that memory ran out, of the machine or of the accelerator."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _read_model(
    folder: Path,
    dtype: torch.dtype,
    quantisation: Quantisation,
    device: Device,
    *,
    scores: bool,
    shards: int = 1,
    state: dict[str, Any] | None = None,
) -> PreTrainedModel:
    kind: Any = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    more: dict[str, Any] = {}
    try:
        with quiet_transformers():
            if shards > 1:
                from studio.models.sharding import division  # torch's part takes a second to import

                kind, more["distributed_config"] = division(kind, folder, shards)
            if state is not None:
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
                more |= {"config": config, "state_dict": state}
                with torch.device("meta"):  # the class itself: what chooses it takes no weights
                    kind = type(kind.from_config(config, trust_remote_code=False))
            loaded: Any = kind.from_pretrained(
                folder if state is None else None,
                dtype=dtype,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **({"num_labels": 1} if scores else {}),
                **(_four_bits(dtype, device) if quantisation == "nf4" else {}),
                **more,
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        # A configuration can hold any value, and transformers checks few of them itself.
        raise ModelError("error.model.unreadable", folder=str(folder), reason=first_line(error)) from error
    model, report = loaded
    if quantisation == "none" and shards == 1:
        model = model.to(device.kind)
    for module in model.modules():
        # On some processors bitsandbytes packs its weights anew when they are first evaluated: from then on they pass
        # no gradient, and are not quite the same.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]  # what its forward asks
    wrong = sorted(str(entry[0]) for entry in report["mismatched_keys"])
    if wrong:
        raise ModelError("error.model.wrong_shapes", folder=str(folder), tensor=wrong[0], count=len(wrong))
    missing = sorted(set(report["missing_keys"]) - ({f"{SCORE}.weight"} if scores else set()))
    if missing:
        raise ModelError("error.model.missing_tensors", folder=str(folder), tensor=missing[0], count=len(missing))
    return model


def _four_bits(dtype: torch.dtype, device: Device) -> dict[str, Any]:
    """NF4 with double quantisation."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": device.kind}


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the words and bars that transformers has for those who watch a terminal."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def read_tokenizer(name: str, folder: Path, chat_template: ChatTemplate = "own") -> LoadedTokenizer:
    """The tokenizer in a folder; the name is told in notices. Raises ModelError as `load_tokenizer` does."""
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # `tokenizers` raises plain Exceptions for a damaged file
        raise ModelError("error.model.bad_tokenizer", folder=str(folder), reason=first_line(error)) from error
    tokenizer.clean_up_tokenization_spaces = False  # text is decoded as it was trained, spaces included
    notices: list[Notice] = []
    if tokenizer.eos_token is None:
        tokenizer.eos_token = _default_end(name, folder, tokenizer)
        notices.append(
            Notice(key="notice.model.default_end", values={"model": name, "token": str(tokenizer.eos_token)})
        )
    if tokenizer.pad_token is None:
        vocabulary = tokenizer.get_vocab()
        tokenizer.pad_token = next((n for n in _PAD_NAMES if n in vocabulary), tokenizer.eos_token)
        notices.append(
            Notice(key="notice.model.default_pad", values={"model": name, "token": str(tokenizer.pad_token)})
        )
    if isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    own = bool(tokenizer.chat_template)
    notices += _template_notices(name, tokenizer, chat_template, own=own)
    return LoadedTokenizer(with_template(tokenizer, chat_template), tuple(notices), own)


def with_template(tokenizer: PreTrainedTokenizerBase, name: ChatTemplate) -> PreTrainedTokenizerBase:
    """The tokenizer with this chat template; the one that is given stays as it was."""
    chosen = tokenizer.chat_template or TEMPLATES[DEFAULT] if name == "own" else TEMPLATES[name]
    templated = copy(tokenizer)
    templated.chat_template = chosen
    return templated


def _template_notices(
    model: str, tokenizer: PreTrainedTokenizerBase, chosen: ChatTemplate, *, own: bool
) -> Iterator[Notice]:
    if chosen == "own" and own:
        return
    key = "other_template" if own else "default_template" if chosen == "own" else "chosen_template"
    yield Notice(key=f"notice.model.{key}", values={"model": model, "template": DEFAULT if chosen == "own" else chosen})
    if cut := cut_markers(tokenizer, chosen):
        marks = ", ".join(cut)
        yield Notice(
            key="notice.model.cut_markers",
            values={"model": model, "template": chosen, "markers": marks, "pieces": max(cut.values())},
        )


def _default_end(name: str, folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """The token the model's own configuration ends with, else one that is known to mean it."""
    for file in ("generation_config.json", folders.CONFIG):
        if (folder / file).is_file():
            ends = folders.read_json(folder, file).get("eos_token_id")
            first = ends[0] if isinstance(ends, list) and ends else ends
            token = tokenizer.convert_ids_to_tokens(first) if isinstance(first, int) and first >= 0 else None
            if isinstance(token, str):
                return token
    vocabulary = tokenizer.get_vocab()
    for known in _END_NAMES:
        if known in vocabulary:
            return known
    raise ModelError("error.model.no_end_token", model=name, folder=str(folder))


def first_line(error: BaseException) -> str:
    """What a library's error says, in a line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def load_stored(files: ModelFiles, numbers: torch.dtype) -> PreTrainedModel:
    """A model in these numbers on the CPU, whatever device it is computed on elsewhere. Its files are read weight by
    weight: mapped into memory, as transformers has it, they count a second time.

    Raises ModelError when files are missing or damaged, ResourceError when memory is too small.
    """
    cpu = Device("cpu", "", 0, "float32")
    try:
        with LOADING, ExitStack() as open_files:
            opened = [safe_open(files.folder / name, "pt", backend="pread") for name in files.weights]
            read = [open_files.enter_context(one) for one in opened]
            state = {name: one.get_slice(name) for one in read for name in one.keys()}  # noqa: SIM118
            model = _read_model(files.folder, numbers, "none", cpu, scores=False, state=state)
    except SafetensorError as error:
        raise ModelError("error.model.unreadable", folder=str(files.folder), reason=first_line(error)) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        parameters = folders.count_parameters(files.folder, files.weights)
        raise ResourceError("error.model.memory", model=files.name, parameters=parameters) from error
    return model.eval()


def load_tuned(folder: Path, base: LoadedModel, device: Device) -> PreTrainedModel:
    """A model whose weights were all trained, in the numbers of its base and beside it.

    Raises ModelError when the files are missing or damaged, ResourceError when memory is too small.
    """
    if not (folder / MODEL_WEIGHTS).is_file():
        raise ModelError("error.adapter.missing", folder=str(folder))
    try:
        with LOADING:
            model = _read_model(folder, base.model.dtype, "none", device, scores=False)
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        parameters = base.identity.parameters
        raise ResourceError("error.model.memory", model=base.identity.name, parameters=parameters) from error
    return model.eval()


# Adapters


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter's bytes as they were read, so that the hash is that of the very weights that are loaded; or of these
    and the configuration, which is no part of a run where it was made elsewhere."""

    folder: Path
    sha256: str
    tensors: dict[str, torch.Tensor]


def read_adapter(folder: Path, *, whole: bool = False) -> AdapterFile:
    """`whole`: the hash is of both files. Raises ModelError when the folder holds no whole adapter."""
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file() or not (folder / ADAPTER_CONFIG).is_file():
        raise ModelError("error.adapter.missing", folder=str(folder))
    raw = file.read_bytes()
    try:
        tensors = load_tensors(raw)
    except SafetensorError as error:
        raise ModelError("error.adapter.damaged", file=str(file), reason=first_line(error)) from None
    sha256 = hashlib.sha256(raw).hexdigest()
    if whole:
        config = hashlib.sha256((folder / ADAPTER_CONFIG).read_bytes()).hexdigest()
        sha256 = folders.fingerprint((config, sha256))
    return AdapterFile(folder, sha256, tensors)


def attach_adapter(model: "PreTrainedModel | PeftModel", adapter: AdapterFile, name: str) -> "PeftModel":
    """Put the adapter on the model under `name`, beside those it has; the model's own weights stay as they are.

    Draws no random numbers: a run that trains in the same process goes on exactly as if nobody had compared.
    """
    from peft import PeftConfig, PeftModel, set_peft_model_state_dict
    from peft.tuners.lora import LoraConfig

    config = PeftConfig.from_pretrained(str(adapter.folder))
    if not isinstance(config, LoraConfig):
        raise ModelError("error.adapter.not_lora", folder=str(adapter.folder), kind=str(config.peft_type))
    config.inference_mode = True
    config.base_model_name_or_path = None
    try:
        with torch.device("meta"):  # PEFT's own switch for this patches torch for every thread
            if isinstance(model, PeftModel):
                model.add_adapter(name, config)
                wrapped = model
            else:
                wrapped = PeftModel(model, config, adapter_name=name)
        result: Any = set_peft_model_state_dict(wrapped, adapter.tensors, adapter_name=name, low_cpu_mem_usage=True)
    except (ValueError, RuntimeError, KeyError, IndexError) as error:
        raise ModelError("error.adapter.does_not_fit", folder=str(adapter.folder), reason=first_line(error)) from error
    left = [key for key in result.missing_keys if f".{name}." in f"{key}."]
    if left or result.unexpected_keys:
        tensor = (left or result.unexpected_keys)[0]
        raise ModelError("error.adapter.does_not_fit", folder=str(adapter.folder), reason=tensor)
    base = cast(PreTrainedModel, wrapped.get_base_model())
    for key, parameter in wrapped.named_parameters():
        if f".{name}." in f"{key}.":
            parameter.requires_grad_(False)
            parameter.data = parameter.data.to(base.device)
    wrapped.eval()
    return wrapped


def free_memory() -> None:
    """Give back what nobody refers to any more, to the system and to other users of the accelerator."""
    gc.collect()
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
