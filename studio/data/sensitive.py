"""What must not be learned by heart: keys and tokens, by the shapes their makers give them, and personal data.

Numbers are told by their check digits and by the numbering plans of their countries, not by their looks alone. Every
mask leaves what it has masked alone. Patterns named `_HINT` are for RE2, and cheap: every text that holds such a
thing holds one of these.
"""

import re
from collections.abc import Callable, Iterator

from stdnum import iban, luhn
from stdnum.jp import in_
from stdnum.us import ssn

# Prefixes and lengths as the makers document them (GitHub, OpenAI, Hugging Face, AWS, Google, Slack, Stripe, PEM, JWT);
# the last is any value given as a password, key or token, long enough and mixed enough to be one.
_PATTERN = re.compile(
    r"""
      -----BEGIN[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----(?:.*?-----END[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----)?
    | (?<![A-Za-z0-9])(?:
        (?:AKIA|ASIA)[0-9A-Z]{16}
      | gh[pousr]_[A-Za-z0-9]{30,255} | github_pat_[A-Za-z0-9_]{40,255} | glpat-[A-Za-z0-9_-]{20,}
      | sk-(?:proj-|ant-|live-|test-)?[A-Za-z0-9_-]{20,} | [rs]k_(?:live|test)_[A-Za-z0-9]{16,}
      | hf_[A-Za-z0-9]{30,} | AIza[A-Za-z0-9_-]{35} | xox[abeoprs]-[A-Za-z0-9-]{10,} | npm_[A-Za-z0-9]{36}
      | eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}
      )(?![A-Za-z0-9])
    | (?<=://)[^\s:/@]{1,64}:[^\s:/@]{3,128}(?=@)
    | (?i:(?<![a-z])(?:password|passwd|api[ _-]?key|secret(?:[ _-]?key)?|(?:access|auth)[ _-]?token
        |パスワード|暗証番号|APIキー)(?:の値)?
        (?:\s+is\s+|\s*[:=：＝は]\s*)["'「]?)
      (?P<value>(?=[^\s"'」、。]*[0-9])(?=[^\s"'」、。]*[A-Za-z])[\x21-\x7e]{8,}?)(?=$|[\s"',;]|[^\x00-\x7f]|[.](?:\s|$))
    """,
    re.VERBOSE | re.DOTALL,
)
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
# Every match holds one of these, in lower case: most texts are passed by without the pattern.
_HINTS = (
    "private key", "akia", "asia", "gh", "glpat-", "k-", "k_", "hf_", "aiza", "xox", "npm_", "eyj", "://", "passw",
    "key", "secret", "token", "パスワード", "暗証番号", "キー",
)  # fmt: skip
# For RE2, without looking around: every text that holds a secret holds one of these.
SECRET_HINT = "|".join(
    (
        "PRIVATE KEY-----", "(?:AKIA|ASIA)[0-9A-Z]{16}", "gh[pousr]_[A-Za-z0-9]{30}", "github_pat_", "glpat-",
        "sk-[A-Za-z0-9_-]{20}", "[rs]k_(?:live|test)_", "hf_[A-Za-z0-9]{30}", "AIza", "xox[abeoprs]-",
        "npm_[A-Za-z0-9]{36}", "eyJ[A-Za-z0-9_-]{10}", "://[^/@]{1,64}:[^/@]{3,128}@",
        "(?i:password|passwd|api[ _-]?key|secret|token|パスワード|暗証番号|APIキー)(?:の値)?"
        "(?:[\\s\\p{Z}]+is[\\s\\p{Z}]|[\\s\\p{Z}]*[:=：＝は])",
    )
)  # fmt: skip
EMAIL_HINT = "[A-Za-z0-9._%+-]@[A-Za-z0-9]"
MASK = "[secret]"
EMAIL_MASK = "[email]"


def has_secret(text: str) -> bool:
    """Whether something in the text looks like a key, token or password."""
    return _hinted(text) and _PATTERN.search(text) is not None


def _hinted(text: str) -> bool:
    lower = text.lower()
    return any(hint in lower for hint in _HINTS)


def mask_secrets(text: str) -> str:
    """The text with every such value replaced by `[secret]`."""
    return _PATTERN.sub(_masked, text) if _hinted(text) else text


def _masked(match: re.Match[str]) -> str:
    value = match.group("value")
    return match.group()[: -len(value)] + MASK if value else MASK


def has_email(text: str) -> bool:
    """Whether a mail address is in the text."""
    return "@" in text and _EMAIL.search(text) is not None


def mask_emails(text: str) -> str:
    """The text with every mail address replaced by `[email]`."""
    return _EMAIL.sub(EMAIL_MASK, text) if "@" in text else text


# Numbers

