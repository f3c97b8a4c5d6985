"""Prompt templates of instruction tuning: one task asked in several ways, now and then the other way round.

Many phrasings of a task, and inverted ones (the model is given the answer and is to find the question), are what the
FLAN collections are made of (Wei et al. 2021, arXiv:2109.01652; Longpre et al. 2023, arXiv:2301.13688).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from studio.data.records import Conversation
from studio.data.templates import fill_template, template_columns
from studio.errors import DataError

INPUT, OUTPUT = "input", "output"
TemplateSet = Literal[
    "question.en", "question.ja", "summary.en", "summary.ja", "translation.en", "translation.ja", "label.en", "label.ja"
]


class InstructionTemplate(BaseModel):
    """How a row is asked. `{input}` is its question, `{output}` its answer, other fields the columns of its table.

    `answer` is what is to be learned: with `{input}` there, the template is inverted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Annotated[str, Field(min_length=1, max_length=10_000)]
    answer: Annotated[str, Field(min_length=1, max_length=10_000)] = "{output}"

    @model_validator(mode="after")
    def _readable(self) -> Self:
        try:
            asked, answered = set(template_columns(self.prompt)), set(template_columns(self.answer))
        except DataError as error:
            raise PydanticCustomError("bad_template", "{reason}", {"reason": str(error)}) from None
        if not asked or not answered:
            raise PydanticCustomError("template_without_field", "no field")
        if OUTPUT in asked and OUTPUT in answered:
            raise PydanticCustomError("template_tells_answer", "the answer is in the prompt")
        return self

    @property
    def inverted(self) -> bool:
        return INPUT in template_columns(self.answer)

    def check(self, columns: Iterable[str]) -> None:
        """Raises DataError that names a field the table does not have."""
        known = (INPUT, OUTPUT, *columns)
        for text in (self.prompt, self.answer):
            for name in template_columns(text):
                if name not in known:
                    raise DataError("error.template.unknown", field=name, column=name, known=", ".join(known))


def _set(*prompts: str, inverted: Sequence[str]) -> tuple[InstructionTemplate, ...]:
    return (
        *(InstructionTemplate(prompt=prompt) for prompt in prompts),
        *(InstructionTemplate(prompt=prompt, answer="{input}") for prompt in inverted),
    )


# To choose from; each set is of one task and language.
TEMPLATE_SETS: Mapping[TemplateSet, tuple[InstructionTemplate, ...]] = {
    "question.en": _set(
        "{input}",
        "Answer the question.\n\n{input}",
        "Question: {input}\nAnswer:",
        "Please answer this: {input}",
        "{input}\n\nGive a short answer.",
        inverted=(
            "Write a question that is answered by: {output}",
            "What was asked, if the answer is this?\n\n{output}",
        ),
    ),
    "question.ja": _set(
        "{input}",
        "次の質問に答えてください。\n\n{input}",
        "質問：{input}\n回答：",
        "教えてください。{input}",
        "{input}\n\n短く答えてください。",
        inverted=(
            "次の文が答えになる質問を書いてください。\n\n{output}",
            "答えが次のとおりのとき、質問は何でしたか。\n\n{output}",
        ),
    ),
    "summary.en": _set(
        "Summarise this text:\n\n{input}",
        "{input}\n\nWhat is this about, in short?",
        "Text: {input}\nSummary:",
        inverted=("Write a text that could be summarised like this: {output}",),
    ),
    "summary.ja": _set(
        "次の文章を要約してください。\n\n{input}",
        "{input}\n\n要点を短くまとめてください。",
        "文章：{input}\n要約：",
        inverted=("要約すると次のようになる文章を書いてください。\n\n{output}",),
    ),
    "translation.en": _set(
        "Translate: {input}",
        "{input}\n\nSay this in the other language.",
        "Text: {input}\nTranslation:",
        inverted=("Translate back: {output}",),
    ),
    "translation.ja": _set(
        "翻訳してください。\n\n{input}",
        "{input}\n\nこれをもう一方の言語で言ってください。",
        "原文：{input}\n訳文：",
        inverted=("元の言語に訳し戻してください。\n\n{output}",),
    ),
    "label.en": _set(
        "{input}\n\nWhich label fits?",
        "Classify this text: {input}",
        "Text: {input}\nLabel:",
        inverted=("Write a text with this label: {output}",),
    ),
    "label.ja": _set(
        "{input}\n\nどの分類に当てはまりますか。",
        "次の文章を分類してください。\n\n{input}",
        "文章：{input}\n分類：",
        inverted=("次の分類に当てはまる文章を書いてください。\n\n{output}",),
    ),
}


def instruct(
    conversation: Conversation,
    values: Mapping[str, Any],
    templates: Sequence[InstructionTemplate],
    key: str,
) -> Conversation:
    """The conversation asked through one of the templates, chosen by `key`, always the same for the same key.

    Only one question with one answer can be asked another way: conversations of several turns, and those with tools,
    stay as they are. So does one for which the template has nothing to say.
    """
    user = conversation.prompt[-1]
    alone = [message.role for message in conversation.prompt if message.role != "system"] == ["user"]
    if not templates or not alone or conversation.tools or conversation.calls:
        return conversation
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % len(templates)
    row = {**values, INPUT: user.content, OUTPUT: conversation.answer}
    prompt, answer = (fill_template(text, row) for text in (templates[number].prompt, templates[number].answer))
    if not prompt or not answer:
        return conversation
    return replace(conversation, prompt=(*conversation.prompt[:-1], replace(user, content=prompt)), answer=answer)
