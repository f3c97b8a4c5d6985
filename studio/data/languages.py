"""The language of a text: by its script, and for Latin letters by its commonest words.

Counting scripts and looking up function words takes some 3 microseconds a text, py3langid, the quickest model of its
kind that fetches nothing, some 60: more than all other checks of a row together. The price: languages in Latin letters
other than those of `_WORDS`, and texts too short to hold a function word, have no language here.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

LANGUAGES = (
    "", "en", "ja", "zh", "ko", "de", "fr", "es", "it", "pt", "nl", "ru", "uk", "el", "ar", "fa", "he", "hi", "th",
)  # fmt: skip
_SAMPLE = 200
_LATIN, _KANA, _HAN, _HANGUL, _CYRILLIC, _GREEK, _ARABIC, _HEBREW, _DEVANAGARI, _THAI = range(1, 11)
_RANGES = (
    (0x41, 0x5A, _LATIN), (0x61, 0x7A, _LATIN), (0xC0, 0x24F, _LATIN), (0x1E00, 0x1EFF, _LATIN),
    (0x3041, 0x309F, _KANA), (0x30A1, 0x30FA, _KANA), (0x31F0, 0x31FF, _KANA), (0xFF66, 0xFF9D, _KANA),
    (0x3400, 0x4DBF, _HAN), (0x4E00, 0x9FFF, _HAN), (0xF900, 0xFAFF, _HAN),
    (0xAC00, 0xD7A3, _HANGUL), (0x1100, 0x11FF, _HANGUL), (0x400, 0x52F, _CYRILLIC), (0x370, 0x3FF, _GREEK),
    (0x600, 0x6FF, _ARABIC), (0x750, 0x77F, _ARABIC), (0x590, 0x5FF, _HEBREW), (0x900, 0x97F, _DEVANAGARI),
    (0xE00, 0xE7F, _THAI),
)  # fmt: skip
_SCRIPTS = 11
_SCRIPT_OF = np.zeros(0x110000, np.uint8)
for _low, _high, _script in _RANGES:
    _SCRIPT_OF[_low : _high + 1] = _script
# A character of these says about as much as two and a half Latin letters.
_WEIGHT = np.array([0, 1, 2.5, 2.5, 2.5, 1, 1, 1, 1, 1, 1])
_CJK = (_KANA, _HAN, _HANGUL)
_BY_SCRIPT = {_CYRILLIC: "ru", _GREEK: "el", _ARABIC: "ar", _HEBREW: "he", _DEVANAGARI: "hi", _THAI: "th"}
# Fewer letters than this (in Latin ones) tell no language; kanji alone may be Japanese as well as Chinese.
_FEW = 6
_FEW_HAN = 12
_WORDS = {
    "en": "the and of to is that it for with you this are have from what how can not they was on be your i as at my"
    " a his her she he we if will would there their which do does when where who or but by an in please all after into"
    " so than every some on its without before each during about over these those only very any more",
    "de": "der die das und ist ich nicht ein eine einen zu mit sie den von auf für es wie sich auch dem des im werden"
    " wir sind war aus bei nach wird kann haben hat oder aber wenn ihr ihre mein was wer bitte",
    "fr": "le la les et est je des une un que pas pour dans vous qui sur il elle au avec ce cette sont par plus nous"
    " ne se votre mais ou être avoir du en aux comment quel quelle mon ma c'est",
    "es": "el la los las y es que de en un una por con para no se del al lo como más su sus pero está son qué cómo"
    " este esta muy también cuando mi yo ha hay usted fue ser",
    "it": "il lo la i gli le e è che di un una per con non si sono del della dei delle nel nella come più anche ma"
    " questo questa mi io ha ho cosa perché essere alla al dal",
    "pt": "o a os as e é que de um uma para com não se do da dos das em no na por mais como mas seu sua você isso"
    " este esta são foi está também ao ou muito eu meu",
    "nl": "de het een en is dat van ik niet op te met voor zijn er aan maar ook als bij naar om wat hoe deze dit"
    " die we wij je jij u kan heeft hebben worden wordt uit mijn zo waar",
}  # fmt: skip
# In how many of a language's words a word is, a byte for each language; "the" is in no other of them and counts twice.
_BYTE = 8
_SCORES: dict[str, int] = {}
for _place, _language in enumerate(_WORDS):
    for _word in {*_WORDS[_language].split()}:
        _SCORES[_word] = _SCORES.get(_word, 0) + ((2 if _word == "the" else 1) << _BYTE * _place)
_KNOWN = frozenset(_SCORES)
_NAMES = tuple(_WORDS)


def language_of(text: str) -> str:
    """ISO 639-1 code, or "" where it cannot be told."""
    return LANGUAGES[int(languages_of([text])[0])]


def languages_of(texts: Sequence[str]) -> np.ndarray:
    """The language of each text, as its place in LANGUAGES."""
    found = np.zeros(len(texts), np.uint8)
    wide: list[int] = []
    for place, text in enumerate(texts):
        if text.isascii():
            found[place] = _latin(text[:_SAMPLE])
        else:
            wide.append(place)
    if wide:
        samples = [texts[place][:_SAMPLE] for place in wide]
        found[wide] = _wide(samples)
    return found


def _counts(samples: Sequence[str]) -> np.ndarray:
    """Characters of each script, one row per text."""
    lengths = np.fromiter(map(len, samples), np.int64, len(samples))
    codes = np.frombuffer("".join(samples).encode("utf-32-le", "surrogatepass"), np.uint32)
    cells = np.repeat(np.arange(0, len(samples) * _SCRIPTS, _SCRIPTS), lengths)
    cells += _SCRIPT_OF[codes]
    counts = np.bincount(cells, minlength=len(samples) * _SCRIPTS).reshape(-1, _SCRIPTS)
    counts[:, 0] = 0
    return counts


def _wide(samples: Sequence[str]) -> np.ndarray:
    """Of texts that are not all ASCII."""
    counts = _counts(samples)
    script = (counts * _WEIGHT).argmax(axis=1)
    found = np.zeros(len(samples), np.uint8)
    kana, han, hangul = counts[:, _KANA], counts[:, _HAN], counts[:, _HANGUL]
    east = np.isin(script, _CJK)
    korean = east & (hangul > kana + han)
    japanese = east & ~korean & (kana >= 0.04 * (kana + han))
    found[korean & (hangul >= _FEW / 2)] = LANGUAGES.index("ko")
    found[japanese & (kana + han >= _FEW / 2)] = LANGUAGES.index("ja")
    found[east & ~korean & ~japanese & (han >= _FEW_HAN)] = LANGUAGES.index("zh")
    for one, language in _BY_SCRIPT.items():
        found[(script == one) & (counts[:, one] >= _FEW)] = LANGUAGES.index(language)
    for usual, letters, other in (("ru", "іїєґ", "uk"), ("ar", "پچژگ", "fa")):
        for place in np.flatnonzero(found == LANGUAGES.index(usual)).tolist():
            if any(letter in samples[place] for letter in letters):
                found[place] = LANGUAGES.index(other)
    for place in np.flatnonzero(script == _LATIN).tolist():
        found[place] = _latin(samples[place])
    return found


def _latin(sample: str) -> int:
    words = sample.lower().split()
    best, language = _best(sum(map(_SCORES.__getitem__, _KNOWN.intersection(words))))
    # Of a few words, one is enough; of many (code, names, another language) it is not.
    enough = best >= max(2, 0.06 * len(words)) or (best and language == _ENGLISH and len(words) <= 6)
    return language if enough else 0


_ENGLISH = LANGUAGES.index("en")


@lru_cache(maxsize=65_536)
def _best(scores: int) -> tuple[int, int]:
    """The highest score and its language; no language where several have it."""
    each = scores.to_bytes(len(_NAMES), "little")
    best = max(each)
    return best, LANGUAGES.index(_NAMES[each.index(best)]) if best and each.count(best) == 1 else 0
