"""Loading: defaults are told, what does not belong together is refused, and nobody's random numbers move."""

import json
import shutil
import threading
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.data.chat_templates import TEMPLATES, ChatTemplate
from studio.errors import ModelError
from studio.messages import LANGUAGES, translate
from studio.models.catalog import describe
from studio.models.device import Device
from studio.models.loading import attach_adapter, load_model, load_tokenizer, read_adapter, with_template
from studio.settings import Settings
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny, tiny_model, tiny_tokenizer

CPU = Device("cpu", "test", 8_000_000_000, "float32")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in ("llama", "gpt2"):
        save_tiny(folder / kind, kind)
        save_adapter(folder / f"{kind}-adapter", kind)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace", offline=True)


def keys(notices: tuple[object, ...]) -> list[str]:
    return [str(n.key).removeprefix("notice.model.") for n in notices]  # type: ignore[attr-defined]


def test_a_complete_tokenizer_needs_no_default(saved: Path, settings: Settings) -> None:
    assert not load_tokenizer(str(saved / "llama"), settings).notices


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pad": False}, ["default_pad"]),
        ({"eos": False}, ["default_end"]),
        ({"chat_template": None}, ["default_template"]),
        ({"pad": False, "eos": False, "chat_template": None}, ["default_end", "default_pad", "default_template"]),
    ],
)
def test_defaults_are_told_by_name(
    options: dict[str, object], told: list[str], settings: Settings, tmp_path: Path
) -> None:
    loaded = load_tokenizer(str(save_tiny(tmp_path / "m", **options)), settings)  # type: ignore[arg-type]
    assert keys(loaded.notices) == told
    assert loaded.tokenizer.eos_token == "<|end|>"  # the one the model's configuration names
    assert loaded.tokenizer.pad_token == "<|pad|>"
    assert loaded.tokenizer.chat_template
    for notice in loaded.notices:
        assert notice.values["model"] == "m"


def test_the_plain_template_ends_turns_and_asks_for_an_answer(settings: Settings, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(save_tiny(tmp_path / "m", chat_template=None)), settings).tokenizer
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "Be kind.\n\n### User:\nHi\n\n### Assistant:\nHello<|end|>\n\n### User:\nBye\n\n### Assistant:\n"
    whole = [*turns, {"role": "assistant", "content": "Ciao"}]
    assert tokenizer.apply_chat_template(whole, tokenize=False) == f"{text}Ciao<|end|>"


def test_another_template_is_taken_and_told(saved: Path, settings: Settings, tmp_path: Path) -> None:
    own, none = str(saved / "llama"), str(save_tiny(tmp_path / "m", "gpt2", chat_template=None))
    for source, name, told in (
        (own, "chatml", ["other_template", "cut_markers"]),
        (own, "alpaca", ["other_template"]),
        (none, "chatml", ["chosen_template", "cut_markers"]),
        (none, "plain", ["chosen_template"]),
    ):
        chosen = cast("ChatTemplate", name)
        loaded = load_tokenizer(source, settings, chosen)
        assert keys(loaded.notices) == told
        assert loaded.tokenizer.chat_template == TEMPLATES[chosen]
        assert loaded.own_template == (source == own)
        assert all("{" not in translate(n.key, language, **n.values) for n in loaded.notices for language in LANGUAGES)
    model = load_model(none, settings, CPU, chat_template="chatml")
    assert model.tokenizer.chat_template == TEMPLATES["chatml"]


def test_of_several_templates_the_default_is_the_own_one(settings: Settings, tmp_path: Path) -> None:
    """Without one of that name the model has none for every chat, and is told so."""
    for names, own in ((("default", "rag"), True), (("rag",), False)):
        folder = save_tiny(tmp_path / names[0], chat_template=None)
        file = folder / "tokenizer_config.json"
        templates = [{"name": name, "template": f"{{{{ '{name}' }}}}"} for name in names]
        file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": templates}))
        loaded = load_tokenizer(str(folder), settings)
        assert loaded.own_template == own == describe(str(folder), settings).has_chat_template
        assert keys(loaded.notices) == ([] if own else ["default_template"])
        assert loaded.tokenizer.chat_template == ("{{ 'default' }}" if own else TEMPLATES["plain"])


def test_a_tokenizer_is_given_a_template_without_being_changed(saved: Path, settings: Settings) -> None:
    tokenizer = load_tokenizer(str(saved / "llama"), settings).tokenizer
    before = tokenizer.chat_template
    other = with_template(tokenizer, "alpaca")
    assert (tokenizer.chat_template, other.chat_template) == (before, TEMPLATES["alpaca"])
    assert other("é 日本").input_ids == tokenizer("é 日本").input_ids
    assert with_template(tokenizer, "own").chat_template == before


def test_a_tokenizer_that_cannot_end_is_refused(settings: Settings, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    folder = save_tiny(tmp_path / "m")
    for name in ("config.json", "generation_config.json"):
        values = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**values, "eos_token_id": None}))
    (folder / "tokenizer_config.json").unlink()
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(str(folder), settings)
    assert caught.value.key == "error.model.no_end_token"


