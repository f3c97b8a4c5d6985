"""Batched answers are those of one prompt at a time, and likelihoods those of the plain formula."""

from typing import Any

import pytest
import torch

from studio.data.records import Conversation, Message
from studio.data.tokens import UNTRAINED, tokenize
from studio.errors import ModelError, Stopped
from studio.evaluation.answering import Speaker, judge_likelihood, speak
from studio.evaluation.interview import interview, pace
from studio.evaluation.questions import Asked, Question
from studio.models.beside import Beside
from studio.models.device import Device
from studio.models.generation import Generation, Sampling, render_prompt
from studio.models.loading import attach_adapter, load_model, read_adapter
from studio.settings import Settings
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny

CPU = Device("cpu", "test", 8_000_000_000, "float32")
TEXTS = [
    "Hi",
    "Good morning",
    "昔々、小さな鳥がいました。",
    "a",
    "What is it? " * 9,
    "Tell me more of it",
    "1 + 1",
    "?",
]
WHO = ["base", "adapter", "beside"]


@pytest.fixture(scope="module")
def speakers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Speaker]]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for kind in ("llama", "gpt2"):
        save_adapter(folder / f"{kind}-one", kind, seed=1, strength=0.5)
        base = load_model(
            str(save_tiny(folder / kind, kind, tied=False)), Settings(workspace=folder, offline=True), CPU
        )
        other: Any = load_model(str(folder / kind), Settings(workspace=folder, offline=True), CPU).model
        beside = Speaker(Beside(lambda model=base.model: model, {"other": other}), base.tokenizer, "other")
        tuned = attach_adapter(other, read_adapter(folder / f"{kind}-one"), "one")
        found[kind] = {
            "base": Speaker(base.model, base.tokenizer),
            "beside": beside,
            "adapter": Speaker(tuned, base.tokenizer, "one"),
        }
    return found


