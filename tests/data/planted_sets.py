"""Sets of rows into which known numbers of every finding are planted, whatever a row is: all that the checks can find.

Some findings tell of a whole set (too few rows, one label nearly everywhere) or ask whether a thing is the exception in
it. For each of these there is a set on either side of its line: one in which it must be made, and one in which it must
not, though it nearly could (`LINES`).
"""

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from studio.data.checks import FEW_ROWS, CheckOptions
from studio.data.formats import Mapping as ColumnMapping
from studio.data.records import Conversation, Message
from studio.data.set_checks import WANTED_ROWS, WANTED_ROWS_OTHERWISE
from studio.data.splits import SplitSpec, split
from tests.data.planted import ONE_ROW, Planted, clean_rows, edited, sentence
from tests.tiny import CHAT_TEMPLATE

PAIR = ColumnMapping(prompt="question", answer="answer")


def _language(row: dict[str, Any]) -> str:
    return "en" if row["question"].isascii() else "ja"


def _sentences(language: str, count: int, dice: random.Random) -> str:
    return (" " if language == "en" else "").join(sentence(language, dice) for _ in range(count))


def _shuffled(count: int, dice: random.Random) -> list[int]:
    places = list(range(count))
    dice.shuffle(places)
    return places


# Questions and answers


def planted_pairs(rows: int = 3_000, of_each: int = 40, seed: int = 0) -> Planted:
    """Questions and answers with `of_each` of every fault that one row or a copy of it can have."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), ColumnMapping(prompt="question", answer="answer", layout="question_answer"))
    free = list(range(rows))
    dice.shuffle(free)
    for name, plant in ONE_ROW.items():
        for _ in range(of_each):
            place = free.pop()
            plant(made, place, dice)
            made.mark(name, place)
    for _ in range(of_each):
        made.mark("duplicate", len(made.rows))
        made.rows.append(dict(made.rows[free.pop()]))
        _add_near_copy(made, free.pop(), dice.uniform(0.05, 0.15), dice)
        place = free.pop()
        language = "en" if made.rows[place]["question"].isascii() else "ja"
        made.mark("conflict", place, len(made.rows))
        made.rows.append({**made.rows[place], "answer": " ".join(sentence(language, dice) for _ in range(3))})
    return made


def _add_near_copy(made: Planted, place: int, share: float, dice: random.Random) -> None:
    """A copy of a row with this share of its characters edited; by chance the question may stay as it is."""
    copy = {name: edited(text, share, dice) for name, text in made.rows[place].items()}
    if copy["question"] == made.rows[place]["question"]:
        made.allow("conflict", place, len(made.rows))
    for name in ("cut_off", "language_switch"):
        made.allow(name, len(made.rows))
    made.mark("near_duplicate", len(made.rows))
    made.rows.append(copy)


def planted_json(rows: int = 400, of_each: int = 20, seed: int = 0) -> Planted:
    """Answers that are JSON, and some that are broken or are none."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), ColumnMapping(prompt="question", answer="answer"))
    for row in made.rows:
        row["answer"] = json.dumps({"text": row["answer"], "n": dice.randrange(99)}, ensure_ascii=False)
    for place in dice.sample(range(rows), of_each):
        answer = made.rows[place]["answer"]
        made.rows[place]["answer"] = dice.choice((answer[:-1], answer.replace('"', "'"), json.loads(answer)["text"]))
        made.mark("bad_json", place)
    return made


