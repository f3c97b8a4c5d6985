"""An OpenAI-compatible chat endpoint for models that are in memory, through transformers' own server.

What `transformers serve` does is kept: its application, its handler of `/v1/chat/completions`, its generation and its
streaming (transformers/cli/serving, 5.24). Other than there, models are the ones given here instead of whatever a
request names; nothing is loaded or fetched. Three further things it does not do, and are done here: it draws tokens
only where the model's own settings say so, whatever temperature a request asks for; it ends a stream without the
`[DONE]` of the protocol; and what it cannot do or read in a request it ignores or answers with a fault of the server.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from jinja2 import TemplateError
from pydantic import BaseModel, Field, Json, ValidationError
from transformers import PreTrainedTokenizerBase
from transformers.cli.serving.chat_completion import UNUSED_CHAT_COMPLETION_FIELDS, ChatCompletionHandler
from transformers.cli.serving.model_manager import ModelManager
from transformers.cli.serving.server import build_server
from transformers.cli.serving.utils import BaseGenerateManager, GenerationState, Modality, get_response_template

from studio.errors import InputError, ModelError, StudioError
from studio.models.beside import alone
from studio.models.generation import model_context, stop_ids

PATHS = ("/v1/chat/completions", "/v1/models", "/health")
"""What is answered; what else transformers' server has would load models by name, or is for other kinds of them."""

# What changes nothing about an answer may be ignored; what asks for no more than there is, too.
_HARMLESS = {"metadata", "parallel_tool_calls", "prediction", "service_tier", "store", "stream_options", "user"}
_NOTHING_ASKED = {
    "logprobs": False,
    "modalities": ["text"],
    "n": 1,
    "presence_penalty": 0,
    "response_format": {"type": "text"},
    "tool_choice": "auto",
    "top_logprobs": 0,
}
_REFUSED = (UNUSED_CHAT_COMPLETION_FIELDS | {"generation_config"}) - _HARMLESS


@dataclass(frozen=True, slots=True)
class Served:
    """What answers under a name: the rows of a `Lease`, whose `model`, `adapter_name` and `vocabulary` these are.
    `alias`: another name that is understood, but not listed."""

    name: str
    alias: str
    model: Any
    adapter_name: str
    tokenizer: PreTrainedTokenizerBase
    vocabulary: int | None


class _Text(BaseModel):
    type: Literal["text"]
    text: str


class _Function(BaseModel):
    name: str
    arguments: Json[dict[str, Any]] | dict[str, Any]


class _Call(BaseModel, extra="allow"):
    function: _Function


class _Turn(BaseModel, extra="allow"):
    role: str
    content: str | list[_Text] | None = None
    tool_calls: list[_Call] | None = None


class _Asked(BaseModel, extra="allow"):
    """A request as far as it is used; https://platform.openai.com/docs/api-reference/chat/create."""

    model: str
    messages: Annotated[list[_Turn], Field(min_length=1)]
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    frequency_penalty: Annotated[float, Field(gt=-1, le=2)] | None = None
    logit_bias: dict[Annotated[int, Field(ge=0)], float] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] = {}


def chat_app(served: Sequence[Served], language: str) -> FastAPI:
    """The endpoint of these models. What is wrong with a request is told in `language`. One answer is made at a time:
    the models share their weights."""
    models = _Models(served)
    state = _OneByOne()
    handler = _Chat(models, state, language)
    nothing: Any = None  # the handlers of paths that are left out
    app = build_server(models, handler, nothing, nothing, nothing, nothing, state)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", None) in PATHS]
    return app


class _Models(ModelManager):
    """The models that are there, in place of those that names of the Hub stand for."""

    def __init__(self, served: Sequence[Served]) -> None:
        super().__init__()
        self.served = {one.name: one for one in served}
        self.names = {one.alias: one.name for one in served} | {name: name for name in self.served}
        self._models = {one.name: _Model(one) for one in served}

    @staticmethod
    def process_model_name(model_id: str) -> str:
        return model_id

    def load_model_and_processor(self, model_id_and_revision: str, *_: Any, **__: Any) -> tuple[Any, Any]:
        return self._models[model_id_and_revision], self.served[model_id_and_revision].tokenizer

    def list_models(self, cache_dir: str | None = None) -> list[dict[str, Any]]:
        loaded = {"owned_by": "local", "object": "model", "created": 0, "status": {"value": "loaded"}}
        return [{"id": name, **loaded} for name in self.served]

    def shutdown(self) -> None:
        """Whoever gave the models takes them back."""


class _OneByOne(GenerationState):
    """One thread for all models, which share their weights and are switched between answers."""

    def get_manager(self, model_id: str, use_cb: bool = False) -> BaseGenerateManager:
        return super().get_manager("", use_cb)


