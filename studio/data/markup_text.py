"""What does not belong into text to learn: control characters, HTML, special tokens, placeholders, cut ends.

Each is found and, where it can be, taken out; taking out twice is taking out once. Patterns named `_HINT` are for RE2.
"""

import html
import re

# Control characters but tab and line ends; invisible marks that no script needs: zero-width space and joiners of
# words, byte order marks, overrides of the writing direction. Joiners within emoji and Persian stay.
CONTROL_HINT = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{200b}\x{2060}\x{feff}\x{202a}-\x{202e}\x{2066}-\x{2069}"
    r"\x{fffe}\x{ffff}]"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def has_control(text: str) -> bool:
    """Whether characters are in it that nobody can see and no text needs."""
    return _CONTROL.search(text) is not None


def strip_control(text: str) -> str:
    """The text without them."""
    return _CONTROL.sub("", text)


# HTML

_TAGS = (
    "p|br|div|span|a|b|i|u|em|strong|font|ul|ol|li|table|tbody|thead|tr|td|th|h[1-6]|img|script|style|body|head"
    "|html|meta|link|center|blockquote|hr|sup|sub|small|iframe|section|article|header|footer|nav|button|input|form"
)
_TAG_TEXT = rf"</?(?:{_TAGS})(?:\s[^<>]{{0,500}})?/?>"
_ENTITY_TEXT = r"&(?:nbsp|amp|lt|gt|quot|apos|hellip|mdash|ndash|[lr][sd]quo|copy|reg|#\d{1,6}|#x[0-9a-f]{1,5});"
HTML_HINT = rf"(?i){_TAG_TEXT}|{_ENTITY_TEXT}"
_TAG = re.compile(_TAG_TEXT, re.IGNORECASE)
_BREAK = re.compile(r"(?:<br\s*/?>|</(?:p|div|li|tr|h[1-6])>)[ \t]*\n?", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script|style)(?:\s[^<>]{0,500})?>.*?</\1>", re.IGNORECASE | re.DOTALL)
_ENTITY = re.compile(_ENTITY_TEXT, re.IGNORECASE)
# Where code is shown, or HTML is the topic, tags are what is taught.
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_ABOUT_CODE = re.compile(r"html|\bcss\b|javascript|\bxml\b|<!doctype|ウェブページ|タグ|标签|网页", re.IGNORECASE)


def has_html(text: str) -> bool:
    """Whether tags or entities remain in a text that is not about them."""
    if "<" not in text and "&" not in text:
        return False
    bare = _CODE.sub("", text)
    return (_TAG.search(bare) or _ENTITY.search(bare)) is not None and not _ABOUT_CODE.search(text)


def strip_html(text: str) -> str:
    """The text without tags, with line ends for paragraphs and characters for entities; code stays as it is."""
    before = None
    while before != text and has_html(text):
        before = text
        text = "".join(
            piece if piece.startswith("`") else _without_tags(piece)
            for piece in re.split(r"(```.*?(?:```|\Z)|`[^`\n]*`)", text, flags=re.DOTALL)
        )
    return text


def _without_tags(text: str) -> str:
    text = _TAG.sub("", _BREAK.sub("\n", _HIDDEN.sub("", text)))
    return _ENTITY.sub(lambda match: html.unescape(match.group()).replace("\xa0", " "), text)


# Special tokens of the common families (ChatML, Llama, Mistral, Gemma, DeepSeek, T5) written out as text

_SPECIAL_TEXT = (
    r"<\|[A-Za-z][A-Za-z0-9_ ]{1,30}\|>|<｜[^<>｜\n]{1,30}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:bos|eos|pad|unk|mask)>"
    r"|<(?:start|end)_of_(?:turn|text)>|\[(?:CLS|SEP|PAD|UNK|MASK)\]|<extra_id_\d+>"
)
SPECIAL_HINT = _SPECIAL_TEXT
_SPECIAL = re.compile(_SPECIAL_TEXT)


def has_special_tokens(text: str) -> bool:
    """Whether a token that steers a chat template stands in it as text: the model would take it for the real one."""
    return _SPECIAL.search(text) is not None


def escape_special_tokens(text: str) -> str:
    """The same to read, and no token any more: a space stands behind its first character."""
    return _SPECIAL.sub(lambda match: f"{match.group()[0]} {match.group()[1:]}", text)


# Boilerplate

