"""Text from models: rows never see each other, the base stays the base, and text only ever grows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.data.records import Conversation, Message
from studio.data.tokens import tokenize
from studio.errors import ModelError
from studio.models.device import Device
from studio.models.generation import (
    BASE,
    Generation,
    Sampling,
    TextStream,
    render_prompt,
    sample,
    sample_answers,
    scores_equal,
    stop_ids,
)
from studio.models.loading import LoadedModel, attach_adapter, load_model, load_tokenizer, read_adapter
from studio.settings import Settings
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny, tiny_model, tiny_tokenizer

CPU = Device("cpu", "test", 8_000_000_000, "float32")
KINDS = ("llama", "gpt2")
SHORT, LONG = "Hi", "Once upon a time there was a small bird. 昔々、小さな鳥がいました。"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(workspace=tmp_path_factory.mktemp("workspace"), offline=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for kind in KINDS:
        save_tiny(folder / kind, kind)
        save_adapter(folder / f"{kind}-one", kind, seed=1)
        save_adapter(folder / f"{kind}-two", kind, seed=2, targets="attention")
        save_adapter(folder / f"{kind}-none", kind, strength=0.0)
    return folder


def load(saved: Path, kind: str, settings: Settings) -> LoadedModel:
    return load_model(str(saved / kind), settings, CPU)


def load_tuned(saved: Path, kind: str, settings: Settings) -> tuple[Any, Any]:
    loaded = load(saved, kind, settings)
    model: Any = loaded.model
    for name in ("one", "two", "none"):
        model = attach_adapter(model, read_adapter(saved / f"{kind}-{name}"), name)
    return model, loaded.tokenizer


def ids(text: str, tokenizer: Any) -> list[int]:
    return render_prompt([Message("user", text)], tokenizer)


def first_scores(model: Any, tokenizer: Any, texts: list[str], adapters: list[str] | None = None) -> torch.Tensor:
    prompts = [ids(text, tokenizer) for text in texts]
    generation = Generation(model, tokenizer, prompts, Sampling(max_new_tokens=1), adapters=adapters)
    generation.step()
    assert generation.first_scores is not None
    return generation.first_scores


# One set of base weights


@pytest.mark.parametrize("kind", KINDS)
def test_adapter_off_is_the_base_exactly(kind: str, saved: Path, settings: Settings) -> None:
    base = load(saved, kind, settings)
    model, tokenizer = load_tuned(saved, kind, settings)
    plain = first_scores(base.model, tokenizer, [LONG, LONG])
    mixed = first_scores(model, tokenizer, [LONG, LONG], [BASE, "one"])
    assert torch.equal(mixed[0], plain[0])
    assert not torch.allclose(mixed[1], plain[1], atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adapter", ["one", "two"])
def test_the_tuned_row_is_the_merged_model(kind: str, adapter: str, saved: Path, settings: Settings) -> None:
    from peft import PeftModel

    model, tokenizer = load_tuned(saved, kind, settings)
    mixed = first_scores(model, tokenizer, [SHORT, LONG], [BASE, adapter])
    plain = PeftModel.from_pretrained(tiny_model(kind), str(saved / f"{kind}-{adapter}"))
    merged = plain.merge_and_unload().eval()  # type: ignore[operator]
    assert torch.allclose(mixed[1], first_scores(merged, tokenizer, [LONG])[0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_see_each_other(kind: str, saved: Path, settings: Settings) -> None:
    model, tokenizer = load_tuned(saved, kind, settings)
    columns = [(SHORT, BASE), (LONG, "one"), (SHORT, "two"), (LONG + LONG, BASE)]
    together = Generation(
        model,
        tokenizer,
        [ids(text, tokenizer) for text, _ in columns],
        Sampling(max_new_tokens=12),
        adapters=[adapter for _, adapter in columns],
    )
    texts = together.run()
    for row, (text, adapter) in enumerate(columns):
        alone = Generation(model, tokenizer, [ids(text, tokenizer)], Sampling(max_new_tokens=12), adapters=[adapter])
        assert alone.run() == [texts[row]]
        assert alone.first_scores is not None
        assert together.first_scores is not None
        assert torch.allclose(alone.first_scores[0], together.first_scores[row], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_changes_nothing(kind: str, saved: Path, settings: Settings) -> None:
    """Token by token gives what reading the whole text anew each time gives."""
    model, tokenizer = load_tuned(saved, kind, settings)
    prompts = [ids(SHORT, tokenizer), ids(LONG, tokenizer)]
    cached = Generation(model, tokenizer, prompts, Sampling(max_new_tokens=6), adapters=[BASE, "one"])
    cached.run()
    for row, adapter in ((0, BASE), (1, "one")):
        known = list(prompts[row])
        for token in cached.answers[row].stream.ids:
            with torch.no_grad():
                scores = model(input_ids=torch.tensor([known]), adapter_names=[adapter]).logits[0, -1]
            assert int(scores.argmax()) == token
            known.append(token)


def test_plain_generate_gives_the_same(saved: Path, settings: Settings) -> None:
    loaded = load(saved, "llama", settings)
    mine = Generation(loaded.model, loaded.tokenizer, [ids(LONG, loaded.tokenizer)], Sampling(max_new_tokens=16))
    mine.run()
    prompt = torch.tensor([ids(LONG, loaded.tokenizer)])
    output = loaded.model.generate(prompt, do_sample=False, max_new_tokens=16)  # type: ignore[operator]
    theirs = output[0, prompt.shape[1] :].tolist()
    assert [t for t in theirs if t != 1] == mine.answers[0].stream.ids


def test_generations_share_a_model_step_by_step(saved: Path, settings: Settings) -> None:
    """Two browser tabs at once: each gets what it would have got alone."""
    model, tokenizer = load_tuned(saved, "llama", settings)
    lock = threading.Lock()

    def begin(adapter: str) -> Generation:
        prompts = [ids(LONG, tokenizer)] * 2
        return Generation(model, tokenizer, prompts, Sampling(max_new_tokens=20), adapters=[BASE, adapter], lock=lock)

    alone = [begin(name).run() for name in ("one", "two")]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(Generation.run, [begin(name) for name in ("one", "two")]))
    assert together == alone
    assert alone[0] != alone[1]


# Prompts


@pytest.mark.parametrize("template", [True, False])
def test_the_prompt_is_the_one_training_saw(template: bool, settings: Settings, tmp_path: Path) -> None:
    options: dict[str, Any] = {} if template else {"chat_template": None, "pad": False, "eos": False}
    tokenizer = load_tokenizer(str(save_tiny(tmp_path / "m", **options)), settings).tokenizer
    turns = (
        Message("system", "短く答えて。"),
        Message("user", "Hi <|end|> there"),
        Message("assistant", "Hello"),
        Message("user", LONG),
    )
    example = tokenize(Conversation(turns, "Answer"), tokenizer, 10_000)
    assert render_prompt(turns, tokenizer) == list(example.ids[: example.prompt_tokens])
    whole = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in turns], add_generation_prompt=True, return_dict=False
    )
    assert render_prompt(turns, tokenizer) == whole  # and the one anybody gets outside the studio


def test_a_template_that_refuses_is_told() -> None:
    tokenizer = tiny_tokenizer(chat_template="{{ raise_exception('no system message here') }}")
    with pytest.raises(ModelError) as caught:
        render_prompt([Message("user", "Hi")], tokenizer)
    assert "no system message here" in caught.value.message()


def test_a_prompt_without_room_for_an_answer(saved: Path, settings: Settings) -> None:
    loaded = load(saved, "gpt2", settings)  # 512 positions
    with pytest.raises(ModelError) as caught:
        Generation(loaded.model, loaded.tokenizer, [[5] * 512], Sampling())
    assert caught.value.key == "error.compare.too_long"
    full = Generation(loaded.model, loaded.tokenizer, [[5] * 505], Sampling(max_new_tokens=100))
    full.run()
    assert full.answers[0].tokens <= 7


# Ends


def test_the_end_token_ends_a_row_and_is_not_shown(saved: Path, settings: Settings) -> None:
    model, tokenizer = load_tuned(saved, "llama", settings)
    prompts = [ids(SHORT, tokenizer), ids(LONG, tokenizer)]
    free = Generation(model, tokenizer, prompts, Sampling(max_new_tokens=12), adapters=[BASE, "one"])
    free.run()
    tokens = free.answers[0].stream.ids
    other = free.answers[1].stream.ids
    end = next(t for t in tokens if t not in other)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    ended = Generation(model, tokenizer, prompts, Sampling(max_new_tokens=12), adapters=[BASE, "one"])
    ended.run()
    assert ended.answers[0].stopped_by_itself
    assert ended.answers[0].stream.ids == tokens[: tokens.index(end)]
    assert ended.answers[0].tokens == len(ended.answers[0].stream.ids)
    assert ended.answers[1].stream.ids == other  # the row that goes on is not disturbed
    assert ended.answers[0].seconds < ended.answers[1].seconds


def test_stop_tokens_are_those_of_the_tokenizer_the_model_and_the_template() -> None:
    model = tiny_model()
    model.generation_config.eos_token_id = [2, 3]
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|assistant|>"  # the template ends turns with another token: <|end|>, 1
    assert stop_ids(tokenizer, model) == {1, 2, 3, 4}
    model.generation_config.eos_token_id = None
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
    assert stop_ids(tokenizer, model) == {4}


# Text


def test_text_never_shows_half_a_character() -> None:
    tokenizer = tiny_tokenizer()  # a token is a byte
    text = "日本語 😀 naïve 👩‍👩‍👧 �."
    stream = TextStream(tokenizer)
    shown = [stream.push(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert shown[-1] == text
    for before, after in pairwise(shown):
        assert after.startswith(before)
        assert text.startswith(after)


def test_any_bytes_give_text_that_only_grows() -> None:
    tokenizer = tiny_tokenizer()
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        stream = TextStream(tokenizer)
        before = ""
        for token in torch.randint(0, 261, (40,), generator=generator).tolist():
            after = stream.push(token)
            assert after.startswith(before)
            assert not after.endswith("�")
            before = after


def test_half_a_character_at_the_end_is_left_out() -> None:
    tokenizer = tiny_tokenizer()
    stream = TextStream(tokenizer)
    for token in tokenizer("あい", add_special_tokens=False)["input_ids"][:-1]:
        stream.push(token)
    assert stream.text == "あ"
    assert stream.end() == "あ�"  # the model itself stopped there


def test_byte_fallback_and_leading_spaces(shared: Path, settings: Settings) -> None:
    folder = shared / "models" / "stories260k"
    if not folder.is_dir():
        pytest.skip("stories260k is not there")
    tokenizer = load_tokenizer(str(folder), settings).tokenizer
    for text in ("Once upon a time, Lily 😀 met 猫.", "  two spaces", "a\nb"):
        stream = TextStream(tokenizer)
        shown = [stream.push(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
        assert shown[-1] == text
        assert all(text.startswith(part) for part in shown)


# Sampling


def test_sampling_follows_the_seed(saved: Path, settings: Settings) -> None:
    model, tokenizer = load_tuned(saved, "llama", settings)
    prompts = [ids(LONG, tokenizer)] * 2

    def answers(seed: int, adapters: list[str]) -> list[str]:
        sampling = Sampling(temperature=1.0, top_p=0.95, max_new_tokens=16, seed=seed)
        return Generation(model, tokenizer, prompts, sampling, adapters=adapters).run()

    before = torch.get_rng_state()
    assert answers(7, [BASE, "one"]) == answers(7, [BASE, "one"])
    assert answers(7, [BASE, "one"]) != answers(8, [BASE, "one"])
    same = answers(7, [BASE, BASE])
    assert same[0] == same[1]  # both sides draw alike
    assert torch.equal(torch.get_rng_state(), before)


def test_sampled_shares_follow_the_probabilities() -> None:
    scores = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    generator = torch.Generator().manual_seed(0)

    def counts(temperature: float, top_p: float) -> torch.Tensor:
        sampling = Sampling(temperature=temperature, top_p=top_p)
        drawn = [sample(scores, sampling, generator) for _ in range(2000)]
        return torch.bincount(torch.tensor(drawn), minlength=4) / 2000

    assert torch.allclose(counts(1.0, 1.0), torch.tensor([0.5, 0.3, 0.15, 0.05]), atol=0.04)
    assert torch.allclose(counts(1.0, 0.7), torch.tensor([0.625, 0.375, 0.0, 0.0]), atol=0.04)
    assert counts(1.0, 0.01).tolist() == [1.0, 0.0, 0.0, 0.0]
    squared = torch.tensor([0.25, 0.09, 0.0225, 0.0025])
    assert torch.allclose(counts(0.5, 1.0), squared / squared.sum(), atol=0.04)
    assert counts(1e-6, 1.0).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_scores_that_are_no_numbers(saved: Path, settings: Settings) -> None:
    loaded = load(saved, "llama", settings)
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(ModelError) as caught:
        Generation(loaded.model, loaded.tokenizer, [[5, 6]], Sampling()).step()
    assert caught.value.key == "error.compare.not_finite"


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_does_nothing_is_noticed(kind: str, saved: Path, settings: Settings) -> None:
    model, tokenizer = load_tuned(saved, kind, settings)
    for adapter, expected in (("none", True), ("one", False), ("two", False)):
        scores = first_scores(model, tokenizer, [LONG, LONG], [BASE, adapter])
        assert scores_equal(scores, torch.float32) is expected
    nearly = torch.stack([scores[0], scores[0] + 1e-3])
    assert not scores_equal(nearly, torch.float32)


# Samples during training


def test_samples_leave_the_model_and_random_numbers_as_they_were(tmp_path: Path) -> None:
    from peft import PeftModel

    adapter = save_adapter(tmp_path / "adapter", dropout=0.5)  # which must be off while samples are made
    model = PeftModel.from_pretrained(tiny_model(), str(adapter), is_trainable=True)
    tokenizer = tiny_tokenizer()
    model.train()
    model.base_model.model.model.layers[0].eval()  # type: ignore[union-attr,operator,index]
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    prompts = [render_prompt([Message("user", text)], tokenizer) for text in (SHORT, LONG)]
    answers = sample_answers(model, tokenizer, prompts, 8)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert answers == [sample_answers(model, tokenizer, [p], 8)[0] for p in prompts]
    model(input_ids=torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()  # still trainable


def test_a_sample_of_a_prompt_longer_than_the_model_reads() -> None:
    texts = sample_answers(tiny_model("gpt2"), tiny_tokenizer(), [[7] * 5000], 8)
    assert len(texts) == 1
    assert sample_answers(tiny_model(), tiny_tokenizer(), [], 8) == []
