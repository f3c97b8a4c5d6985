"""The Modelfile by which Ollama makes a model of a GGUF file: its template, where answers end, what it is told.

Ollama writes conversations by a Go template (https://docs.ollama.com/modelfile, https://pkg.go.dev/text/template), the
run by one in Jinja. The former is not guessed from the latter's source: conversations are written with the latter, what
stands between their turns is what the Go template is made of, and further ones are written with both and compared.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.data.records import Message
from studio.data.tokens import TemplateRefusal, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MODELFILE = "Modelfile"
_QUOTES = '"""'
_CONTEXT = 8192
# Words that no template holds, trims or escapes.
_MARKS = ("Zebra1", "Yacht2", "Xenon3", "Waltz4")
_FURTHER = (
    "How are you?",
    'He said: "It\'s 3 < 5 & {{ 7 }}"\n\n- one\n- two',
    "東京の天気は？「晴れ」かな！？",
    "晴れです。気温は28℃です。\nCafé 🍣",
    "ありがとう。",
)


@dataclass(frozen=True, slots=True)
class Turns:
    """What a template writes around the turns of a conversation. `start`: before a first user turn that no system turn
    precedes. `system`: before a system turn, and `user` between that and the user's; None where there can be none.
    `answer`: between a user turn and an answer of the past; `again`: between that and the next user turn. `opening`:
    behind the last user turn, what asks for an answer."""

    start: str
    system: str | None
    user: str
    answer: str
    again: str
    opening: str

    def write(self, messages: Sequence[Message]) -> str:
        """What Ollama makes of a conversation with the Go template of these."""
        written, before = "", ""
        for message in messages:
            if message.role == "system":
                written += f"{self.system}{message.content}" if self.system is not None else ""
            elif message.role == "user":
                written += {"": self.start, "system": self.user}.get(before, self.again) + message.content
            elif message.role == "assistant":
                written += self.answer + message.content
            if message.role != "system" or self.system is not None:
                before = message.role
        return written + (self.opening if before == "user" else "")

    def go(self) -> str:
        """The same as a Go template. All text is in Go's quotes, so that no break or space of its own is trimmed."""
        lines = ['{{- $before := "" }}', "{{- range .Messages }}"]
        if self.system is not None:
            lines += ['{{- if eq .Role "system" }}', _said(self.system) + "{{ .Content }}", '{{- $before = "system" }}']
        lines += [
            '{{- else if eq .Role "user" }}' if self.system is not None else '{{- if eq .Role "user" }}',
            '{{- if eq $before "" }}',
            _said(self.start),
            *(['{{- else if eq $before "system" }}', _said(self.user)] if self.system is not None else []),
            "{{- else }}",
            _said(self.again),
            "{{- end }}",
            '{{- .Content }}{{ $before = "user" }}',
            '{{- else if eq .Role "assistant" }}',
            _said(self.answer) + '{{ .Content }}{{ $before = "assistant" }}',
            "{{- end }}",
            "{{- end }}",
            '{{- if eq $before "user" }}',
            _said(self.opening),
            "{{- end }}",
        ]
        return "\n".join(lines)


def modelfile(
    file: str, tokenizer: "PreTrainedTokenizerBase", stops: Sequence[str], *, adds_bos: bool, context: int
) -> str:
    """The Modelfile of a GGUF file that lies beside it. `stops`: texts that end an answer. `adds_bos`: whether the file
    says that text begins with the first token. `context`: the longest sequence of the model.

    Without a template, where the run's says more than Go's can, Ollama looks whether it knows the one in the GGUF file,
    and else gives the model bare text."""
    turns = turns_of_template(tokenizer, adds_bos=adds_bos)
    lines = [f"FROM ./{file}"]
    if turns is not None:
        lines.append(f"TEMPLATE {_QUOTES}{turns.go()}{_QUOTES}")
    else:
        lines.append("# The chat template says more than Ollama's templates can. Ollama looks whether it knows the one")
        lines.append(
            "# that is in the GGUF file; a program that reads that one itself (llama-server) answers as the run."
        )
    lines += [f"PARAMETER stop {_quoted(stop)}" for stop in dict.fromkeys(stops)]
    # Ollama would otherwise mark down what was said already, and cut long conversations at its own length.
    lines += [f"PARAMETER num_ctx {min(context, _CONTEXT)}", "PARAMETER repeat_penalty 1"]
    return "\n".join(lines) + "\n"


def write_modelfile(folder: Path, file: str, tokenizer_folder: Path, stops: Sequence[int]) -> None:
    """The Modelfile of the GGUF file in `folder`, beside it. `stops`: tokens that end an answer."""
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    fields = GGUFReader(folder / file).fields
    architecture = fields["general.architecture"].contents()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    made = modelfile(
        file,
        tokenizer,
        [str(tokenizer.convert_ids_to_tokens(stop)) for stop in stops],
        adds_bos=bool(fields["tokenizer.ggml.add_bos_token"].contents()),
        context=int(fields[f"{architecture}.context_length"].contents()),
    )
    (folder / MODELFILE).write_text(made, encoding="utf-8")


def turns_of_template(tokenizer: "PreTrainedTokenizerBase", *, adds_bos: bool) -> Turns | None:
    """What the tokenizer's chat template writes around turns; None when that is not all it does with them."""
    if "strftime_now" in str(tokenizer.chat_template):
        return None  # it writes the day
    first = str(tokenizer.bos_token or "") if adds_bos else ""
    system, user, answer = (
        Message(role, mark) for role, mark in zip(("system", "user", "assistant"), _MARKS, strict=False)
    )
    again = Message("user", _MARKS[3])
    try:
        alone = _between(tokenizer, (user,))
        past = _between(tokenizer, (user, answer, again))
    except TemplateRefusal:
        return None
    try:
        told = _between(tokenizer, (system, user))
    except TemplateRefusal:
        told = None
    if alone is None or past is None:
        return None
    # A template that leaves the system turn out, as one that refuses it, has no place for it.
    turns = Turns(
        start=alone[0].removeprefix(first),
        system=told[0].removeprefix(first) if told else None,
        user=told[1] if told else "",
        answer=past[1],
        again=past[2],
        opening=alone[1],
    )
    return turns if _agree(turns, tokenizer, first) else None


def _between(tokenizer: "PreTrainedTokenizerBase", messages: tuple[Message, ...]) -> list[str] | None:
    """What a template writes before, between and behind messages; None when it leaves one out or says it twice."""
    text = prompt_text(messages, tokenizer)
    parts = re.split("|".join(message.content for message in messages), text)
    said = re.findall("|".join(message.content for message in messages), text)
    return parts if said == [message.content for message in messages] else None


def _agree(turns: Turns, tokenizer: "PreTrainedTokenizerBase", first: str) -> bool:
    """Whether further conversations are written alike by the template and by its turns."""
    roles = ("user", "assistant")
    chat = [Message(roles[i % 2], text) for i, text in enumerate(_FURTHER)]
    told = [Message("system", _FURTHER[3])] if turns.system is not None else []
    conversations = [chat[:1], chat[:3], chat, [*told, chat[0]], [*told, *chat[:3]], [*told, *chat]]
    return all(prompt_text(each, tokenizer).removeprefix(first) == turns.write(each) for each in conversations)


def _said(text: str) -> str:
    """Text as Go's templates say it; JSON's escapes are Go's."""
    return f"{{{{- {json.dumps(text, ensure_ascii=False)} }}}}"


def _quoted(text: str) -> str:
    return f"{_QUOTES}{text}{_QUOTES}" if '"' in text or "\n" in text else f'"{text}"'