_DASH = r"\-‐‑‒–−－ー"
CARD_HINT = rf"\p{{Nd}}(?:[ {_DASH}]?\p{{Nd}}){{12}}"
PHONE_HINT = rf"(?:\p{{Nd}}[ .(){_DASH}\x{{3000}}（）]{{0,3}}){{6}}\p{{Nd}}"
ID_HINT = (
    rf"\p{{Nd}}{{4}}[ {_DASH}]?\p{{Nd}}{{4}}[ {_DASH}]?\p{{Nd}}{{4}}|\p{{Nd}}{{3}}-\p{{Nd}}{{2}}-\p{{Nd}}{{4}}"
    "|[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}"
)
_RUN = re.compile(rf"[+＋]?[(（]?\d[\d .(){_DASH}\u3000（）/]{{5,}}\d(?:\s?(?:x|ext\.?)\s?\d{{1,6}})?", re.IGNORECASE)
_CARD = re.compile(rf"(?<![\d.,#{_DASH}])\d(?:[ {_DASH}]?\d){{12,18}}(?![\d{_DASH}]|[.,]\d)")
PHONE_MASK = "[phone]"
CARD_MASK = "[card]"
ID_MASK = "[id]"
ADDRESS_MASK = "[address]"


def _digits(text: str) -> str:
    return "".join(str(int(c)) for c in text if c.isdigit() and c.isdecimal())


def _is_card(digits: str) -> bool:
    """By length and first digits (Visa, Mastercard, American Express, Discover, JCB, Diners) and Luhn's check digit."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    known = (
        (digits[0] == "4" and length in (13, 16, 19))
        or (length == 16 and (51 <= two <= 55 or 2221 <= four <= 2720 or two == 65 or four == 6011))
        or (length == 16 and (3528 <= four <= 3589 or 6440 <= four <= 6499))
        or (length == 15 and two in (34, 37))
        or (length == 14 and (two in (36, 38) or 3000 <= four <= 3059))
    )
    return known and len(set(digits)) > 1 and luhn.is_valid(digits)


def _card_places(text: str) -> Iterator[tuple[int, int]]:
    for match in _CARD.finditer(text):
        if _is_card(_digits(match.group())):
            yield match.span()


def has_card(text: str) -> bool:
    """Whether a payment card's number is in the text."""
    return next(_card_places(text), None) is not None


def mask_cards(text: str) -> str:
    """The text with every card number replaced by `[card]`."""
    return _masked_at(text, _card_places(text), CARD_MASK)


_MY_NUMBER = re.compile(rf"(?<![\d{_DASH}.,])(?<!\d )\d{{4}}([ {_DASH}]?)\d{{4}}\1\d{{4}}(?![\d{_DASH}]|[ .,]\d)")
_MY_NUMBER_NAMED = re.compile(r"マイナンバー|個人番号|my ?number|individual number", re.IGNORECASE)
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_BEFORE = 40


def _id_places(text: str) -> Iterator[tuple[int, int]]:
    for match in _MY_NUMBER.finditer(text):
        named = _MY_NUMBER_NAMED.search(text, max(0, match.start() - _BEFORE), match.start())
        # One of eleven runs of twelve digits has a right check digit by chance: bare ones count where they are named.
        if in_.is_valid(_digits(match.group())) and (named or match.group(1)):
            yield match.span()
    for match in _SSN.finditer(text):
        if ssn.is_valid(match.group()):
            yield match.span()
    for match in _IBAN.finditer(text):
        if iban.is_valid(match.group()):
            yield match.span()


def has_id(text: str) -> bool:
    """Whether a personal number is in it: Japan's My Number, a US social security number, an IBAN."""
    return next(_id_places(text), None) is not None


def mask_ids(text: str) -> str:
    """The text with every such number replaced by `[id]`."""
    return _masked_at(text, _id_places(text), ID_MASK)


# Phone numbers

_PHONE_NAMED = re.compile(
    r"\b(?:phone|tel|telephone|call(?:ing|ed)?|mobile|cell|fax|dial|whatsapp|text me|contact|reach)\b"
    r"|電話|携帯|連絡|ＴＥＬ|ファックス|番号は",
    re.IGNORECASE,
)
_NOT_PHONE = re.compile(
    r"\d{4}[-./年]\d{1,2}[-./月]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:19|20)?\d\d$|\d{1,3}(?:\.\d{1,3}){3}$|\d+\.\d+$"
    r"|\d{1,4}\s*[-–/]\s*\d{1,4}$|\d{3}-\d{2}-\d{4}$"
)
_KANA = re.compile("[\u3041-\u30ff]")
_SUM = re.compile(r"\d \s*[-–−/] ")
_SUM_SIGNS = ("=", "+", "*", "×", "/", "%")
_SEPARATORS = re.compile(rf"[ .(){_DASH}（）]")