def planted_splits(rows: int = 600, of_each: int = 20, seed: int = 0) -> Planted:
    """A column `split`; some validation rows are (nearly) in the training rows."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), ColumnMapping(prompt="question", answer="answer"))
    for place, row in enumerate(made.rows):
        row["split"] = "train" if place < 0.8 * rows else "validation"
    for turn, place in enumerate(dice.sample(range(int(0.8 * rows), rows), of_each)):
        source = made.rows[dice.randrange(int(0.8 * rows))]
        share = 0.1 if turn % 2 else 0.0
        made.rows[place] = {n: edited(source[n], share, dice) for n in ("question", "answer")} | {"split": "validation"}
        made.mark("leak", place)
        made.allow("cut_off", place)
        made.mark("near_duplicate" if share else "duplicate", place)
    return made


def planted_types(rows: int = 400, of_each: int = 20, seed: int = 0) -> Planted:
    """Answers that are no text; a column of numbers with a few words in it, one of lists with a few texts, and one of
    words with a few numbers, which is nothing odd."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    for row in made.rows:
        row |= {"stars": str(dice.randint(1, 5)), "tags": dice.sample(["a", "b", "c"], 2), "note": dice.choice("xyz")}
    free = _shuffled(rows, dice)
    for _ in range(of_each):
        place = free.pop()
        numbers = (dice.randrange(10**9), dice.random(), {"k": dice.randrange(10**9)}, [dice.randrange(10**9)])
        if dice.random() < 0.5:
            made.rows[place]["question"] = dice.choice(numbers)
        else:
            made.rows[place]["answer"] = dice.choice((*numbers, True, False))
        made.mark("wrong_type", place)
        made.rows[place := free.pop()]["stars"] = dice.choice(("many", "five", "★★★"))
        made.mark("odd_values", place)
        made.rows[place := free.pop()]["tags"] = dice.choice(("none", 3, {"a": "b"}))
        made.mark("odd_values", place)
        made.rows[free.pop()]["note"] = "7"
    return made


def planted_tokens(rows: int = 400, of_each: int = 20, seed: int = 0) -> Planted:
    """Rows longer than a model reads, to the token: a token of the tiny tokenizer is a byte, and the template adds
    three before the answer and one behind it. Some have a system turn, which its template refuses."""
    dice = random.Random(seed)
    longest = 800
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    mapping = ColumnMapping(prompt="question", answer="answer", system="system")
    made = Planted(clean_rows(rows, dice), mapping, CheckOptions(max_length=longest), refusing + CHAT_TEMPLATE)
    for row in made.rows:
        row["system"] = None
        assert len((row["question"] + row["answer"]).encode()) + 4 < longest
    free = [place for place in _shuffled(rows, dice) if made.rows[place]["question"].isascii()]

    def exactly(length: int) -> str:
        return _sentences("en", 12, dice)[: length - 1].rstrip(" .").ljust(length - 1, "y") + "."

    for number in range(of_each):
        row = made.rows[free.pop()]
        row["answer"] = exactly(longest - 4 - len(row["question"]))  # just fits
        row = made.rows[place := free.pop()]
        over = 1 if number % 2 else dice.randint(2, 200)
        row["answer"] = exactly(longest - 4 - len(row["question"]) + over)
        made.mark("too_long", place)
        made.rows[place := free.pop()]["question"] = exactly(longest - 4)  # one token is left to learn
        made.mark("too_long", place)
        made.rows[place := free.pop()]["question"] = exactly(longest - 3 + (0 if number % 2 else dice.randint(1, 200)))
        made.mark("lost", place)
        made.rows[place := free.pop()]["system"] = dice.choice(("Be brief.", "短く答えてください。"))
        made.mark("refused", place)
    return made


def planted_split(rows: int = 600, of_each: int = 40, seed: int = 0) -> Planted:
    """Copies and edited copies of rows, and a split that does not keep the edited ones together with theirs."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR, split=SplitSpec(validation_share=0.3, test_share=0.1, seed=seed))
    free = _shuffled(rows, dice)
    near: list[tuple[int, int]] = []
    for _ in range(of_each):
        made.mark("duplicate", len(made.rows))
        made.rows.append(dict(made.rows[free.pop()]))
        place = free.pop()
        near.append((place, len(made.rows)))
        _add_near_copy(made, place, 0.08, dice)
    sides = split(list(enumerate(map(_talk, made.rows))), made.split or SplitSpec())
    train = set(sides.train.tolist())
    for pair in near:
        kept_back = [place for place in pair if place not in train]
        if len(kept_back) == 1:
            made.mark("split_leak", *kept_back)
    return made


def _talk(row: dict[str, Any]) -> Conversation:
    return Conversation((Message("user", row["question"]),), row["answer"])


def translations(rows: int = 200, seed: int = 0) -> Planted:
    """Every fifth answer is in the other language: no exception."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    for row in made.rows[::5]:
        row["answer"] = _sentences("ja" if _language(row) == "en" else "en", 3, dice)
    return made