class _Model:
    """What transformers' server needs of a model."""

    def __init__(self, served: Served) -> None:
        self._served = served
        with alone(served.model, served.adapter_name) as model:
            self.device = model.device
            self.context = model_context(model)
            self.config = SimpleNamespace(model_type=_parsed_type(model, served.tokenizer))
            self.generation_config = _greedy(model, served)
        self._stops = frozenset(self.generation_config.eos_token_id)

    def generate(self, **asked: Any) -> Any:
        """As every model does. An answer ends where the model's context does, and without its end token: not each end
        token is a special one, which decoding leaves out."""
        config, prompt = asked["generation_config"], asked["input_ids"].shape[-1]
        config.max_new_tokens = min(config.max_new_tokens, self.context - prompt)
        if streamer := asked.get("streamer"):
            asked["streamer"] = _Untold(streamer, self._stops)
        with alone(self._served.model, self._served.adapter_name) as model:
            tokens = model.generate(**asked)
        return tokens[:, :-1] if int(tokens[0, -1]) in self._stops else tokens


class _Untold:
    """A streamer that is not told of end tokens."""

    def __init__(self, streamer: Any, stops: frozenset[int]) -> None:
        self._streamer, self._stops, self._begun = streamer, stops, False
        self.end = streamer.end

    def put(self, value: Any) -> None:
        if not (self._begun and int(value[-1]) in self._stops):
            self._streamer.put(value)
        self._begun = True


def _greedy(model: Any, served: Served) -> Any:
    """Generation settings that a request then changes: the likeliest token each time, as everywhere in the studio. A
    temperature draws from all tokens, as the protocol has it, not from a model's usual few."""
    from transformers import GenerationConfig

    unknown = () if served.vocabulary is None else range(served.vocabulary, model.config.get_text_config().vocab_size)
    return GenerationConfig(
        do_sample=True,
        top_k=0,
        eos_token_id=sorted(stop_ids(served.tokenizer, model)),
        pad_token_id=served.tokenizer.pad_token_id,
        suppress_tokens=list(unknown) or None,
    )


def _parsed_type(model: Any, tokenizer: PreTrainedTokenizerBase) -> str:
    """The type of model by which transformers finds how answers are taken apart (thoughts, calls of tools); none where
    this chat template does not begin an answer as it expects, and it would take the prompt for one."""
    template = get_response_template(tokenizer, model)
    if template is None:
        return model.config.model_type
    anchors = template.get("start_anchor", [])
    turn = [{"role": "user", "content": "x"}]
    prompt = str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    fits = any(anchor in prompt for anchor in ([anchors] if isinstance(anchors, str) else anchors))
    return model.config.model_type if fits else ""


class _Chat(ChatCompletionHandler):
    """transformers' handler of chat requests, for requests that it can answer."""

    def __init__(self, models: _Models, state: GenerationState, language: str) -> None:
        super().__init__(models, state)
        self._models, self._language = models, language

    async def handle_request(self, body: dict[str, Any], request_id: str) -> StreamingResponse | JSONResponse:
        try:
            body = self._checked(body)
        except StudioError as error:
            return _refusal(error, self._language)
        answer = await super().handle_request(body, request_id)
        if isinstance(answer, StreamingResponse):
            answer.body_iterator = _ended(answer.body_iterator)
        return answer

    def _build_generation_config(self, body: dict[str, Any], model_generation_config: Any, use_cb: bool = False) -> Any:
        drawn = {"temperature": 0.0} if body.get("temperature") is None else {}
        return super()._build_generation_config({**body, **drawn}, model_generation_config, use_cb)

    def _checked(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request with its model's own name. Raises InputError: it cannot be answered."""
        for name in sorted(_REFUSED & body.keys()):
            if body[name] is not None and body[name] != _NOTHING_ASKED.get(name):
                raise InputError("error.serve.field", field=name)
        try:
            asked = _Asked.model_validate(body).model_dump(exclude_unset=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError("error.serve.request", place=place, problem=first["msg"]) from None
        known = self._models.names
        if asked["model"] not in known:
            raise InputError("error.serve.model", model=asked["model"], known=", ".join(self._models.served))
        asked["model"] = known[asked["model"]]
        self._check_prompt(asked)
        return asked

    def _check_prompt(self, asked: Mapping[str, Any]) -> None:
        model, tokenizer = self._models.load_model_and_processor(asked["model"])
        turns = self.get_processor_inputs_from_messages(asked["messages"], Modality.LLM)
        options = {"add_generation_prompt": True, "return_dict": True, "tokenize": True}
        try:
            prompt = tokenizer.apply_chat_template(
                turns, tools=asked.get("tools"), **options, **asked.get("chat_template_kwargs", {})
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise ModelError("error.model.template", reason=str(error) or type(error).__name__) from None
        tokens = len(prompt["input_ids"])
        if tokens >= model.context:
            raise ModelError("error.compare.too_long", tokens=tokens, context=model.context)


def _refusal(error: StudioError, language: str) -> JSONResponse:
    """The error as clients of the protocol read it."""
    told = {"message": error.message(language), "type": "invalid_request_error", "param": None, "code": error.key}
    return JSONResponse({"error": told}, status_code=404 if error.key == "error.serve.model" else 400)


async def _ended(parts: Any) -> AsyncIterator[Any]:
    async with aclosing(parts):
        async for part in parts:
            yield part
    yield "data: [DONE]\n\n"
