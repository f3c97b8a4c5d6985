"""A contestant as lm-eval asks models (`lm_eval.api.model.LM`), over weights that are loaded already.

What it said to each request is kept at once, so that a stopped or killed evaluation goes on from there. lm-eval then
makes its own figures of it all.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate
from lm_eval.models.utils import has_bos_prefix, normalize_gen_kwargs, postprocess_generated_text
from pydantic import ConfigDict, TypeAdapter

from studio.data.tokens import UNTRAINED, Example
from studio.errors import InputError, ModelError
from studio.evaluation.answering import Speaker, judge_likelihood, speak
from studio.evaluation.interview import Reply
from studio.evaluation.kept import Whose
from studio.evaluation.line_file import LineFile
from studio.evaluation.lm_eval_tasks import LmTask, seed
from studio.evaluation.questions import Answer
from studio.models.generation import decode, model_context

# Requests whose replies are written together, and tokens in which a text that ends an answer is looked for.
_TOGETHER = 128
_LOOK_BACK = 24
# A request and its reply; likelihoods may be infinite.
_SAID = TypeAdapter(tuple[str, Any], config=ConfigDict(ser_json_inf_nan="constants"))


def ask_task(
    speaker: Speaker,
    asked: LmTask,
    kept: Path,
    whose: Whose,
    *,
    done: Collection[int] = (),
    told: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[list[Reply]]:
    """Replies to all questions of the task in one list, right or wrong by its own metric; nothing where they are `done`
    (by their rows). `kept`: a file of what was said so far, which may be removed afterwards; `told` hears how many
    questions are answered.

    Raises Stopped soon after `stop` says so, ModelError where a prompt does not fit the model, InputError where the
    metric says neither right nor wrong.
    """
    if set(asked.rows) <= set(done):
        return
    with LineFile(kept, _SAID, whose) as file:
        model = SpeakerLM(speaker, asked.name, Said(file), stop)
        model.told = (lambda share: told(int(share * len(asked.rows)))) if told else None
        seed(asked.task)
        found = evaluate(
            lm=model,
            task_dict={"tasks": {asked.name: asked.task}},
            samples={asked.name: list(asked.rows)},
            bootstrap_iters=0,
        )
    assert found, "one process asks"
    logged: Any = found.get("samples")
    samples = [one for one in logged[asked.name] if one["filter"] == asked.filter]
    yield [_reply(speaker, asked, sample) for sample in samples]


def _reply(speaker: Speaker, asked: LmTask, sample: dict[str, Any]) -> Reply:
    value = sample[asked.metric]
    if value not in (0, 1):
        raise InputError("error.lm_eval.no_right", task=asked.name, metrics=f"{asked.metric} = {value}")
    spoken = [one[0] if isinstance(one, list) else one for one in sample["filtered_resps"]]
    if isinstance(spoken[0], str):
        text = spoken[0]
        tokens = len(speaker.tokenizer(text, add_special_tokens=False).input_ids)
    else:  # how likely each choice is, in nats
        text, tokens = " ".join(f"{one[0] if isinstance(one, tuple) else one:.4f}" for one in spoken), 0
    return Reply(sample["doc_id"], Answer(text, tokens, True, right=bool(value)))


class Said:
    """What was said to each request, kept at once."""

    def __init__(self, file: LineFile[tuple[str, Any]]) -> None:
        self._file = file
        self._known = dict(file.lines)

    def get(self, request: Any) -> Any:
        return self._known.get(_key(request))

    def add(self, some: Sequence[tuple[Any, Any]]) -> None:
        new = {_key(request): value for request, value in some}
        self._known |= new
        self._file.add(*new.items())


def _key(request: Any) -> str:
    return json.dumps([request.request_type, request.args], ensure_ascii=False, default=str)


class SpeakerLM(TemplateLM):
    """lm-eval's requests, answered by a contestant. Tokens are those of lm-eval's own class for models of
    transformers (`lm_eval.models.huggingface.HFLM`) with its usual settings; what does not fit is refused, not cut."""

    def __init__(self, speaker: Speaker, task: str, said: Said, stop: Callable[[], bool] | None) -> None:
        super().__init__()
        self.tokenizer = speaker.tokenizer
        self.told: Callable[[float], None] | None = None
        self._speaker, self._task, self._said, self._stop = speaker, task, said, stop
        self._context = model_context(speaker.model)

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    @property
    def prefix_token_id(self) -> int:
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)  # type: ignore[arg-type]

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        if add_special_tokens is None:
            begin = self.tokenizer.decode(self.prefix_token_id)
            add_special_tokens = not has_bos_prefix(string, begin)
        return self.tokenizer.encode(string, add_special_tokens=add_special_tokens)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        return self._all(requests, lambda new: super(SpeakerLM, self).loglikelihood(new, disable_tqdm=True))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Raises InputError: a perplexity is neither right nor wrong."""
        raise InputError("error.lm_eval.no_right", task=self._task, metrics="perplexity")

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        return self._all(requests, self._generate)

    def _all(self, requests: list[Any], answer: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """The replies to all, those known already as they are, the others some at a time."""
        for request in requests:
            self._check(request)
        new = [request for request in requests if self._said.get(request) is None]
        new.sort(key=lambda request: -len(request.args[0]))
        before = len(requests) - len(new)
        for begin in range(0, len(new), _TOGETHER):
            some = new[begin : begin + _TOGETHER]
            self._said.add(list(zip(some, answer(some), strict=True)))
            if self.told:
                self.told((before + begin + len(some)) / len(requests))
        found = (self._said.get(request) for request in requests)
        return [tuple(one) if isinstance(one, list) else one for one in found]

    def _check(self, request: Any) -> None:
        """Raises ModelError where the model reads less than prompt and answer take."""
        text, asked = request.args
        room = 0 if isinstance(asked, str) else _settings(asked)["max_gen_toks"]
        tokens = len(self.tok_encode(text + asked if isinstance(asked, str) else text))
        if tokens + room > self._context:
            key = "error.lm_eval.no_room" if room else "error.lm_eval.too_long"
            raise ModelError(key, task=self._task, tokens=tokens, room=room, context=self._context)

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        examples = [
            Example((*before, *after), (*[UNTRAINED] * len(before), *after), len(before), len(after), False)
            for _, before, after in requests
        ]
        found: dict[int, tuple[float, bool]] = {}
        for batch in judge_likelihood(self._speaker, examples, stop=self._stop):
            found |= {one.place: (-one.loss, one.greedy) for one in batch}
        return [found[place] for place in range(len(examples))]

    def _generate(self, requests: list[Any]) -> list[str]:
        found: dict[int, str] = {}
        for places, until, most_tokens in _alike(requests):
            prompts = [self.tok_encode(requests[place].args[0]) for place in places]

            def ended(tokens: Sequence[int], until: tuple[str, ...] = until) -> bool:
                text = decode(self._speaker.tokenizer, tokens[-_LOOK_BACK:])
                return any(end in text for end in until)

            for batch in speak(self._speaker, prompts, most_tokens, stop=self._stop, ended=ended):
                for said in batch:
                    text = decode(self._speaker.tokenizer, said.ids)
                    found[places[said.place]] = postprocess_generated_text(text, list(until), None)
        return [found[place] for place in range(len(requests))]


def _settings(asked: dict[str, Any]) -> dict[str, Any]:
    return dict(normalize_gen_kwargs(asked))


def _alike(requests: Sequence[Any]) -> Iterator[tuple[list[int], tuple[str, ...], int]]:
    """Places of the requests that end alike: at which texts, and after how many tokens at most."""
    groups: dict[tuple[tuple[str, ...], int], list[int]] = defaultdict(list)
    for place, request in enumerate(requests):
        settings = _settings(request.args[1])
        until = settings.get("until") or []
        ends = tuple(end for end in ([until] if isinstance(until, str) else until) if end)
        groups[ends, settings["max_gen_toks"]].append(place)
    for (until, most_tokens), places in groups.items():
        yield places, until, most_tokens
