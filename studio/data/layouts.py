"""Known layouts: what the names of columns and their first cells say about them."""

from collections.abc import Callable, Sequence
from typing import Any

from studio.data.labels import read_label
from studio.data.mapping import Layout, Mapping
from studio.data.problems import Unusable
from studio.data.ranking import RANK_KEYS, SCORE_KEYS
from studio.data.tables import Column, Row
from studio.data.tool_calls import read_tools
from studio.data.transcripts import is_transcript
from studio.data.turns import cell_turn_keys, is_answer, is_answer_list

TURN_COLUMNS = ("messages", "conversations", "conversation", "utterances", "turns", "dialogue", "dialog", "chat")
PROMPTS = ("prompt", "question", "instruction", "query", "input", "プロンプト", "質問", "指示", "問い", "問題")
# (layout, prompt names, answer names, input names); the first pair that is there is taken.
_PAIRS: tuple[tuple[Layout, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    ("alpaca", ("instruction", "指示"), ("output", "response", "出力", "応答"), ("input", "入力", "context")),
    ("prompt_completion", ("prompt", "プロンプト"), ("completion", "response", "output", "answer", "応答"), ("input",)),
    (
        "question_answer",
        ("question", "query", "q", "質問", "問い", "問題"),
        ("answer", "answers", "response", "a", "回答", "答え", "解答", "答"),
        ("context", "input", "文脈"),
    ),
    (
        "columns",
        ("input", "source", "user", "text", "入力"),
        ("output", "target", "assistant", "label_text", "出力"),
        (),
    ),
)
ANSWERS = tuple(dict.fromkeys(name for _, _, names, _ in _PAIRS for name in names))
SIDES = (
    ("chosen", "rejected"), ("preferred", "dispreferred"), ("better", "worse"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"), ("良い回答", "悪い回答"),
)  # fmt: skip
# Lists of answers that are ranked by numbers beside or within them; the second kind needs none, its name says it.
_ANSWER_LISTS = ("answers", "responses", "completions", "candidates", "outputs", "generations", "回答")
_BEST_FIRST = ("ranked", "ranking", "ranked_answers", "ranked_responses", "output", "順位順の回答")
_LABELS = ("label", "kto_tag", "thumbs_up", "thumbs", "liked", "is_good", "good", "ラベル", "評価")
TEXTS = ("text", "content", "document", "passage", "body", "本文", "テキスト", "文書")
_TOOLS = ("tools", "functions", "function", "available_tools")
_SYSTEM_NAMES = ("system", "system_prompt", "システム")
_HISTORIES = ("history", "履歴")
# Names of what stands beside a text or a prompt and says nothing to learn.
ABOUT = frozenset((
    "id", "uuid", "url", "uri", "source", "file", "filename", "file_name", "path", "page", "part", "section", "title",
    "name", "date", "time", "timestamp", "created", "created_at", "author", "lang", "language", "license", "licence",
    "subset", "split", "domain", "category", "topic", "tags", "meta", "metadata", "passage_id", "doc_id", "chunk",
    "chunk_id", "offset", "start", "end", "tokens", "token_count", "length", "n_tokens", "score", "index", "idx",
))  # fmt: skip


class Seen:
    """The first rows of a table, looked at by the names of its columns."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row]) -> None:
        self.columns = columns
        self.rows = rows
        self.names = {column.name.strip().casefold(): column.name for column in columns}
        self.system = self.first(_SYSTEM_NAMES, self.is_text)

    def first(self, names: Sequence[str], fits: Callable[[str], bool]) -> str | None:
        return next((self.names[n] for n in names if n in self.names and fits(self.names[n])), None)

    def mostly(self, name: str, test: Callable[[Any], bool]) -> bool:
        """Whether more than half of the cells that hold something pass the test."""
        present = [cell for row in self.rows if (cell := row.values.get(name)) is not None]
        return bool(present) and sum(map(test, present)) * 2 > len(present)

    def is_text(self, name: str) -> bool:
        return any(column.name == name and column.type in ("text", "empty") for column in self.columns)

    def is_prompt(self, name: str) -> bool:
        return self.mostly(name, lambda cell: isinstance(cell, str) or _is_trl(cell))

    def is_answer(self, name: str) -> bool:
        return self.mostly(name, lambda cell: isinstance(cell, str) or _is_trl(cell) or is_answer_list(cell))

    def is_question(self, name: str) -> bool:
        return self.mostly(
            name, lambda cell: isinstance(cell, str) or (_is_trl(cell) and not is_answer(cell[-1]["role"]))
        )

    def is_turns(self, name: str) -> bool:
        return turn_keys(name, self.rows) is not None

    def is_transcript(self, name: str) -> bool:
        return self.mostly(name, is_transcript)

    def is_tools(self, name: str) -> bool:
        return self.mostly(name, _is_tools)

    def is_label(self, name: str) -> bool:
        """Truth values; numbers only where the column's name leaves no doubt."""
        sure = name.strip().casefold() in ("kto_tag", "thumbs_up", "liked")
        return self.mostly(
            name, lambda c: read_label(c) is not None and (sure or not isinstance(c, int) or c is True or c is False)
        )

    def parts(self) -> dict[str, Any]:
        """What goes with any question: a system message, tools, earlier turns."""
        tools = self.first(_TOOLS, self.is_tools)
        history = self.first(_HISTORIES, lambda name: self.mostly(name, lambda cell: isinstance(cell, list)))
        return {"system": self.system, "tools": tools, "history": history}

    def preference(self) -> Mapping | None:
        for good, bad in SIDES:
            if good not in self.names or bad not in self.names:
                continue
            sides: dict[str, Any] = {"chosen": self.names[good], "rejected": self.names[bad]}
            if all(map(self.is_transcript, sides.values())):
                return Mapping(layout="transcripts", transcript=True, system=self.system, **sides)
            turns = self.first(TURN_COLUMNS, self.is_turns)
            if turns:
                keys = turn_keys(turns, self.rows) or ("role", "content")
                asked: dict[str, Any] = {"turns": turns, "role_key": keys[0], "content_key": keys[1]}
            else:
                prompt = self.first(PROMPTS, self.is_prompt)
                extra = self.first(("input", "context", "入力"), self.is_text) if prompt else None
                asked = {"prompt": prompt, "input": extra if extra != prompt else None}
                asked["transcript"] = prompt is not None and self.is_transcript(prompt)
            whole = all(self.mostly(name, _is_whole) for name in sides.values())
            answers = all(self.mostly(name, lambda c: isinstance(c, str) or _is_turn(c)) for name in sides.values())
            if whole or (answers and any(asked.values())):
                return Mapping(layout="preference", **({} if whole else asked), **self.parts(), **sides)
        return None

    def ranked(self) -> Mapping | None:
        prompt = self.first(PROMPTS, self.is_prompt)
        if prompt is None:
            return None
        parts = {"layout": "ranked", "prompt": prompt, "transcript": self.is_transcript(prompt), **self.parts()}
        answers = self.first((*_ANSWER_LISTS, *_BEST_FIRST), lambda name: self.mostly(name, is_answer_list))
        if answers and (numbers := self.rank_numbers(answers)):
            ranks, best = numbers
            return Mapping.model_validate({**parts, "ranked": answers, "ranks": ranks, "best": best})
        listed = self.first(_BEST_FIRST, lambda name: self.mostly(name, lambda c: is_answer_list(c) and len(c) > 1))
        extra = self.first(("input", "入力"), self.is_text)
        return Mapping.model_validate({**parts, "ranked": listed, "input": extra}) if listed else None

    def rank_numbers(self, answers: str) -> tuple[str, str] | None:
        """(where the numbers are that rank a list of answers, a column or a key within each; which number is best)."""
        for names, best in ((RANK_KEYS, "lowest"), (SCORE_KEYS, "highest")):
            beside = self.first((*names, *(f"{n}s" for n in names)), lambda name: self.mostly(name, _are_numbers))
            within = next((key for key in names if self.mostly(answers, lambda c, k=key: _has_key(c, k))), None)
            if beside or within:
                return beside or within or "", best
        return None

    def turns(self, names: Sequence[str]) -> Mapping | None:
        name = self.first(names, self.is_turns) or self.first((*names, *TEXTS), self.is_transcript)
        return self.turn_mapping(name) if name else None

    def only_turns(self) -> Mapping | None:
        found = [column.name for column in self.columns if self.is_turns(column.name)]
        return self.turn_mapping(found[0]) if len(found) == 1 else None

    def turn_mapping(self, name: str) -> Mapping | None:
        """The mapping of a column of turns; None when it holds none."""
        if self.is_transcript(name):
            return Mapping(layout="transcripts", turns=name, transcript=True, system=self.system)
        keys = turn_keys(name, self.rows)
        if keys is None:
            return None
        layouts: dict[tuple[str, str], Layout] = {("role", "content"): "messages", ("from", "value"): "sharegpt"}
        label = self.first(_LABELS, self.is_label)
        parts = {**self.parts(), "history": None}
        parts["tools"] = None if parts["tools"] == name else parts["tools"]
        return Mapping(
            layout="kto" if label else layouts.get(keys, "turns"),
            turns=name, role_key=keys[0], content_key=keys[1], label=label, **parts,
        )  # fmt: skip

    def pair(self) -> Mapping | None:
        for layout, prompts, answers, inputs in _PAIRS:
            prompt = next((self.names[n] for n in prompts if n in self.names), None)
            answer = next((self.names[n] for n in answers if n in self.names), None)
            if not prompt or not answer or not self.is_prompt(prompt) or not self.is_answer(answer):
                continue
            extra = self.first(inputs, self.is_text)
            label = self.first(_LABELS, self.is_label)
            named: Layout = "kto" if label else layout
            if layout == "question_answer" and extra and extra.casefold() in ("context", "文脈"):
                named = "context_qa"
            parts = {"transcript": self.is_transcript(prompt), **self.parts()}
            return Mapping(layout=named, prompt=prompt, answer=answer, input=extra, label=label, **parts)
        return None

    def alone(self, layout: Layout, names: Sequence[str]) -> Mapping | None:
        """A column beside which there is nothing to learn from."""
        name = self.first(names, self.is_text if layout == "text" else self.is_question)
        parts = self.parts() if layout == "prompt_only" else {}
        others = {c.name for c in self.columns} - {name, *parts.values()}
        if name is None or any(other.strip().casefold() not in ABOUT for other in others):
            return None
        return Mapping(layout=layout, text=name) if layout == "text" else Mapping(layout=layout, prompt=name, **parts)


def turn_keys(name: str, rows: Sequence[Row]) -> tuple[str, str] | None:
    """(speaker key, text key) of a column of turns; None when it holds none."""
    present = [cell for row in rows if (cell := row.values.get(name)) is not None]
    found = [keys for cell in present if (keys := cell_turn_keys(cell))]
    return max(set(found), key=found.count) if found and len(found) * 2 > len(present) else None


def _is_trl(cell: Any) -> bool:
    return cell_turn_keys(cell) == ("role", "content")


def _is_turn(cell: Any) -> bool:
    return cell_turn_keys(cell if isinstance(cell, list) else [cell]) is not None


def _is_whole(cell: Any) -> bool:
    """Turns that begin with the question."""
    keys = cell_turn_keys(cell)
    return keys is not None and not is_answer(cell[0][keys[0]])


def _is_tools(cell: Any) -> bool:
    try:
        return bool(read_tools(cell, "")) or cell in ("", "[]", [])
    except Unusable:
        return False


def _are_numbers(cell: Any) -> bool:
    return isinstance(cell, list) and bool(cell) and all(isinstance(n, int | float) for n in cell)


def _has_key(cell: Any, key: str) -> bool:
    return isinstance(cell, list) and bool(cell) and all(isinstance(item, dict) and key in item for item in cell)