def unended(rows: int = 200, seed: int = 0) -> Planted:
    """Every third answer leaves out its last full stop: the custom of this data."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    for row in made.rows[::3]:
        row["answer"] = row["answer"][:-1]
    return made


def some_json(rows: int = 200, seed: int = 0) -> Planted:
    """Three answers of four are JSON, the others words."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    for place, row in enumerate(made.rows):
        if place % 4:
            row["answer"] = json.dumps({"text": row["answer"]}, ensure_ascii=False)
    return made


def labelled(rows: int = 400, usual: float = 0.95, seed: int = 0) -> Planted:
    """A classification in which one label is given to this share of the rows."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    for place in _shuffled(rows, dice):
        is_usual = place < usual * rows
        made.rows[place]["answer"] = "ham" if is_usual else dice.choice(("spam", "fraud"))
        if is_usual and usual >= 0.9:
            made.mark("label_imbalance", place)
    return made


def answers_again(rows: int = 300, answers: int = 20, seed: int = 0) -> Planted:
    """So many long answers for all rows."""
    dice = random.Random(seed)
    made = Planted(clean_rows(rows, dice), PAIR)
    known = {language: [_sentences(language, 5, dice) for _ in range(answers // 2)] for language in ("en", "ja")}
    for place, row in enumerate(made.rows):
        row["answer"] = known[_language(row)][place // 2 % (answers // 2)]
    if answers <= rows / 10:
        made.mark("few_answers", *range(rows))
    return made


def so_many(rows: int, tuner: str = "lora", seed: int = 0) -> Planted:
    """Clean rows, and nothing to be said of them but that they are few."""
    made = Planted(clean_rows(rows, random.Random(seed)), PAIR, CheckOptions(tuner=tuner))
    if rows < FEW_ROWS:
        made.mark("few_rows", *range(rows))
    elif rows < WANTED_ROWS.get(tuner, WANTED_ROWS_OTHERWISE):
        made.mark("few_for_method", *range(rows))
    return made


# Conversations


def _chats(rows: int, dice: random.Random) -> Planted:
    made = Planted([], ColumnMapping(layout="messages", turns="messages"))
    for row in clean_rows(rows, dice):
        turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
        made.rows.append({"messages": turns})
    return made


def planted_chats(rows: int = 600, of_each: int = 20, seed: int = 0) -> Planted:
    """Conversations with turns out of order, unknown speakers, turns that are none, no question, no last answer."""
    dice = random.Random(seed)
    made = _chats(rows, dice)
    free = _shuffled(rows, dice)
    extra = {"role": "user", "content": "Please go on."}
    for number in range(of_each):
        place = free.pop()
        turns = made.rows[place]["messages"]
        match number % 3:
            case 0:
                turns.insert(1, {"role": "system", "content": "Be brief."})
            case 1:
                turns.insert(0, dict(turns[0], content=turns[0]["content"] + " Thank you."))
            case _:
                turns.insert(0, {"role": "assistant", "content": "Good morning to you."})
        made.mark("bad_roles", place)
        place = free.pop()
        made.rows[place]["messages"].append(extra)
        made.mark("ends_without_answer", place)
        place = free.pop()
        made.rows[place]["messages"][0]["role"] = dice.choice(("narrator", "語り手"))
        made.mark("unknown_role", place)
        place = free.pop()
        made.rows[place]["messages"][number % 2]["content"] = dice.choice((place, place / 8, {"k": place}))
        made.mark("wrong_type", place)
        place = free.pop()
        if number % 3:
            made.rows[place]["messages"][number % 2]["content"] = dice.choice(("", " ", "\u3000"))
        else:
            made.rows[place]["messages"] = dice.choice((None, []))
        made.mark("blank", place)
        place = free.pop()
        match number % 4:
            case 0:
                del made.rows[place]["messages"][0]  # nobody asks
            case 1:
                del made.rows[place]["messages"][1]  # nobody answers
            case 2:
                made.rows[place]["messages"][0] = dice.choice(("hello", {"content": "hello"}, 3))
            case _:
                made.rows[place]["messages"] = dice.choice(("hello", 3, {"k": "v"}))
        made.mark("unusable", place)
    return made


_PLACES = ("Oslo", "Kyoto", "Lima", "Cairo", "Quito", "Perth", "Turin", "Osaka", "Bergen", "Nara", "Porto", "Kobe")
_FUNCTIONS: Mapping[str, dict[str, Any]] = {
    "get_weather": {
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city"],
    },
    "set_timer": {"properties": {"minutes": {"type": "integer", "minimum": 1}}, "required": ["minutes"]},
    "send_parcel": {
        "properties": {"to": {"type": "string"}, "items": {"type": "array", "items": {"type": "string"}}},
        "required": ["to", "items"],
    },
}


def _arguments(name: str, dice: random.Random) -> dict[str, Any]:
    match name:
        case "get_weather":
            return {"city": dice.choice(_PLACES)} | ({"unit": dice.choice("CF")} if dice.random() < 0.5 else {})
        case "set_timer":
            return {"minutes": dice.randint(1, 900)}
        case _:
            return {"to": dice.choice(_PLACES), "items": dice.sample(["tea", "ink", "wool", "soap"], 2)}


_UNFIT: Mapping[str, tuple[dict[str, Any], ...]] = {
    "get_weather": ({}, {"city": 7}, {"city": "Oslo", "unit": "K"}, {"town": "Oslo"}),
    "set_timer": ({}, {"minutes": "ten"}, {"minutes": 0}, {"minutes": 2.5}),
    "send_parcel": ({"to": "Oslo"}, {"to": "Oslo", "items": "tea"}, {"to": None, "items": []}),
}


def planted_calls(rows: int = 400, of_each: int = 30, seed: int = 0) -> Planted:
    """Calls of tools: of some that are not there, with arguments that do not fit, and written so that none can be
    read. Of the clean rows four of five call one of two tools, and the others answer in words."""
    dice = random.Random(seed)
    made = _chats(rows, dice)
    made.mapping = ColumnMapping(layout="messages", turns="messages", tools="tools")
    called: dict[int, str] = {}
    for place, row in enumerate(made.rows):
        offered = dice.sample(sorted(_FUNCTIONS), 2)
        functions = [{"name": n, "parameters": {"type": "object", **_FUNCTIONS[n]}} for n in offered]
        row["tools"] = [{"type": "function", "function": f} for f in functions] if dice.random() < 0.7 else functions
        if place % 5:
            called[place] = dice.choice(offered)
            _call(row, called[place], _arguments(called[place], dice), dice)
    free = sorted(called)
    dice.shuffle(free)
    for number in range(of_each):
        row = made.rows[place := free.pop()]
        if number % 3:
            _call(row, called[place], dice.choice(_UNFIT[called[place]]), dice)
        else:
            offered = {tool.get("function", tool)["name"] for tool in row["tools"]}
            other = dice.choice([*sorted(_FUNCTIONS.keys() - offered), "get_wether"])
            _call(row, other, _arguments(other, dice), dice)
        made.mark("bad_tool_calls", place)
        row = made.rows[place := free.pop()]
        call = row["messages"][1]["tool_calls"][0]["function"]
        match number % 4:
            case 0:
                call["arguments"] = '{"city": '
            case 1:
                call["arguments"] = [1, 2]
            case 2:
                del call["name"]
            case _:
                row["tools"] = dice.choice(("get_weather(city)", [{"parameters": {}}], [7]))
        made.mark("broken_tool_calls", place)
    return made


def _call(row: dict[str, Any], name: str, arguments: dict[str, Any], dice: random.Random) -> None:
    """The answer becomes a call, the arguments as an object or as its text; sometimes the talk goes on behind it."""
    written = dice.choice((arguments, json.dumps(arguments, ensure_ascii=False)))
    call = {"type": "function", "function": {"name": name, "arguments": written}}
    asked = row["messages"][0]
    row["messages"] = [asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
    if dice.random() < 0.3:
        language = "en" if asked["content"].isascii() else "ja"
        result = {"role": "tool", "content": json.dumps({"ok": dice.randrange(10**6)})}
        row["messages"] += [result, {"role": "assistant", "content": _sentences(language, 2, dice)}]


# Preferences and ratings


def preferences(rows: int = 400, of_each: int = 20, longer: float = 0.75, seed: int = 0) -> Planted:
    """A better and a worse answer, the better one longer in this share of the rows; some say the same."""
    dice = random.Random(seed)
    mapping = ColumnMapping(layout="preference", prompt="question", chosen="answer", rejected="rejected")
    made = Planted(clean_rows(rows, dice), mapping)
    free = _shuffled(rows, dice)
    for _ in range(of_each):
        row = made.rows[place := free.pop()]
        row["rejected"] = dice.choice((row["answer"], f" {row['answer']}\n", row["answer"].upper()))
        made.mark("equal_pair", place)
    follows = set(free[: round(longer * len(free))])
    tells = longer >= 0.85 or longer <= 0.15
    for place in free:
        row = made.rows[place]
        sides = [row["answer"], row["answer"]]
        while len(sides[0]) == len(sides[1]):
            sides = [_sentences(_language(row), dice.randint(2, 4), dice) for _ in range(2)]
        short, long = sorted(sides, key=len)
        row["answer"], row["rejected"] = (long, short) if place in follows else (short, long)
        if tells and (place in follows) == (longer > 0.5):
            made.mark("length_preference", place)
    return made


def ratings(rows: int = 400, of_each: int = 20, up: float = 0.6, seed: int = 0) -> Planted:
    """Answers with thumbs up in this share of the rows; some are rated both ways, some by a word that is no rating."""
    dice = random.Random(seed)
    mapping = ColumnMapping(layout="kto", prompt="question", answer="answer", label="label")
    made = Planted(clean_rows(rows, dice), mapping)
    for place in _shuffled(rows, dice):
        made.rows[place]["label"] = place < up * rows
    free = _shuffled(rows, dice)
    for _ in range(of_each):
        place = free.pop()
        made.mark("conflict", place, len(made.rows))
        made.rows.append({**made.rows[place], "label": not made.rows[place]["label"]})
        made.mark("duplicate", len(made.rows))
        made.rows.append(dict(made.rows[free.pop()]))
        made.rows[place := free.pop()]["label"] = dice.choice(("maybe", 3, None, "?"))
        made.mark("unusable", place)
    if up >= 0.9:
        made.mark("label_imbalance", *(place for place, row in enumerate(made.rows) if row["label"] is True))
    return made


def transcripts(rows: int = 300, of_each: int = 15, seed: int = 0) -> Planted:
    """Preferences as HH-RLHF writes them; some name no speaker, some ask two different things, some say the same."""
    dice = random.Random(seed)
    mapping = ColumnMapping(layout="transcripts", chosen="chosen", rejected="rejected", transcript=True)
    made = Planted([], mapping)

    def talk(row: dict[str, Any], answer: str) -> str:
        return f"\n\nHuman: {row['question']}\n\nAssistant: {answer}"

    asked = clean_rows(rows, dice)
    for row in asked:
        other = _sentences(_language(row), dice.randint(2, 4), dice)
        made.rows.append({"chosen": talk(row, row["answer"]), "rejected": talk(row, other)})
    free = _shuffled(rows, dice)
    for _ in range(of_each):
        place = free.pop()
        made.rows[place][dice.choice(("chosen", "rejected"))] = asked[place]["answer"]
        made.mark("unusable", place)
        place = free.pop()
        made.rows[place]["rejected"] = talk(asked[free.pop()], asked[place]["answer"])
        made.mark("unusable", place)
        place = free.pop()
        made.rows[place]["rejected"] = made.rows[place]["chosen"] + " "
        made.mark("equal_pair", place)
    return made


def rankings(rows: int = 300, of_each: int = 15, seed: int = 0) -> Planted:
    """Lists of answers with a score each; of some there is only one, or no best one."""
    dice = random.Random(seed)
    mapping = ColumnMapping(layout="ranked", prompt="question", ranked="answers", ranks="scores", best="highest")
    made = Planted(clean_rows(rows, dice), mapping)
    for row in made.rows:
        row["answers"] = [_sentences(_language(row), dice.randint(2, 4), dice) for _ in range(3)]
        row["scores"] = dice.sample(range(10), 3)
    for number, place in enumerate(_shuffled(rows, dice)[:of_each]):
        row = made.rows[place]
        match number % 3:
            case 0:
                row["answers"], row["scores"] = row["answers"][:1], row["scores"][:1]
            case 1:
                row["scores"] = [4, 4, 4]
            case _:
                row["scores"] = dice.choice((row["scores"][:2], None, ["a", "b", "c"]))
        made.mark("unusable", place)
    return made


# Passages and templates


def passages(rows: int = 300, of_each: int = 15, seed: int = 0) -> Planted:
    """Plain text, cut anywhere, which is no fault in a passage; some of it blank."""
    dice = random.Random(seed)
    made = Planted([], ColumnMapping(layout="text", text="text"))
    for row in clean_rows(rows, dice):
        made.rows.append({"text": row["answer"] if dice.random() < 0.9 else row["answer"][:-9]})
    for place in _shuffled(rows, dice)[:of_each]:
        made.rows[place]["text"] = dice.choice(("", " ", "\u3000\n", None))
        made.mark("blank", place)
    return made


def choices(rows: int = 300, of_each: int = 15, seed: int = 0) -> Planted:
    """Multiple choice by a template; some name an option that is not there."""
    dice = random.Random(seed)
    mapping = ColumnMapping(
        layout="template",
        prompt_template="{question}\nA. {choices[0]}\nB. {choices[1]}",
        answer_template="{choices[{label}]}",
    )
    made = Planted(clean_rows(rows, dice), mapping)
    for row in made.rows:
        row["choices"] = [_sentences(_language(row), 2, dice) for _ in range(2)]
        row["label"] = dice.choice("AB")
    for place in _shuffled(rows, dice)[:of_each]:
        made.rows[place]["label"] = dice.choice(("C", "both", "-1"))
        made.mark("unusable", place)
    return made


# Sets with faults in single rows, and sets that only as a whole have one, or nearly have.
FAULTY: Mapping[str, Callable[..., Planted]] = {
    "pairs": planted_pairs,
    "json": planted_json,
    "splits": planted_splits,
    "types": planted_types,
    "tokens": planted_tokens,
    "split": planted_split,
    "chats": planted_chats,
    "calls": planted_calls,
    "preferences": preferences,
    "ratings": ratings,
    "transcripts": transcripts,
    "rankings": rankings,
    "passages": passages,
    "choices": choices,
}
WHOLE: Mapping[str, Callable[..., Planted]] = {
    "translations": translations,
    "unended": unended,
    "some_json": some_json,
    "one_label": lambda seed=0: labelled(usual=0.92, seed=seed),
    "labels": lambda seed=0: labelled(usual=0.88, seed=seed),
    "thumbs_up": lambda seed=0: ratings(of_each=0, up=0.92, seed=seed),
    "thumbs": lambda seed=0: ratings(of_each=0, up=0.88, seed=seed),
    "longer_wins": lambda seed=0: preferences(of_each=0, longer=0.87, seed=seed),
    "shorter_wins": lambda seed=0: preferences(of_each=0, longer=0.13, seed=seed),
    "length_apart": lambda seed=0: preferences(of_each=0, longer=0.83, seed=seed),
    "few_answers": lambda seed=0: answers_again(answers=30, seed=seed),
    "more_answers": lambda seed=0: answers_again(answers=40, seed=seed),
    "nineteen_rows": lambda seed=0: so_many(19, seed=seed),
    "twenty_rows": lambda seed=0: so_many(20, seed=seed),
    "199_rows": lambda seed=0: so_many(199, seed=seed),
    "200_rows": lambda seed=0: so_many(200, seed=seed),
    "1999_rows_all_weights": lambda seed=0: so_many(1_999, "full", seed),
    "2000_rows_all_weights": lambda seed=0: so_many(2_000, "full", seed),
}

SETS: Mapping[str, Callable[..., Planted]] = {**FAULTY, **WHOLE}
# (finding, a set in which it must be made, one in which it must not).
LINES: tuple[tuple[str, str, str], ...] = (
    ("few_rows", "nineteen_rows", "twenty_rows"),
    ("few_for_method", "199_rows", "200_rows"),
    ("few_for_method", "1999_rows_all_weights", "2000_rows_all_weights"),
    ("few_answers", "few_answers", "more_answers"),
    ("label_imbalance", "one_label", "labels"),
    ("label_imbalance", "thumbs_up", "thumbs"),
    ("length_preference", "longer_wins", "length_apart"),
    ("length_preference", "shorter_wins", "preferences"),
    ("language_switch", "pairs", "translations"),
    ("cut_off", "pairs", "unended"),
    ("bad_json", "json", "some_json"),
    ("split_leak", "split", "splits"),
)
