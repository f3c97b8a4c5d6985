"""The rewards of a reproduction script: those of the studio's that plain Python can give."""

from collections.abc import Sequence

from studio.export.script_text import filled
from studio.runs.rewards import ContainsReward, ExactReward, JsonReward, LengthReward, RegexReward, Reward

_SAID = '''\
def said(completion, ignore_case):
    """The text of an answer, or a text to look for in it: full-width and half-width forms are the same."""
    text = completion if isinstance(completion, str) else completion[0]["content"]
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    return plain.casefold() if ignore_case else plain
'''

_REWARD_JSON = '''\
def @NAME@(completions, **_):
    """1 for an answer that is JSON@FITS@; else 0."""

    def judge(answer):
        try:
            @VALUE@json.loads(answer)
@CHECK@        except (ValueError, RecursionError@ERRORS@):
            return 0.0
        return 1.0

    return [judge(completion[0]["content"]) for completion in completions]
'''

_REWARD_CONTAINS = '''\
def @NAME@(completions, **_):
    """1 for an answer in which the text stands; else 0."""
    return [float(said(@TEXT@, @FOLD@) in said(completion, @FOLD@)) for completion in completions]
'''

_REWARD_REGEX = '''\
def @NAME@(completions, **_):
    """1 for an answer in which the expression is found; else 0."""
    return [float(regex.search(@PATTERN@, completion[0]["content"]) is not None) for completion in completions]
'''

_REWARD_LENGTH = '''\
def @NAME@(completions, **_):
    """1 for an answer of so many characters; the less, the further away it is."""
    low, high = @LOW@, @HIGH@
    lengths = [len(completion[0]["content"].strip()) for completion in completions]
    return [length / low if length < low else max(0.0, 1 - max(0, length - high) / high) for length in lengths]
'''

_REWARD_EXACT = '''\
def @NAME@(completions, expected, **_):
    """1 for the very answer that the row has; else 0. Rows without one are not judged."""
    pairs = zip(completions, expected)
    return [None if own is None else float(said(given, @FOLD@) == said(own, @FOLD@)) for given, own in pairs]
'''


def can_reward(rewards: Sequence[Reward]) -> bool:
    """Whether none of them takes a part of the studio."""
    return all(_reward("reward", one) is not None for one in rewards)


def reward_pieces(rewards: Sequence[Reward]) -> list[str]:
    """The functions that reward, and their list."""
    names = [f"reward_{place}_{reward.kind}" for place, reward in enumerate(rewards)]
    functions = [text for name, one in zip(names, rewards, strict=True) if (text := _reward(name, one))]
    said = [_SAID] if any("said(" in text for text in functions) else []
    return [*said, *functions, f"REWARDS = [{', '.join(names)}]\n"]


def _reward(name: str, reward: Reward) -> str | None:
    match reward:
        case JsonReward(json_schema=schema) if schema.strip():
            return filled(
                _REWARD_JSON,
                NAME=name,
                FITS=" and fits the schema",
                VALUE="value = ",
                CHECK=f"            jsonschema.validate(value, json.loads({schema!r}))\n",
                ERRORS=", jsonschema.ValidationError",
            )
        case JsonReward():
            return filled(_REWARD_JSON, NAME=name, FITS="", VALUE="", CHECK="", ERRORS="")
        case ContainsReward(text=wanted, ignore_case=fold):
            return filled(_REWARD_CONTAINS, NAME=name, TEXT=repr(wanted), FOLD=repr(fold))
        case RegexReward(pattern=pattern):
            return filled(_REWARD_REGEX, NAME=name, PATTERN=repr(pattern))
        case LengthReward(low=low, high=high):
            return filled(_REWARD_LENGTH, NAME=name, LOW=str(low), HIGH=str(high))
        case ExactReward(ignore_case=fold):
            return filled(_REWARD_EXACT, NAME=name, FOLD=repr(fold))
    return None
