"""A Modelfile's template writes conversations as the run's own template does."""

import json
import re
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from studio.data.chat_templates import TEMPLATES
from studio.data.records import Message
from studio.data.tokens import prompt_text
from studio.export.gguf_model import write_gguf
from studio.export.ollama import modelfile, turns_of_template, write_modelfile
from tests.export.gguf_models import save_random
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

USER, ANSWER = Message("user", 'How "are" {{ you }}?\n\n- a\n'), Message("assistant", "元気です。\t🍣 \\n")
SYSTEM, NEXT = Message("system", "あなたは助手です。"), Message("user", "ありがとう！")
CONVERSATIONS = (
    (USER,),
    (SYSTEM, USER),
    (USER, ANSWER, NEXT),
    (SYSTEM, USER, ANSWER, NEXT, ANSWER, USER),
)
# The system turn within the first user turn, as Llama 2 has it; and signs that both languages read otherwise.
WITHIN = (
    "{% set told = messages[0].content if messages[0].role == 'system' else none %}"
    "{% for m in (messages[1:] if told else messages) %}{% if m.role == 'user' %}[INST] "
    "{% if told and loop.first %}<<SYS>>\n{{ told }}\n<</SYS>>\n\n{% endif %}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
DEFAULT = (
    "{% if messages[0].role != 'system' %}<|system|>You help.<|end|>\n{% endif %}"
    '{% for m in messages %}<|{{ m.role }}|>\n"\\{{ m.content }}<|end|>`{}`{% endfor %}'
    '{% if add_generation_prompt %}<|assistant|>\n"\\{% endif %}'
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}{{ bos_token }}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TRANSLATED = {
    **dict(TEMPLATES),
    "tiny": CHAT_TEMPLATE,
    "within": WITHIN,
    "default": DEFAULT,
}


def go(template: str, messages: tuple[Message, ...]) -> str:
    """Writes as Go's text/template does what of it a Modelfile holds: `range`, `if`, `eq`, a variable, quoted text."""
    tokens = re.findall(r"(\s*)\{\{(-?) (.*?) \}\}|(.+?)(?=\s*\{\{|$)", template, re.DOTALL)
    assert not any(text.strip() for *_, text in tokens), "bare text is nowhere"
    actions = [action for _, _, action, text in tokens if not text]
    inner, rest = actions[2 : _end(actions, 1)], actions[_end(actions, 1) + 1 :]
    assert actions[:2] == ['$before := ""', "range .Messages"]
    state = {"$before": ""}
    written = "".join(_run(inner, state, {".Role": m.role, ".Content": m.content}) for m in messages)
    return written + _run(rest, state, {})


def _end(actions: list[str], begin: int) -> int:
    depth = 0
    for place in range(begin, len(actions)):
        depth += actions[place].startswith(("if ", "range "))
        depth -= actions[place] == "end"
        if depth == 0:
            return place
    raise AssertionError("no end")


def _run(actions: list[str], state: dict[str, str], fields: dict[str, str]) -> str:
    written, place = "", 0
    while place < len(actions):
        action = actions[place]
        if action.startswith("if "):
            end = _end(actions, place)
            written += _choose(actions[place:end], state, fields)
            place = end
        elif action.startswith('"'):
            written += json.loads(action)
        elif action.startswith("$before = "):
            state["$before"] = json.loads(action.removeprefix("$before = "))
        else:
            written += fields[action]
        place += 1
    return written


def _choose(actions: list[str], state: dict[str, str], fields: dict[str, str]) -> str:
    """The first branch whose condition holds."""
    begins, depth = [0], 0
    for place, action in enumerate(actions[1:], 1):
        depth += action.startswith("if ")
        depth -= action == "end"
        if depth == 0 and action.startswith("else"):
            begins.append(place)
    for begin, end in zip(begins, [*begins[1:], len(actions)], strict=True):
        asked = re.fullmatch(r'(?:else )?if eq (\S+) (".*")', actions[begin])
        if asked is None or (state | fields)[asked[1]] == json.loads(asked[2]):
            return _run(actions[begin + 1 : end], state, fields)
    return ""


@pytest.mark.parametrize("name", TRANSLATED)
def test_both_templates_write_the_same(name: str) -> None:
    tokenizer = tiny_tokenizer(chat_template=TRANSLATED[name])
    turns = turns_of_template(tokenizer, adds_bos=False)
    assert turns is not None
    for conversation in CONVERSATIONS:
        wanted = prompt_text(conversation, tokenizer)
        assert turns.write(conversation) == wanted
        assert go(turns.go(), conversation) == wanted


def test_a_template_that_refuses_the_system_turn() -> None:
    tokenizer = tiny_tokenizer(chat_template=NO_SYSTEM)
    tokenizer.bos_token = "<|pad|>"
    turns = turns_of_template(tokenizer, adds_bos=True)
    assert turns is not None
    assert turns.system is None
    written = go(turns.go(), (USER, ANSWER, NEXT))
    assert "<|pad|>" + written == prompt_text((USER, ANSWER, NEXT), tokenizer)  # the program adds the first token
    assert go(turns.go(), (SYSTEM, USER)) == go(turns.go(), (USER,))


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}",
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content | upper }}{% endfor %}",
        "{% for m in messages %}{{ m.content }}{{ m.content | length }}{% endfor %}",
        "{{ messages[-1].content }}",
        "{{ strftime_now('%Y') }}" + CHAT_TEMPLATE,
        "{{ raise_exception('never') }}",
    ],
)
def test_what_no_go_template_can_say_is_left_out(template: str) -> None:
    tokenizer = tiny_tokenizer(chat_template=template)
    assert turns_of_template(tokenizer, adds_bos=False) is None
    made = modelfile("m.gguf", tokenizer, ["<|end|>"], adds_bos=False, context=512)
    assert "TEMPLATE" not in made
    assert 'PARAMETER stop "<|end|>"' in made


def test_a_whole_modelfile() -> None:
    stops = ["<|end|>", 'say "stop"', "<|end|>"]
    made = modelfile("m.gguf", tiny_tokenizer(), stops, adds_bos=False, context=10_000)
    head, _, tail = made.partition("TEMPLATE ")
    assert head == "FROM ./m.gguf\n"
    assert made.count('"""') == 4
    assert tail.partition('"""\n')[2] == (
        'PARAMETER stop "<|end|>"\nPARAMETER stop """say "stop""""\n'
        "PARAMETER num_ctx 8192\nPARAMETER repeat_penalty 1\n"
    )


def test_it_lies_beside_its_file(tmp_path: Path) -> None:
    save_random(tmp_path / "model")
    write_gguf(tmp_path / "model", tmp_path / "tiny-F16.gguf", "F16", name="tiny")
    write_modelfile(tmp_path, "tiny-F16.gguf", tmp_path / "model", (1,))
    text = (tmp_path / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith("FROM ./tiny-F16.gguf\nTEMPLATE")
    assert text.endswith('PARAMETER stop "<|end|>"\nPARAMETER num_ctx 512\nPARAMETER repeat_penalty 1\n')


def test_the_templates_of_real_tokenizers_are_translated(shared: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizers" / "minimind")
    turns = turns_of_template(tokenizer, adds_bos=False)
    assert turns is not None
    assert go(turns.go(), CONVERSATIONS[-1]) == prompt_text(CONVERSATIONS[-1], tokenizer)
