"""Chat templates for models that bring none: how a conversation is written as the text that the model reads.

Base models were trained on plain text and do not know what a turn is; any of these forms can be taught to them. All end
the turns of the assistant with the model's own end token, so that an answer stops wherever the model is run; and what
asks for an answer is the beginning of what holds one, so that a model goes on in a chat from what it learned to go on
from. A new line stands before each text: no tokenizer then joins the template's last letters with the first ones of an
answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ChatTemplate = Literal["own", "plain", "alpaca", "chatml"]
"""`own`: the model's; where it has none, `plain`."""
DEFAULT = "plain"

_PLAIN = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{- message['content'] + '\n\n' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '### Assistant:\n' + message['content'] + eos_token -}}"
    "{%- if not loop.last -%}{{- '\n\n' -}}{%- endif -%}"
    "{%- else -%}{{- '### User:\n' + message['content'] + '\n\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '### Assistant:\n' -}}{%- endif -%}"
)

# The headings of Stanford Alpaca (Taori et al. 2023, https://github.com/tatsu-lab/stanford_alpaca). The English
# sentence that stands before them there is left to the system turn: the data says how the model is spoken to.
_ALPACA = (
    "{{- bos_token -}}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{- message['content'] + '\n\n' -}}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{- '### Response:\n' + message['content'] + eos_token -}}"
    "{%- if not loop.last or add_generation_prompt -%}{{- '\n\n' -}}{%- endif -%}"
    "{%- else -%}{{- '### Instruction:\n' + message['content'] + '\n\n' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '### Response:\n' -}}{%- endif -%}"
)

# OpenAI's Chat Markup Language, as open models have it (Qwen, Yi, Hermes); tools, their calls and results in the tags
# of Hermes (https://github.com/NousResearch/Hermes-Function-Calling). The assistant's turns end with the end token in
# place of `<|im_end|>`; in many models that is the same.
_CHATML = (
    "{{- bos_token -}}"
    "{%- if tools -%}"
    "{{- '<|im_start|>system\n' -}}"
    "{%- if messages[0]['role'] == 'system' -%}{{- messages[0]['content'] + '\n\n' -}}{%- endif -%}"
    "{{- 'These functions can be called:\n<tools>' -}}"
    "{%- for tool in tools -%}{{- '\n' + (tool | tojson) -}}{%- endfor -%}"
    "{{- '\n</tools>\nA call is written so:\n<tool_call>\n' -}}"
    '{{- \'{"name": "its name", "arguments": {"argument": "value"}}\n</tool_call>\' -}}'
    "{{- '<|im_end|>\n' -}}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{{- '<|im_start|>assistant\n' + (message['content'] or '') -}}"
    "{%- for call in message['tool_calls'] or [] -%}"
    "{%- if message['content'] or not loop.first -%}{{- '\n' -}}{%- endif -%}"
    "{{- '<tool_call>\n{\"name\": ' + (call['function']['name'] | tojson) + ', \"arguments\": ' -}}"
    "{{- (call['function']['arguments'] | tojson) + '}\n</tool_call>' -}}"
    "{%- endfor -%}"
    "{{- eos_token -}}"
    "{%- if not loop.last or add_generation_prompt -%}{{- '\n' -}}{%- endif -%}"
    "{%- elif message['role'] == 'tool' -%}"
    "{{- '<|im_start|>tool\n<tool_response>\n' + message['content'] + '\n</tool_response><|im_end|>\n' -}}"
    "{%- elif not (tools and loop.first and message['role'] == 'system') -%}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)

TEMPLATES: dict[ChatTemplate, str] = {"plain": _PLAIN, "alpaca": _ALPACA, "chatml": _CHATML}
"""The templates by name, in Jinja as `transformers` renders it."""

_MARKERS = {"chatml": ("<|im_start|>", "<|im_end|>")}


@dataclass(frozen=True, slots=True)
class TemplateUse:
    """Which template a model is used with. `own`: it brings one. `cut`: markers that are no tokens in its vocabulary,
    each with the number of pieces that it is cut into. `adapter`: another one that is saved beside the adapter that is
    gone on from, "" where it is none of these."""

    chosen: ChatTemplate
    own: bool
    cut: Mapping[str, int]
    adapter: ChatTemplate | Literal[""] | None = None


def resolved(name: ChatTemplate, own: bool) -> ChatTemplate:
    """The template that is used; `own`: the model brings one."""
    return DEFAULT if name == "own" and not own else name


def cut_markers(tokenizer: Any, name: ChatTemplate) -> dict[str, int]:
    """Markers of the template that are no tokens in this vocabulary, and how many pieces each is cut into."""
    pieces = {mark: len(tokenizer.encode(mark, add_special_tokens=False)) for mark in _MARKERS.get(name, ())}
    return {mark: count for mark, count in pieces.items() if count > 1}
