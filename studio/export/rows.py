"""Training rows as others read them: JSON in TRL's forms (https://huggingface.co/docs/trl/dataset_formats)."""

from collections.abc import Sequence
from typing import Any

from studio.data.records import Conversation, Passage, Preference, PromptOnly, Rated, Record
from studio.data.tokens import turns_of

TRAIN, VALIDATION = "train.jsonl", "validation.jsonl"


def row_json(record: Record) -> dict[str, Any]:
    """What is learned of a row."""
    match record:
        case Passage(text):
            return {"text": text}
        case Conversation():
            return _with_tools(record.tools, messages=turns_of(record.messages))
        case Preference(prompt, chosen, rejected, tools):
            sides = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
            return _with_tools(tools, **{name: turns_of(turns) for name, turns in sides.items()})
        case Rated(prompt, completion, label, tools):
            return _with_tools(tools, prompt=turns_of(prompt), completion=turns_of(completion), label=label)
        case PromptOnly(prompt, tools, answer):
            return _with_tools(tools, prompt=turns_of(prompt), expected=answer)


def _with_tools(tools: Sequence[Any], **values: Any) -> dict[str, Any]:
    return {**values, **({"tools": [dict(tool) for tool in tools]} if tools else {})}
