"""The rows of a reproduction script, made tokens as the studio makes them."""

from studio.export.facts import RunFacts
from studio.export.script_text import filled
from studio.runs.methods import CptSpec, KtoSpec, RewardSpec, RolloutSpec, SftSpec

_CHATS = '''\
def render(tokenizer, messages, tools):
    """A chat as text: what is asked, the answer to it, and where in what is asked earlier answers stand."""
    given = {"tools": tools} if tools else {}

    def write(turns, generation):
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation, **given)

    def without_tail(text):  # a chat has stopped before the line end that follows the end of a turn
        short = text.rstrip()
        return short if short.endswith(tuple(tokenizer.all_special_tokens)) else text

    *before, last = messages
    asked, whole = write(before, True), write(messages, False)
    answer = without_tail(whole[len(asked) :]) if whole.startswith(asked) else last["content"]
    earlier = []
    for place, turn in enumerate(before):
        if turn["role"] == "assistant":
            begin = write(before[:place], True) if place else ""
            end = without_tail(write(before[: place + 1], False))
            if asked.startswith(end) and end.startswith(begin):
                earlier.append((len(begin), len(end)))
    return asked, answer, earlier


def encode(tokenizer, asked, answer, earlier=()):
    """Token ids, which of them are learned, and how many of them ask."""
    prompt = tokenizer(asked, add_special_tokens=False, return_offsets_mapping=True)
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    ended = ids and ids[-1] in tokenizer.all_special_ids
    if answer and not ended and tokenizer.eos_token_id is not None:
        ids = [*ids, tokenizer.eos_token_id]
    learned = [
        any(low <= start and start < stop <= high for low, high in earlier) for start, stop in prompt["offset_mapping"]
    ]
    return [*prompt["input_ids"], *ids], [*learned, *([True] * len(ids))], len(prompt["input_ids"])


def encode_chat(tokenizer, messages, tools):
    return encode(tokenizer, *render(tokenizer, messages, tools))
'''

_SFT_ROWS = '''\
def tokenise(tokenizer, row):
    """Ids and labels@ONLY@."""
    ids, learned, _ = encode_chat(tokenizer, row["messages"], row.get("tools"))
    labels = [@LABEL@ for token, own in zip(ids, learned)]
    return {"input_ids": ids[:MAX_LENGTH], "labels": labels[:MAX_LENGTH]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

_CPT_ROWS = '''\
def make_rows(tokenizer, rows, training):
    """Every token of a document is learned, its end token too."""
    documents = []
    for row in rows:
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        if tokenizer.eos_token_id is not None and not (ids and ids[-1] in tokenizer.all_special_ids):
            ids = [*ids, tokenizer.eos_token_id]
        documents.append(ids)
@PACK@    return [{"input_ids": ids, "labels": ids} for ids in documents]
'''

_CPT_PACKED = """\
    if training:
        random.Random(SEED).shuffle(documents)
    ids = [token for document in documents for token in document]
    documents = [ids[begin : begin + MAX_LENGTH] for begin in range(0, len(ids), MAX_LENGTH)]
    documents = [block for block in documents if len(block) > 1]
"""

_CPT_CUT = "    documents = [ids[:MAX_LENGTH] for ids in documents]\n"

_PAIR_ROWS = '''\
def tokenise(tokenizer, row):
    """What both sides begin with, and how each goes on."""
    sides = [encode_chat(tokenizer, row["prompt"] + row[side], row.get("tools")) for side in ("chosen", "rejected")]
    chosen, rejected = (ids[:MAX_LENGTH] for ids, _, _ in sides)
    shared = min(asked for _, _, asked in sides)
    while chosen[:shared] != rejected[:shared]:
        shared -= 1
    return {"prompt_ids": chosen[:shared], "chosen_ids": chosen[shared:], "rejected_ids": rejected[shared:]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

_REWARD_ROWS = '''\
def tokenise(tokenizer, row):
    """The whole chat with either answer."""
    sides = [encode_chat(tokenizer, row["prompt"] + row[side], row.get("tools")) for side in ("chosen", "rejected")]
    chosen, rejected = (ids[:MAX_LENGTH] for ids, _, _ in sides)
    return {"chosen_ids": chosen, "rejected_ids": rejected}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
'''

_KTO_ROWS = """\
def tokenise(tokenizer, row):
    ids, _, asked = encode_chat(tokenizer, row["prompt"] + row["completion"], row.get("tools"))
    ids = ids[:MAX_LENGTH]
    return {"prompt_ids": ids[:asked], "completion_ids": ids[asked:], "label": row["label"]}


def make_rows(tokenizer, rows, training):
    return [tokenise(tokenizer, row) for row in rows]
"""

_PROMPT_ROWS = '''\
def make_rows(tokenizer, rows, training):
    """Prompts as chats, and the answer that a row has."""
    return [{"prompt": row["prompt"], "expected": row.get("expected")} for row in rows]
'''


def row_pieces(run: RunFacts) -> list[str]:
    """The functions that end with `make_rows`."""
    match run.spec.method:
        case CptSpec(packed=packed):
            return [filled(_CPT_ROWS, PACK=_CPT_PACKED if packed else _CPT_CUT)]
        case RolloutSpec():
            return [_PROMPT_ROWS]
        case SftSpec(loss_on="all"):
            return [_CHATS, filled(_SFT_ROWS, ONLY="", LABEL="token")]
        case SftSpec():
            return [_CHATS, filled(_SFT_ROWS, ONLY="; only answers are learned", LABEL="token if own else -100")]
        case KtoSpec():
            return [_CHATS, _KTO_ROWS]
        case RewardSpec():
            return [_CHATS, _REWARD_ROWS]
    return [_CHATS, _PAIR_ROWS]