def prompts(speaker: Speaker) -> list[list[int]]:
    return [render_prompt([Message("user", text)], speaker.tokenizer) for text in TEXTS]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_batch_answers_as_each_alone(
    kind: str, who: str, speakers: dict[str, dict[str, Speaker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = speakers[kind][who]
    asked = prompts(speaker)
    # What some of them say first at different places ends an answer.
    ends = {alone(speaker, prompt, 12).stream.ids[place] for prompt, place in zip(asked, (2, 4, 7, 9), strict=False)}
    monkeypatch.setattr(speaker.model.generation_config, "eos_token_id", list(ends))
    said = {one.place: one for batch in speak(speaker, asked, 12, rows=5) for one in batch}
    each = [alone(speaker, prompt, 12) for prompt in asked]
    assert [(one.text, one.tokens, one.stopped_by_itself) for one in each] == [
        (said[i].text, said[i].tokens, said[i].stopped) for i in range(len(asked))
    ]
    assert len({one.tokens for one in each}) > 1  # rows left the batch while others went on


def alone(speaker: Speaker, prompt: list[int], tokens: int) -> Any:
    names = None if speaker.adapter is None else [speaker.adapter]
    few = None if speaker.vocabulary is None else [speaker.vocabulary]
    sampling = Sampling(max_new_tokens=tokens)
    talk = Generation(speaker.model, speaker.tokenizer, [prompt], sampling, adapters=names, vocabularies=few)
    talk.run()
    return talk.answers[0]


def test_a_smaller_vocabulary(speakers: dict[str, dict[str, Speaker]]) -> None:
    whole = speakers["llama"]["base"]
    few = Speaker(whole.model, whole.tokenizer, vocabulary=120)
    said = {one.place: one.text for batch in speak(few, prompts(few), 8) for one in batch}
    each = [alone(few, prompt, 8).text for prompt in prompts(few)]
    assert [said[i] for i in range(len(each))] == each
    assert each != [alone(whole, prompt, 8).text for prompt in prompts(few)]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_likelihood_is_that_of_the_formula(kind: str, who: str, speakers: dict[str, dict[str, Speaker]]) -> None:
    speaker = speakers[kind][who]
    talks = [Conversation((Message("user", text),), text[::-1] * 2) for text in TEXTS]
    examples = [tokenize(talk, speaker.tokenizer, 300) for talk in talks]
    found = {one.place: one for batch in judge_likelihood(speaker, examples, rows=3) for one in batch}
    for place, example in enumerate(examples):
        inputs: dict[str, Any] = {"input_ids": torch.tensor([example.ids])}
        if who != "base":
            inputs["adapter_names"] = [speaker.adapter]
        if who == "beside":
            inputs |= {"attention_mask": torch.ones(1, len(example.ids), dtype=torch.long)}
            inputs["position_ids"] = torch.arange(len(example.ids))[None]
        with torch.inference_mode():
            logs = speaker.model(**inputs).logits[0].log_softmax(-1)
        wanted = [(i, label) for i, label in enumerate(example.labels) if i and label != UNTRAINED]
        own = -sum(float(logs[i - 1, label]) for i, label in wanted)
        assert found[place].tokens == len(wanted) == example.trained_tokens
        assert found[place].loss == pytest.approx(own, rel=1e-4)


def test_stopping_and_no_room(speakers: dict[str, dict[str, Speaker]]) -> None:
    speaker = speakers["llama"]["base"]
    with pytest.raises(Stopped):
        next(speak(speaker, prompts(speaker), 8, stop=lambda: True))
    with pytest.raises(ModelError) as told:
        next(speak(speaker, [[5] * 600], 8))
    assert told.value.key == "error.compare.too_long"
    assert list(speak(speaker, [], 8)) == []


def question(row: int, text: str, answer: str) -> Question:
    return Question(row, (Message("user", text),), Message("assistant", answer))


def test_an_interview_is_gone_on_with(speakers: dict[str, dict[str, Speaker]]) -> None:
    speaker = speakers["llama"]["adapter"]
    asked = [question(row, text, "Yes.") for row, text in enumerate(TEXTS)]
    asked.append(Question(8, (), Message("", "A passage to read.")))
    asked.append(question(9, "long " * 600, "Yes."))
    every = {reply.row: reply for batch in interview(speaker, asked, Asked()) for reply in batch}
    assert sorted(every) == list(range(10))
    assert every[9].answer is None
    assert every[9].refused is not None
    assert every[9].refused[0] == "error.compare.too_long"
    passage = every[8].answer
    assert passage is not None
    assert (passage.text, passage.tokens) == ("", 0)
    assert passage.loss_tokens > 5
    rest = {reply.row: reply for batch in interview(speaker, asked, Asked(), done={0, 3, 9}) for reply in batch}
    assert sorted(rest) == [1, 2, 4, 5, 6, 7, 8]
    for row, reply in rest.items():
        before, after = every[row].answer, reply.answer
        assert before is not None
        assert after is not None
        assert (before.text, before.stopped) == (after.text, after.stopped)
        assert before.loss == pytest.approx(after.loss, rel=1e-4)


def test_a_prompt_of_the_contestants_own(speakers: dict[str, dict[str, Speaker]]) -> None:
    speaker = speakers["llama"]["base"]
    shots = (Message("user", "2 + 2"), Message("assistant", "4"))
    own = Asked("Be brief.", shots)
    row = Question(0, (Message("system", "Be long."), Message("user", "1 + 1")), Message("assistant", "2"))
    assert [turn.content for turn in own.prompt(row)] == ["Be brief.", "2 + 2", "4", "1 + 1"]
    assert [turn.content for turn in Asked().prompt(row)] == ["Be long.", "1 + 1"]
    (plain,), (prompted,) = next(interview(speaker, [row], Asked())), next(interview(speaker, [row], own))
    assert prompted.prompt_tokens > plain.prompt_tokens
    assert prompted.answer is not None
    assert plain.answer is not None
    assert prompted.answer.loss != plain.answer.loss
    assert prompted.answer.loss_tokens == plain.answer.loss_tokens  # examples are read, not judged


def test_of_choices_the_likeliest_per_byte(speakers: dict[str, dict[str, Speaker]]) -> None:
    speaker = speakers["llama"]["base"]
    row, choices = question(0, "Which?", "no"), ("yes", "no", "a much longer answer than both of them", "鳥")
    losses = []
    for choice in choices:
        example = tokenize(Conversation(row.prompt, choice), speaker.tokenizer, 300)
        ((found,),) = judge_likelihood(speaker, [example])
        losses.append(found.loss / len(choice.encode()))
    ((reply,),) = interview(speaker, [row], Asked(), choices={0: choices})
    assert reply.answer is not None
    assert reply.answer.text == choices[losses.index(min(losses))]


def test_the_pace_of_single_answers(speakers: dict[str, dict[str, Speaker]]) -> None:
    for who in ("base", "adapter"):
        speaker = speakers["llama"][who]
        found = pace(speaker, prompts(speaker))
        assert found is not None
        assert 0 < found.first_token_seconds < 10
    assert pace(speakers["llama"]["base"], []) is None