def _phone_places(text: str) -> Iterator[tuple[int, int]]:
    found = []
    for match in _RUN.finditer(text):
        start, end = match.span()
        before, after = text[start - 1 : start], text[end : end + 1]
        if before and ((before.isalnum() and before.isascii()) or before in "#$€£¥.,_="):
            continue
        if not (after.isalnum() and after.isascii()) and _is_phone(text, match.group(), start):
            found.append((start, end))
    if found:
        taken = [*_card_places(text), *_id_places(text)]
        yield from (place for place in found if not any(place[0] < stop and begin < place[1] for begin, stop in taken))


def _is_phone(text: str, shown: str, start: int) -> bool:
    number = re.split(r"\s?(?:x|ext)", shown, flags=re.IGNORECASE)[0]
    digits = _digits(number)
    is_sum = _SUM.search(shown) or text[start + len(shown) : start + len(shown) + 4].lstrip()[:1] in _SUM_SIGNS
    if not 7 <= len(digits) <= 15 or _NOT_PHONE.match(shown.strip()) or is_sum:
        return False
    named = _PHONE_NAMED.search(text, max(0, start - _BEFORE), start) is not None
    written = _SEPARATORS.search(number) is not None
    if shown[0] in "+＋":
        return named or _valid(number, None)
    if named and (written or digits[0] == "0"):
        # Whoever says that it is a phone number need not know the numbering plan.
        return True
    region = "JP" if digits[0] == "0" or _KANA.search(text) else "US"
    return (written or digits[:3] in ("090", "080", "070")) and _valid(number, region)


def _valid(number: str, region: str | None) -> bool:
    import phonenumbers  # a fifth of a second to import: only where something looks like a number

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


def has_phone(text: str) -> bool:
    """Whether a phone number is in it: one that the numbering plan of Japan, the US or the country it names has
    (Google's libphonenumber), or one that is called a phone number.
    """
    return next(_phone_places(text), None) is not None


def mask_phones(text: str) -> str:
    """The text with every phone number replaced by `[phone]`."""
    return _masked_at(text, _phone_places(text), PHONE_MASK)


# Addresses

_PREFECTURE = "(?:北海道|東京都|(?:京都|大阪)府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"  # noqa: E501
_KANJI_NUMBER = "[0-9０-９一二三四五六七八九十]"
_JAPANESE_ADDRESS = (
    rf"(?:〒\s?\d{{3}}[-－−ー]?\d{{4}}\s*)?{_PREFECTURE}[^\s、。,.「」0-9０-９]{{1,20}}?[市区町村郡][^\s、。「」]{{0,20}}?"
    rf"{_KANJI_NUMBER}+(?:丁目|番地?|号|[-－−ー‐の]{_KANJI_NUMBER}+)(?:{_KANJI_NUMBER}|丁目|番地?|号|[-－−ー‐の])*"
)
_STREETS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Square|Sq|Terrace|Parkway|Pkwy|Highway|Hwy"
)
_ENGLISH_ADDRESS = (
    rf"\b\d{{1,5}}[A-Za-z]?,? (?:[NSEW]\.? )?(?:[A-Z][\w'’-]+ ){{1,3}}(?:{_STREETS})\b\.?"
    r"(?:,? (?:Apt|Suite|Unit|Ste|#)\.? ?\w{1,6})?(?:,? [A-Z][\w ]{2,25},? [A-Z]{2} \d{5}(?:-\d{4})?)?"
)
_POSTAL = r"〒\s?\d{3}[-－−ー]?\d{4}"
_ADDRESS = re.compile(f"{_JAPANESE_ADDRESS}|{_POSTAL}|{_ENGLISH_ADDRESS}")
ADDRESS_HINT = rf"〒|[都道府県][^\n]{{1,40}}{_KANJI_NUMBER}|[0-9][A-Za-z]?,? [A-Z][^\n]{{2,50}}(?:{_STREETS})"


def has_address(text: str) -> bool:
    """Whether a postal address is in it, down to the house: a Japanese one, or a street as English names it."""
    return _ADDRESS.search(text) is not None


def mask_addresses(text: str) -> str:
    """The text with every such address replaced by `[address]`."""
    return _ADDRESS.sub(ADDRESS_MASK, text)


def _masked_at(text: str, places: Iterator[tuple[int, int]], mask: str) -> str:
    """Each range replaced; where ranges overlap, the first of them."""
    parts, end = [], 0
    for start, stop in sorted(places):
        if start >= end:
            parts += [text[end:start], mask]
            end = stop
    return "".join([*parts, text[end:]]) if parts else text


PERSONAL: dict[str, Callable[[str], bool]] = {
    "email": has_email, "phone": has_phone, "card": has_card, "id": has_id, "address": has_address,
}  # fmt: skip