@pytest.mark.parametrize("text", ["", "{}", '{"model": {"type": "None"}}', "not json"])
def test_a_broken_tokenizer_is_refused(text: str, settings: Settings, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        load_tokenizer(str(folder), settings)
    assert caught.value.key == "error.model.bad_tokenizer"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_weights_are_those_of_the_file(kind: str, saved: Path, settings: Settings) -> None:
    loaded = load_model(str(saved / kind), settings, CPU)
    for name, tensor in tiny_model(kind).state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor)
    assert not loaded.model.training
    assert loaded.identity.context_length == 512
    assert loaded.identity.parameters == sum(p.numel() for p in loaded.model.parameters())


def test_precision(saved: Path, settings: Settings) -> None:
    assert load_model(str(saved / "llama"), settings, CPU, "bfloat16").model.dtype == torch.bfloat16
    assert load_model(str(saved / "llama"), settings, CPU, "auto").model.dtype == torch.float32


def test_a_vocabulary_larger_than_the_embeddings_is_refused(settings: Settings, tmp_path: Path) -> None:
    tiny_model(vocabulary=200).save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError) as caught:
        load_model(str(tmp_path / "m"), settings, CPU)
    assert caught.value.key == "error.model.vocabulary"
    assert caught.value.values["embeddings"] == 200


def test_missing_and_misshapen_tensors_are_named(saved: Path, settings: Settings, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved / "llama", tmp_path / "m"))
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({k: v for k, v in tensors.items() if k != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), settings, CPU)
    assert (caught.value.key, caught.value.values["tensor"]) == ("error.model.missing_tensors", name)
    save_file({**tensors, name: tensors[name][:3].clone()}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), settings, CPU)
    assert caught.value.key == "error.model.wrong_shapes"
    assert name in str(caught.value.values["tensor"])


@pytest.mark.parametrize("changes", [{"model_type": "no-such-model"}, {"model_type": None}, {"hidden_size": "wide"}])
def test_a_configuration_nobody_can_use(
    changes: dict[str, object], saved: Path, settings: Settings, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved / "llama", tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelError) as caught:
        load_model(str(folder), settings, CPU)
    assert caught.value.key in ("error.model.unreadable", "error.model.bad_tokenizer")


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_loading_draws_no_random_numbers(kind: str, saved: Path, settings: Settings) -> None:
    """A run may train in the same process: its dropout must not depend on whether somebody looks at another model."""
    before = torch.get_rng_state()
    model = load_model(str(saved / kind), settings, CPU).model
    wrapped = attach_adapter(model, read_adapter(saved / f"{kind}-adapter"), "one")
    attach_adapter(wrapped, read_adapter(saved / f"{kind}-adapter"), "two")
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_leaves_other_threads_alone(saved: Path, settings: Settings) -> None:
    """Modules made elsewhere meanwhile have real, initialised weights: no global switch is thrown."""
    wrong: list[str] = []
    stop = threading.Event()

    def build() -> None:
        while not stop.is_set():
            layer = torch.nn.Linear(8, 8)
            if layer.weight.is_meta or not bool(layer.weight.any()):
                wrong.append("a layer without weights")

    thread = threading.Thread(target=build)
    thread.start()
    try:
        for _ in range(5):
            model = load_model(str(saved / "llama"), settings, CPU).model
            attach_adapter(model, read_adapter(saved / "llama-adapter"), "one")
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_loads_at_once_are_whole(saved: Path, settings: Settings) -> None:
    """Tied weights stay tied when two threads load."""
    models: list[object] = []

    def load() -> None:
        models.append(load_model(str(saved / "llama"), settings, CPU).model)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(models) == 4
    for model in models:
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight  # type: ignore[attr-defined]


# Adapters


def test_the_hash_is_that_of_the_file(saved: Path) -> None:
    import hashlib

    file = saved / "llama-adapter" / "adapter_model.safetensors"
    assert read_adapter(file.parent).sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_attached_weights_are_those_of_the_file(saved: Path, settings: Settings) -> None:
    from peft import get_peft_model_state_dict

    model = load_model(str(saved / "llama"), settings, CPU).model
    adapter = read_adapter(saved / "llama-adapter")
    wrapped = attach_adapter(model, adapter, "one")
    loaded = get_peft_model_state_dict(wrapped, adapter_name="one")
    assert loaded.keys() == adapter.tensors.keys()
    for name, tensor in adapter.tensors.items():
        assert torch.equal(loaded[name], tensor)
    assert not any(parameter.requires_grad for parameter in wrapped.parameters())


def test_an_adapter_of_another_model_is_refused(saved: Path, settings: Settings) -> None:
    model = load_model(str(saved / "llama"), settings, CPU).model
    with pytest.raises(ModelError) as caught:
        attach_adapter(model, read_adapter(saved / "gpt2-adapter"), "one")
    assert caught.value.key == "error.adapter.does_not_fit"


def test_adapter_files_that_are_missing_or_damaged(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved / "llama-adapter", tmp_path / "a"))
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ModelError) as caught:
        read_adapter(folder)
    assert caught.value.key == "error.adapter.damaged"
    file.rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError) as caught:
        read_adapter(folder)
    assert caught.value.key == "error.adapter.missing"