_PHRASES = (
    r"\bas an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant|,)|\bas a (?:large )?language model\b"
    r"|\bi(?:'|’)?(?:m| am) (?:(?:just|only|merely) an? (?:ai|artificial intelligence)\b|an? ai (?:language )?model\b)"
    r"|\bmy knowledge (?:cutoff|cut-off)\b|\blorem ipsum\b|\bas of my last (?:knowledge )?update\b"
    r"|ai(?:の)?(?:言語)?モデル(?:として|なので|である|ですので|のため)|(?:大規模)?言語モデルとして|私はaiの?(?:言語モデル|アシスタント)?(?:なので|ですので|であり)"
    r"|aiアシスタントとして|作为(?:一个|一名)?(?:ai|人工智能)(?:语言)?(?:模型|助手)"
)
_PLACEHOLDERS = frozenset(
    """n/a|#n/a|<noinput>|<no input>|<nooutput>|<no output>|noinput|nooutput|no output|no input|todo|tbd|tba|nan|null
    |undefined|placeholder|your answer here|insert answer here|answer goes here|xxx|...|…|---|--|?|??|???|（略）|(略)
    |特になし|特になし。|該当なし|該当なし。|未定|未入力|未記入|回答なし|準備中|ここに回答を入力|ここに回答|暂无|略""".replace(
        "\n    ", ""
    ).split("|")
)
# (the phrases, or an answer that is short enough to be a placeholder and made of such letters)
BOILERPLATE_HINT = rf"(?i){_PHRASES}|<no ?(?:in|out)put>"
_PHRASE = re.compile(_PHRASES, re.IGNORECASE)
_NO_INPUT = re.compile(r"<no ?(?:in|out)put>", re.IGNORECASE)


def is_placeholder(answer: str) -> bool:
    """Whether the whole text only holds the place of one: N/A, TODO, 特になし."""
    return len(answer) < 40 and answer.strip().casefold() in _PLACEHOLDERS


def has_boilerplate(answer: str) -> bool:
    """Whether the answer speaks of itself as a model."""
    return _PHRASE.search(answer) is not None


def has_no_input(text: str) -> bool:
    """Whether a <noinput> or <nooutput> was left in it."""
    return _NO_INPUT.search(text) is not None


# Answers that stop in the middle of a sentence

_ENDS = frozenset(".!?。！？…．｡」』”’\"')）]】》>}｝〉♪☆★~〜～；;`*|:：؟۔।")
_SENTENCE_END = re.compile(r"[.!?](?=[\s\"'”’)])|[。！？．]")
_LIST_LINE = re.compile(r"\s*(?:[-*+•・●○■◆▪–—#>|]|\(?\d{1,3}[.):、）]|\(?[A-Za-z][.)]\s|[①-⑳])")
_CODE_LINE = re.compile(r"[;{}=<>$\\]|\b(?:def|class|return|import|function|SELECT|FROM|print)\b|https?://|\w\(")
_OPEN = (
    "the a an of and or but to with in on at for from by as is are was were that which who because if when while than"
    " into your my his her its our their this these be has have had will would can could should not so very"
    " der die das und oder mit von zu im in ein eine le la les et de des du un une pour el los y que con para"
)
_OPEN_WORDS = frozenset(_OPEN.split())
_OPEN_KANA = ("は", "が", "を", "に", "で", "と", "の", "も", "へ", "や", "から", "まで", "ので", "けど", "、")


def ending(answer: str) -> int:
    """0: no prose whose end could be told (short, a list, code, a number); 1: ends as a sentence does; 2: is cut off.

    Code, lists, tables, addresses and numbers end anyhow; so only prose counts that has ended a sentence before, or
    that stops at a comma or a word that cannot be the last.
    """
    text = answer.rstrip()
    if not text:
        return 0
    last = text[-1]
    if last in _ENDS:
        return 1 if len(text) > 20 else 0
    if last.isdigit() or "```" in text:
        return 0
    line = text[text.rfind("\n") + 1 :][-400:]
    if _LIST_LINE.match(line) or _CODE_LINE.search(line):
        return 0
    if last in ",、，;-–—(":
        return 2 if len(text) > 20 else 0
    if not last.isalpha() and last != "ー":
        return 0
    if line.isascii() or " " in line[-30:]:
        words = line.split()
        if len(words) > 3 and words[-1].casefold() in _OPEN_WORDS:
            return 2
        return 2 if len(text) >= 30 and len(words) >= 2 and _SENTENCE_END.search(text) else 0
    if len(text) >= 12 and line.endswith(_OPEN_KANA):
        return 2
    return 2 if len(text) >= 15 and len(line) >= 3 and _SENTENCE_END.search(text) else 0
