"""Clean rows in English and Japanese, and the faults that one row of text can have. `planted_sets` plants them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from studio.data.checks import CheckOptions
from studio.data.formats import Mapping as ColumnMapping
from studio.data.splits import SplitSpec

_EN = {
    "noun": "garden river engine letter teacher harbour kitchen mountain blanket lantern picture village bridge market "
    "captain doctor window orchard station painter library forest carpet bicycle farmer island violin bakery museum "
    "theatre tunnel pilot neighbour cellar fountain meadow compass ladder workshop stadium",
    "adj": "quiet golden narrow gentle broken distant wooden clever frozen hollow bright ancient heavy polite curious "
    "lonely dusty colourful patient sturdy hidden modern silent fragile cheerful",
    "verb": "repaired painted followed carried measured visited discovered borrowed polished guarded described crossed "
    "ordered counted protected examined collected remembered improved watched",
    "place": "near the harbour|behind the old mill|in the northern valley|beside the railway|above the bakery|under the "
    "stone arch|around the lake|at the edge of town|inside the tower|along the coast|outside the school|past the gate",
    "time": "last winter|before sunrise|during the storm|after the festival|early on Monday|in the late summer|for three "
    "weeks|at noon|since the spring|every second year|on a rainy evening|without any hurry",
}  # fmt: skip
_JA = {
    "noun": "庭園 河川 機械 手紙 先生 港町 台所 山道 毛布 提灯 絵画 村人 石橋 市場 船長 医師 窓辺 果樹園 停車場 画家 図書館 森林 絨毯 自転車 農夫 "
    "離島 楽器 菓子 博物館 劇場 隧道 操縦士 隣人 倉庫 噴水 草原 羅針盤 梯子 工房 競技場",
    "adj": "静かな 古い 細長い 優しい 壊れた 遠くの 木製の 賢い 凍った 空っぽの 明るい 重たい 丁寧な 寂しい 埃っぽい 鮮やかな 丈夫な 隠れた 新しい 陽気な",
    "verb": "直しました 描きました 追いかけました 運びました 測りました 訪ねました 見つけました 借りました 磨きました 守りました 説明しました 渡りました "
    "注文しました 数えました 調べました 集めました 思い出しました 改良しました 眺めました 選びました",
    "place": "港の近くで|水車小屋の裏で|北の谷で|線路のそばで|パン屋の上で|石の門の下で|湖のまわりで|町のはずれで|塔の中で|海岸に沿って|学校の外で|峠を越えた所で",
    "time": "去年の冬に|夜明け前に|嵐の間に|祭りの後で|月曜日の朝早く|夏の終わりに|三週間かけて|正午ごろ|春から毎日|二年ごとに|雨の夕方に|ゆっくりと",
}  # fmt: skip
_WORDS = {
    language: {kind: words.split("|") if "|" in words else words.split() for kind, words in table.items()}
    for language, table in (("en", _EN), ("ja", _JA))
}


@dataclass
class Planted:
    """Rows, where each fault is (finding -> places in `rows`, from 0), and where a finding may be made besides.

    `template`: chat template of the model whose tokens are counted; None: none are. `split`: how the rows are split.
    """

    rows: list[dict[str, Any]]
    mapping: ColumnMapping
    options: CheckOptions = field(default_factory=CheckOptions)
    template: str | None = None
    split: SplitSpec | None = None
    faults: dict[str, set[int]] = field(default_factory=dict)
    allowed: dict[str, set[int]] = field(default_factory=dict)

    def mark(self, name: str, *places: int) -> None:
        self.faults.setdefault(name, set()).update(places)

    def allow(self, name: str, *places: int) -> None:
        self.allowed.setdefault(name, set()).update(places)


def sentence(language: str, dice: random.Random) -> str:
    w = {kind: dice.choice(words) for kind, words in _WORDS[language].items()}
    other, third = dice.choice(_WORDS[language]["noun"]), dice.choice(_WORDS[language]["adj"])
    if language == "en":
        shape = dice.randrange(3)
        if shape == 0:
            return f"The {w['adj']} {w['noun']} {w['place']} {w['verb']} a {third} {other} {w['time']}."
        if shape == 1:
            return f"{w['time'].capitalize()}, the {other} {w['verb']} every {third} {w['noun']} {w['place']}."
        return f"It was a {third} {other} that {w['verb']} the {w['noun']} {w['place']}, and it stayed {w['adj']}."
    shape = dice.randrange(3)
    if shape == 0:
        return f"{w['adj']}{w['noun']}は{w['place']}{third}{other}を{w['time']}{w['verb']}。"
    if shape == 1:
        return f"{w['time']}、{other}が{third}{w['noun']}を{w['place']}{w['verb']}。"
    return f"{third}{other}が{w['place']}{w['noun']}を{w['verb']}ので、{w['adj']}ままでした。"


def question(language: str, dice: random.Random) -> str:
    w = {kind: dice.choice(words) for kind, words in _WORDS[language].items()}
    other = dice.choice(_WORDS[language]["noun"])
    if language == "en":
        return dice.choice(
            (
                f"Why was the {w['adj']} {w['noun']} {w['place']} of use to the {other} {w['time']}?",
                f"Tell me what the {other} did with the {w['noun']} {w['place']}, and whether it was {w['adj']}.",
                f"Who {w['verb']} the {w['adj']} {other} {w['place']} when the {w['noun']} was away?",
            )
        )
    return dice.choice(
        (
            f"{w['time']}、{w['adj']}{w['noun']}はなぜ{other}の役に立ったのですか。",
            f"{w['place']}{other}が{w['adj']}{w['noun']}をどうしたのか教えてください。",
            f"{w['noun']}がいない間に、{w['place']}{w['adj']}{other}を誰が{w['verb']}か。",
        )
    )


def clean_rows(count: int, dice: random.Random) -> list[dict[str, Any]]:
    """Questions and answers of 2 to 4 sentences, every other row Japanese; all questions differ."""
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    while len(rows) < count:
        language = ("en", "ja")[len(rows) % 2]
        asked = question(language, dice)
        if asked not in seen:
            seen.add(asked)
            space = " " if language == "en" else ""
            answer = space.join(sentence(language, dice) for _ in range(dice.randint(2, 4)))
            rows.append({"question": asked, "answer": answer})
    return rows


def edited(text: str, share: float, dice: random.Random) -> str:
    """`share` of the characters replaced, doubled by another, or left out, at random places."""
    places = set(dice.sample(range(len(text)), round(len(text) * share)))
    letters = [c for c in text if c.isalnum()]
    made = []
    for place, character in enumerate(text):
        if place not in places:
            made.append(character)
            continue
        match dice.randrange(3):
            case 0:
                made.append(dice.choice(letters))
            case 1:
                made += [character, dice.choice(letters)]
    return "".join(made)


def _luhn(prefix: str, length: int, dice: random.Random) -> str:
    digits = prefix + "".join(str(dice.randrange(10)) for _ in range(length - len(prefix) - 1))
    total = sum(int(d) if i % 2 else sum(divmod(2 * int(d), 10)) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def _my_number(dice: random.Random) -> str:
    digits = [dice.randrange(10) for _ in range(11)]
    total = sum(d * (n + 1 if n <= 6 else n - 5) for n, d in enumerate(reversed(digits), 1))
    check = 0 if total % 11 <= 1 else 11 - total % 11
    return "".join(map(str, [*digits, check]))


def _inside(text: str, piece: str, dice: random.Random) -> str:
    """The piece between two sentences, as a sentence of its own."""
    marks = [i + 1 for i, c in enumerate(text[:-1]) if c in ".。"]
    at = dice.choice(marks)
    return f"{text[:at]} {piece} {text[at:].lstrip()}" if text.isascii() else f"{text[:at]}{piece}{text[at:]}"


def _digits(count: int, dice: random.Random) -> str:
    return "".join(str(dice.randrange(10)) for _ in range(count))


def _email(text: str, dice: random.Random) -> str:
    name = dice.choice(("mika.sato", "j_fox", "info", "haru-77", "p.green+list"))
    shown = f"{name}{dice.randrange(99)}@{dice.choice(('example.com', 'mail.example.co.jp', 'example.org'))}"
    return _inside(text, f"Write to {shown}." if text.isascii() else f"連絡は{shown}まで。", dice)


def _phone(text: str, dice: random.Random) -> str:
    if text.isascii():
        shown = dice.choice(
            (f"(212) 555-{_digits(4, dice)}", f"+44 20 7946 0{_digits(3, dice)}", f"415-555-{_digits(4, dice)}")
        )
        return _inside(text, dice.choice((f"Call {shown}.", f"The phone number is {shown}.")), dice)
    shown = dice.choice(
        (f"03-{3 + dice.randrange(6)}{_digits(3, dice)}-{_digits(4, dice)}", f"090-{1 + dice.randrange(9)}{_digits(3, dice)}-{_digits(4, dice)}",
         f"+81 90-{1 + dice.randrange(9)}{_digits(3, dice)}-{_digits(4, dice)}")
    )  # fmt: skip
    return _inside(text, f"電話は{shown}です。", dice)


def _card(text: str, dice: random.Random) -> str:
    number = _luhn(*dice.choice((("4", 16), ("53", 16), ("37", 15), ("3530", 16))), dice)
    shown = dice.choice((number, " ".join(number[i : i + 4] for i in range(0, len(number), 4))))
    return _inside(text, f"It was paid with {shown}." if text.isascii() else f"カード{shown}で払いました。", dice)


def _personal_id(text: str, dice: random.Random) -> str:
    number = _my_number(dice)
    if not text.isascii():
        spaced = " ".join((number[:4], number[4:8], number[8:]))
        return _inside(text, dice.choice((f"マイナンバーは{number}です。", f"番号は{spaced}です。")), dice)
    ssn = f"{dice.randrange(1, 600):03d}-{dice.randrange(1, 99):02d}-{dice.randrange(1, 9999):04d}".replace(
        "666", "667"
    )
    iban = dice.choice(("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR1420041010050500013M02606"))
    return _inside(text, dice.choice((f"The number on the form is {ssn}.", f"Send it to {iban}.")), dice)


def _address(text: str, dice: random.Random) -> str:
    if text.isascii():
        street = dice.choice(("Maple Street", "Old Mill Road", "Park Avenue", "Harbour Lane"))
        return _inside(text, f"Come to {dice.randrange(1, 999)} {street}.", dice)
    place = dice.choice(("東京都新宿区西新宿", "大阪府大阪市北区梅田", "北海道札幌市中央区南", "愛知県名古屋市中区栄"))
    return _inside(
        text, f"住所は{place}{dice.randrange(1, 9)}-{dice.randrange(1, 30)}-{dice.randrange(1, 20)}です。", dice
    )


def _secret(text: str, dice: random.Random) -> str:
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
    key = "".join(dice.choice(letters) for _ in range(36))
    shown = dice.choice(
        (f"sk-proj-{key}", f"ghp_{key}", f"hf_{key}", f"AKIA{key[:16].upper()}", f"password: {key[:12]}9a")
    )
    return _inside(text, f"Use {shown} here." if text.isascii() else f"鍵は {shown} です。", dice)


def _broken(text: str, dice: random.Random) -> str:
    if text.isascii():
        word = dice.choice(("café", "naïve", "Zoë", "it’s", "Søren"))
        return _inside(text, f"They said {word}.".encode().decode("cp1252", "replace").replace("\ufffd", ""), dice)
    word = dice.choice(("ファイル", "こんにちは", "エラー"))
    return text[:-12] + word.encode().decode("cp932") + text[-12:]


def _html(text: str, dice: random.Random) -> str:
    ends = ("<p>", "</p>"), ("<b>", "</b>"), ("", "<br/>"), ("", "&nbsp;"), ('<a href="/x">', "</a>"), ("", "&amp;")
    before, after = dice.choice(ends)
    middle = len(text) // 2
    return text[:middle] + before + text[middle : middle + 8] + after + text[middle + 8 :]


def _control(text: str, dice: random.Random) -> str:
    at = dice.randrange(3, len(text) - 3)
    return text[:at] + dice.choice("\x00\x07\x0b\u200b\u202e\ufeff") + text[at:]


def _special(text: str, dice: random.Random) -> str:
    token = dice.choice(("<|im_end|>", "</s>", "[INST]", "<|endoftext|>", "<end_of_turn>", "<|eot_id|>"))
    return _inside(text, token, dice)


def _boilerplate(text: str, dice: random.Random) -> str:
    if text.isascii():
        begin = ("As an AI language model, I cannot see it.", "I'm just an AI, so I have no opinion.",
                 "As a large language model, I do not travel.")  # fmt: skip
        return f"{dice.choice(begin)} {text}"
    return (
        dice.choice(
            (
                "AI言語モデルとして、私は見ることができません。",
                "私はAIなので意見はありません。",
                "大規模言語モデルとしてお答えします。",
            )
        )
        + text
    )


def _cut(text: str, dice: random.Random) -> str:
    last = max(text[:-1].rfind("."), text[:-1].rfind("。"))
    cut = text[: dice.randrange(last + 8, len(text) - 4)]
    return cut.rstrip() if cut[-1].isalpha() else cut[:-1].rstrip(" ,、") + ("x" if text.isascii() else "")


def _changed(column: str, change: Callable[[str, random.Random], str]) -> Callable[..., None]:
    def plant(planted: Planted, place: int, dice: random.Random) -> None:
        planted.rows[place][column] = change(planted.rows[place][column], dice)

    return plant


def _blank(planted: Planted, place: int, dice: random.Random) -> None:
    planted.rows[place][dice.choice(("question", "answer"))] = dice.choice(("", " ", "\u3000\n", None, "\u200b"))
    planted.allow("control", place)


def _near_blank(planted: Planted, place: int, dice: random.Random) -> None:
    planted.rows[place]["answer"] = dice.choice(
        ("...", "N/A", "TODO", "特になし", "<noinput>", "-", "。", "n/a", "TBD", "？")
    )
    for name in ("boilerplate", "unbalanced_length", "length_outlier", "language_switch"):
        planted.allow(name, place)


def _unbalanced(planted: Planted, place: int, dice: random.Random) -> None:
    language = "en" if planted.rows[place]["question"].isascii() else "ja"
    text = " ".join(sentence(language, dice) for _ in range(25))
    planted.rows[place] = {
        "question": text,
        "answer": dice.choice(("Yes.", "No.", "Nine.")) if language == "en" else "はい。",
    }
    planted.allow("length_outlier", place)


def _outlier(planted: Planted, place: int, dice: random.Random) -> None:
    language = "en" if planted.rows[place]["question"].isascii() else "ja"
    planted.rows[place]["answer"] = " ".join(sentence(language, dice) for _ in range(150))


def _switch(planted: Planted, place: int, dice: random.Random) -> None:
    other = "ja" if planted.rows[place]["question"].isascii() else "en"
    planted.rows[place]["answer"] = " ".join(sentence(other, dice) for _ in range(3))


# One row each. A language switch must stay rare to be one.
ONE_ROW: Mapping[str, Callable[[Planted, int, random.Random], None]] = {
    "blank": _blank,
    "near_blank": _near_blank,
    "email": _changed("answer", _email),
    "phone": _changed("answer", _phone),
    "card": _changed("answer", _card),
    "personal_id": _changed("answer", _personal_id),
    "address": _changed("answer", _address),
    "secret": _changed("answer", _secret),
    "broken_text": _changed("answer", _broken),
    "unreadable_text": _changed("answer", lambda text, dice: text[:9] + "\ufffd" + text[9:]),
    "control": _changed("answer", _control),
    "html": _changed("answer", _html),
    "special_tokens": _changed("answer", _special),
    "boilerplate": _changed("answer", _boilerplate),
    "cut_off": _changed("answer", _cut),
    "unbalanced_length": _unbalanced,
    "length_outlier": _outlier,
    "language_switch": _switch,
}
