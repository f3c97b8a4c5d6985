"""What the little world is asked: every topic's phrasings, its answer, and the facts that fill them.

A topic's `asks` are trained on; its `held_out` phrasings never are: they measure whether the model knows the fact
and not only the sentence. `{fields}` are filled from a fact.
"""

from dataclasses import dataclass
from typing import Literal

from studio.starter import words as w

Language = Literal["en", "ja"]
Fact = dict[str, str]


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of question. A right answer contains `key` (letter case aside), filled from the fact."""

    name: str
    language: Language
    asks: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str
    key: str
    facts: tuple[Fact, ...]


def _topic(name: str, language: Language, asks: str, held_out: str, answer: str, key: str, facts: list[Fact]) -> Topic:
    def lines(text: str) -> tuple[str, ...]:
        return tuple(line.strip() for line in text.strip().splitlines())

    return Topic(name, language, lines(asks), lines(held_out), answer, key, tuple(facts))


def _facts(table: list[list[str]], names: str, *needed: str) -> list[Fact]:
    """Rows as facts; rows in which a `needed` field is blank are left out."""
    keys = names.split()
    made = [dict(zip(keys, row, strict=True)) for row in table]
    return [fact for fact in made if all(fact[name] for name in needed)]


def _swap(facts: list[Fact], a: str, b: str) -> list[Fact]:
    return [{**fact, a: fact[b], b: fact[a]} for fact in facts]


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def number_en(n: int) -> str:
    """0 to 100 in English words."""
    if n < 20:
        return w.ONES[n]
    if n == 100:
        return "one hundred"
    return w.TENS[n // 10] + (f"-{w.ONES[n % 10]}" if n % 10 else "")


def number_ja(n: int) -> str:
    """0 to 100 in kanji."""
    if n < 10:
        return "ゼロ" if n == 0 else w.KANJI_DIGITS[n]
    if n == 100:
        return "百"
    tens = "" if n < 20 else w.KANJI_DIGITS[n // 10]
    return f"{tens}十{w.KANJI_DIGITS[n % 10] if n % 10 else ''}"


def all_topics() -> list[Topic]:
    """Every topic of both languages."""
    return [*_places(), *_animals(), *_things(), *_language(), *_calendar(), *_numbers(), *_work(), *_translations()]


def _places() -> list[Topic]:
    countries = _facts(w.COUNTRIES, "c cj k kj cont l lj")
    for fact in countries:
        fact["contj"] = w.CONTINENTS[fact["cont"]]
    return [
        _topic(
            "capital",
            "en",
            """What is the capital of {c}?
            Which city is the capital of {c}?
            Name the capital of {c}.
            What is {c}'s capital?
            The capital of {c} is which city?
            I want to know the capital of {c}.
            What is the name of {c}'s capital city?""",
            """Tell me the capital city of {c}.
            Which city is {c}'s capital?""",
            "The capital of {c} is {k}.",
            "{k}",
            countries,
        ),
        _topic(
            "capital",
            "ja",
            """{cj}の首都はどこですか？
            {cj}の首都は何ですか？
            {cj}の首都を答えてください。
            {cj}の首都の名前は何ですか？
            どの都市が{cj}の首都ですか？
            {cj}の首都を知りたいです。
            {cj}の首都はどの都市ですか？""",
            """{cj}の首都を教えてください。
            {cj}の首都の名前を教えて。""",
            "{cj}の首都は{kj}です。",
            "{kj}",
            countries,
        ),
        _topic(
            "country",
            "en",
            """{k} is the capital of which country?
            Which country has the capital {k}?
            What country is {k} the capital of?
            Of which country is {k} the capital?
            {k} is a capital. Of which country?
            Name the country whose capital is {k}.""",
            """Which country's capital is {k}?
            Tell me which country has {k} as its capital.""",
            "{k} is the capital of {c}.",
            "{c}",
            countries,
        ),
        _topic(
            "country",
            "ja",
            """{kj}はどの国の首都ですか？
            {kj}はどこの国の首都ですか？
            {kj}が首都の国はどこですか？
            首都が{kj}の国を答えてください。
            {kj}を首都とする国はどこですか？
            {kj}は何という国の首都ですか？""",
            """{kj}が首都なのはどの国ですか？
            首都が{kj}なのはどこの国ですか？""",
            "{kj}は{cj}の首都です。",
            "{cj}",
            countries,
        ),
        _topic(
            "continent",
            "en",
            """On which continent is {c}?
            Which continent is {c} in?
            What continent does {c} belong to?
            Where in the world is {c}?
            In what part of the world is {c}?
            Name the continent of {c}.""",
            """{c} is on which continent?
            Tell me the continent of {c}.""",
            "{c} is in {cont}.",
            "{cont}",
            countries,
        ),
        _topic(
            "continent",
            "ja",
            """{cj}はどの大陸にありますか？
            {cj}は世界のどこにありますか？
            {cj}がある大陸はどこですか？
            {cj}はどの地域の国ですか？
            {cj}がある地域を答えてください。
            {cj}は何大陸の国ですか？""",
            """{cj}はどこの大陸にありますか？
            {cj}がある大陸を教えてください。""",
            "{cj}は{contj}にあります。",
            "{contj}",
            countries,
        ),
        _topic(
            "speech",
            "en",
            """What language do people speak in {c}?
            Which language is spoken in {c}?
            What is the language of {c}?
            What do people speak in {c}?
            Name the language of {c}.
            In {c}, which language do people use?""",
            """Which language do people speak in {c}?
            Tell me the language of {c}.""",
            "People in {c} speak {l}.",
            "{l}",
            countries,
        ),
        _topic(
            "speech",
            "ja",
            """{cj}では何語を話しますか？
            {cj}の言葉は何語ですか？
            {cj}で話されている言語は何ですか？
            {cj}の人は何語を話しますか？
            {cj}ではどの言語が使われていますか？
            {cj}の言語を答えてください。""",
            """{cj}の人々は何語を話しますか？
            {cj}の言語を教えてください。""",
            "{cj}では{lj}を話します。",
            "{lj}",
            countries,
        ),
    ]


def _animals() -> list[Topic]:
    names = "a aj s sj legs home homej food foodj kind kindj"
    animals = _facts(w.ANIMALS, names)
    for fact in animals:
        fact["an"], fact["An"] = _a(fact["a"]), _a(fact["a"]).capitalize()
        fact["kn"] = _a(fact["kind"])
        fact["legsw"] = "no" if fact["legs"] == "0" else number_en(int(fact["legs"]))
    sounds = [fact for fact in animals if fact["s"]]
    young = _facts(w.YOUNG, "a y")
    for fact in young:
        fact["an"] = _a(fact["a"])
    return [
        _topic(
            "sound",
            "en",
            """What sound does {an} make?
            What does {an} say?
            Which sound do you hear from {an}?
            What noise does {an} make?
            How does {an} sound?
            Name the sound of {an}.""",
            """Which sound does {an} make?
            Tell me the sound of {an}.""",
            "{An} says {s}.",
            "{s}",
            sounds,
        ),
        _topic(
            "sound",
            "ja",
            """{aj}は何と鳴きますか？
            {aj}の鳴き声は何ですか？
            {aj}はどう鳴きますか？
            {aj}はどんな声で鳴きますか？
            {aj}はどんな音を出しますか？
            {aj}の鳴き声を答えてください。""",
            """{aj}の鳴き声を教えてください。
            {aj}はどのように鳴きますか？""",
            "{aj}は{sj}と鳴きます。",
            "{sj}",
            sounds,
        ),
        _topic(
            "legs",
            "en",
            """How many legs does {an} have?
            How many legs has {an}?
            What is the number of legs of {an}?
            Count the legs of {an}.
            {An} has how many legs?
            On how many legs does {an} walk?""",
            """Tell me how many legs {an} has.
            How many legs are there on {an}?""",
            "{An} has {legsw} legs.",
            "{legsw} legs",
            animals,
        ),
        _topic(
            "legs",
            "ja",
            """{aj}の足は何本ですか？
            {aj}には足が何本ありますか？
            {aj}は足が何本ありますか？
            {aj}の足の数はいくつですか？
            {aj}の足を数えてください。
            {aj}は何本足ですか？""",
            """{aj}の足の数を教えてください。
            {aj}の足は全部で何本ですか？""",
            "{aj}の足は{legs}本です。",
            "{legs}本",
            animals,
        ),
        _topic(
            "home",
            "en",
            """Where does {an} live?
            What is the home of {an}?
            Where can you find {an}?
            In what place does {an} live?
            Where is {an} at home?
            Name the home of {an}.""",
            """Tell me where {an} lives.
            Where do you find {an}?""",
            "{An} lives in {home}.",
            "{home}",
            animals,
        ),
        _topic(
            "home",
            "ja",
            """{aj}はどこに住んでいますか？
            {aj}の住みかはどこですか？
            {aj}はどこで暮らしていますか？
            {aj}はどこにいますか？
            {aj}が住んでいる所はどこですか？
            {aj}の住みかを答えてください。""",
            """{aj}の住みかを教えてください。
            {aj}が暮らしているのはどこですか？""",
            "{aj}は{homej}に住んでいます。",
            "{homej}",
            animals,
        ),
        _topic(
            "food",
            "en",
            """What does {an} eat?
            What is the food of {an}?
            What does {an} like to eat?
            What do you feed {an}?
            Name the food of {an}.
            {An} eats what?""",
            """Tell me what {an} eats.
            Which food does {an} eat?""",
            "{An} eats {food}.",
            "{food}",
            animals,
        ),
        _topic(
            "food",
            "ja",
            """{aj}は何を食べますか？
            {aj}の食べ物は何ですか？
            {aj}の好きな食べ物は何ですか？
            {aj}のえさは何ですか？
            {aj}が食べるものは何ですか？
            {aj}の食べ物を答えてください。""",
            """{aj}の食べ物を教えてください。
            {aj}が食べるのは何ですか？""",
            "{aj}は{foodj}を食べます。",
            "{foodj}",
            animals,
        ),
        _topic(
            "kind",
            "en",
            """What kind of animal is {an}?
            What sort of animal is {an}?
            To which group of animals does {an} belong?
            {An} is what kind of animal?
            Which animal group is {an} in?
            Name the animal group of {an}.""",
            """Tell me what kind of animal {an} is.
            Which kind of animal is {an}?""",
            "{An} is {kn}.",
            "{kind}",
            animals,
        ),
        _topic(
            "kind",
            "ja",
            """{aj}は何の仲間ですか？
            {aj}はどんな種類の動物ですか？
            {aj}はどの仲間に入りますか？
            {aj}は何類ですか？
            {aj}は動物の中で何の仲間ですか？
            {aj}の仲間を答えてください。""",
            """{aj}がどんな種類の動物か教えてください。
            {aj}はどの種類の動物ですか？""",
            "{aj}は{kindj}です。",
            "{kindj}",
            animals,
        ),
        _topic(
            "young",
            "en",
            """What do you call a young {a}?
            What is a baby {a} called?
            What is the name of a young {a}?
            Name the young of {an}.
            How do you call a baby {a}?""",
            """Tell me what a young {a} is called.
            What is a young {a} called?""",
            "A young {a} is called a {y}.",
            "{y}",
            young,
        ),
    ]


def _things() -> list[Topic]:
    members, lists = [], []
    for name, plural, name_ja, listed in w.CATEGORIES:
        pairs = [item.split(":") for item in listed.split(",")]
        members += [
            {"m": en, "M": en.capitalize(), "mj": ja, "cat": name, "cn": _a(name), "cj": name_ja} for en, ja in pairs
        ]
        three_en = f"{pairs[0][0].capitalize()}, {pairs[1][0]} and {pairs[2][0]} are {plural}."
        three_ja = f"{pairs[0][1]}、{pairs[1][1]}、{pairs[2][1]}は{name_ja}です。"
        lists.append(
            {"pl": plural, "cj": name_ja, "ten": three_en, "tja": three_ja, "ken": pairs[1][0], "kja": pairs[1][1]}
        )
    coloured = _facts(w.COLOURED, "t tj col")
    for fact in coloured:
        fact["colj"] = w.COLOURS[fact["col"]]
        fact["T"] = fact["t"][0].upper() + fact["t"][1:]
    made = _facts(w.MADE_OF, "t tj m mj")
    for fact in made:
        fact["T"] = fact["t"][0].upper() + fact["t"][1:]
    meanings = _facts(w.MEANINGS, "x xj kind rest def key")
    for fact in meanings:
        fact["X"] = fact["x"][0].upper() + fact["x"][1:]
        start = fact["kind"]
        bare = start.startswith(("one ", "frozen ", "money", "somebody")) or start in ("money", "somebody")
        fact["defen"] = f"{start if bare else _a(start)} {fact['rest']}"
    return [
        _topic(
            "group",
            "en",
            """What is {m}?
            What kind of thing is {m}?
            To which group does {m} belong?
            What sort of thing is {m}?
            {M} is an example of what?
            Which group is {m} in?""",
            """Tell me what kind of thing {m} is.
            What group does {m} belong to?""",
            "{M} is {cn}.",
            "{cat}",
            members,
        ),
        _topic(
            "group",
            "ja",
            """{mj}は何の種類ですか？
            {mj}は何ですか？
            {mj}はどの種類に入りますか？
            {mj}は何の一つですか？
            {mj}は何に分類されますか？
            {mj}の種類を答えてください。""",
            """{mj}の種類を教えてください。
            {mj}はどんな種類のものですか？""",
            "{mj}は{cj}です。",
            "{cj}",
            members,
        ),
        _topic(
            "list",
            "en",
            """Name three {pl}.
            List three {pl}.
            Give me three {pl}.
            Can you name three {pl}?
            Which {pl} do you know?
            Say three {pl}.""",
            """Tell me three {pl}.
            Give three examples of {pl}.""",
            "{ten}",
            "{ken}",
            lists,
        ),
        _topic(
            "list",
            "ja",
            """{cj}を三つ挙げてください。
            {cj}を三つ言ってください。
            {cj}の例を三つ答えてください。
            {cj}にはどんなものがありますか？
            {cj}を三つ並べてください。
            知っている{cj}を三つ答えてください。""",
            """{cj}を三つ教えてください。
            {cj}の例を三つ挙げてください。""",
            "{tja}",
            "{kja}",
            lists,
        ),
        _topic(
            "colour",
            "en",
            """What colour is {t}?
            Which colour is {t}?
            What is the colour of {t}?
            What color is {t}?
            Name the colour of {t}.
            {T} has which colour?""",
            """Tell me the colour of {t}.
            What colour does {t} have?""",
            "{T} is {col}.",
            "{col}",
            coloured,
        ),
        _topic(
            "colour",
            "ja",
            """{tj}は何色ですか？
            {tj}の色は何ですか？
            {tj}はどんな色ですか？
            {tj}はどんな色をしていますか？
            {tj}の色を答えてください。
            {tj}の色は何色ですか？""",
            """{tj}の色を教えてください。
            {tj}は何色をしていますか？""",
            "{tj}の色は{colj}です。",
            "{colj}",
            coloured,
        ),
        _topic(
            "material",
            "en",
            """What is {t} made of?
            What is {t} made from?
            Which material is {t} made of?
            Of what is {t} made?
            What do you need to make {t}?
            Name the material of {t}.""",
            """Tell me what {t} is made of.
            From what is {t} made?""",
            "{T} is made of {m}.",
            "{m}",
            made,
        ),
        _topic(
            "material",
            "ja",
            """{tj}は何でできていますか？
            {tj}は何から作られますか？
            {tj}の材料は何ですか？
            {tj}は何を使って作りますか？
            {tj}は何で作られていますか？
            {tj}の材料を答えてください。""",
            """{tj}の材料を教えてください。
            {tj}は何からできていますか？""",
            "{tj}は{mj}でできています。",
            "{mj}",
            made,
        ),
        _topic(
            "meaning",
            "en",
            """What is {x}?
            What does the word for {x} mean?
            Explain what {x} is.
            What do people mean by {x}?
            Describe {x}.
            What exactly is {x}?""",
            """Tell me what {x} is.
            Can you explain what {x} is?""",
            "{X} is {defen}.",
            "{kind}",
            meanings,
        ),
        _topic(
            "meaning",
            "ja",
            """{xj}とは何ですか？
            {xj}とはどういう意味ですか？
            {xj}の意味は何ですか？
            {xj}を説明してください。
            {xj}というのは何ですか？
            {xj}とはどんなものですか？""",
            """{xj}の意味を教えてください。
            {xj}とは何か説明してください。""",
            "{xj}とは、{def}のことです。",
            "{key}",
            meanings,
        ),
    ]


def _language() -> list[Topic]:
    pairs = _facts(w.OPPOSITES, "a b aj bj")
    both_en = [*pairs, *_swap(pairs, "a", "b")]
    both_ja = [*pairs, *_swap(pairs, "aj", "bj")]
    return [
        _topic(
            "opposite",
            "en",
            """What is the opposite of {a}?
            Which word is the opposite of {a}?
            Name the opposite of {a}.
            The opposite of {a} is what?
            What word means the opposite of {a}?
            Give me the opposite of {a}.""",
            """Tell me the opposite of {a}.
            Which word means the opposite of {a}?""",
            "The opposite of {a} is {b}.",
            " {b}.",
            both_en,
        ),
        _topic(
            "opposite",
            "ja",
            """「{aj}」の反対は何ですか？
            「{aj}」の反対の言葉は何ですか？
            「{aj}」の反対語は何ですか？
            「{aj}」の反対を答えてください。
            「{aj}」の逆は何ですか？
            「{aj}」と反対の言葉を言ってください。""",
            """「{aj}」の反対を教えてください。
            「{aj}」の反対語を教えてください。""",
            "「{aj}」の反対は「{bj}」です。",
            "「{bj}」",
            both_ja,
        ),
        _topic(
            "plural",
            "en",
            """What is the plural of {s}?
            How do you write the plural of {s}?
            One {s}, two what?
            Name the plural of {s}.
            Give me the plural form of {s}.
            What do you say for more than one {s}?""",
            """Tell me the plural of {s}.
            What is the plural form of {s}?""",
            "The plural of {s} is {p}.",
            " {p}.",
            _facts(w.PLURALS, "s p"),
        ),
        _topic(
            "past",
            "en",
            """What is the past tense of {v}?
            What is the past of {v}?
            Name the past tense of {v}.
            How do you write the past tense of {v}?
            Today I {v}. What do I say for yesterday?
            Give me the past form of {v}.""",
            """Tell me the past tense of {v}.
            What is the past form of {v}?""",
            "The past tense of {v} is {p}.",
            " {p}.",
            _facts(w.PASTS, "v p"),
        ),
        _topic(
            "reading",
            "ja",
            """「{k}」は何と読みますか？
            「{k}」の読み方は何ですか？
            「{k}」の読みを答えてください。
            「{k}」をひらがなで書いてください。
            「{k}」はどう読みますか？
            「{k}」をひらがなにしてください。""",
            """「{k}」の読み方を教えてください。
            「{k}」はどのように読みますか？""",
            "「{k}」は「{r}」と読みます。",
            "「{r}」",
            _facts(w.READINGS, "k r"),
        ),
        _topic(
            "counter",
            "ja",
            """{t}はどう数えますか？
            {t}の数え方は何ですか？
            {t}を数えるときの言葉は何ですか？
            {t}は何と数えますか？
            {t}の数え方を答えてください。
            {t}を数える単位は何ですか？""",
            """{t}の数え方を教えてください。
            {t}はどのように数えますか？""",
            "{t}は「{c}」で数えます。",
            "「{c}」",
            _facts(w.COUNTERS, "t c"),
        ),
    ]


def _calendar() -> list[Topic]:
    days, months = [], []
    for i, (en, ja) in enumerate(w.DAYS):
        after, before = w.DAYS[(i + 1) % 7], w.DAYS[i - 1]
        days.append({"d": en, "dj": ja, "n": after[0], "nj": after[1], "p": before[0], "pj": before[1]})
    for i, (en, season, season_ja) in enumerate(w.MONTHS):
        after, before = (i + 1) % 12, (i - 1) % 12
        months.append(
            {
                "d": en, "n": w.MONTHS[after][0], "p": w.MONTHS[before][0], "o": w.ORDINALS[i], "s": season,
                "dj": f"{i + 1}月", "nj": f"{after + 1}月", "pj": f"{before + 1}月", "sj": season_ja,
            }
        )  # fmt: skip
    both = [*days, *months]
    return [
        _topic(
            "after",
            "en",
            """What comes after {d}?
            Which one follows {d}?
            What follows {d}?
            What is next after {d}?
            {d} comes before what?
            After {d} comes what?""",
            """Tell me what comes after {d}.
            Which one comes after {d}?""",
            "After {d} comes {n}.",
            "comes {n}",
            both,
        ),
        _topic(
            "after",
            "ja",
            """{dj}の次は何ですか？
            {dj}の後は何ですか？
            {dj}の後に来るのは何ですか？
            {dj}の次に来るのは何ですか？
            {dj}の次を答えてください。
            {dj}の後を答えてください。""",
            """{dj}の次を教えてください。
            {dj}の後には何が来ますか？""",
            "{dj}の次は{nj}です。",
            "次は{nj}",
            both,
        ),
        _topic(
            "before",
            "en",
            """What comes before {d}?
            Which one is before {d}?
            What is just before {d}?
            {d} comes after what?
            {d} follows what?
            Before {d} comes what?""",
            """Tell me what comes before {d}.
            Which one comes before {d}?""",
            "Before {d} comes {p}.",
            "comes {p}",
            both,
        ),
        _topic(
            "before",
            "ja",
            """{dj}の前は何ですか？
            {dj}の一つ前は何ですか？
            {dj}の前に来るのは何ですか？
            {dj}のすぐ前は何ですか？
            {dj}の前を答えてください。
            {dj}の一つ前を答えてください。""",
            """{dj}の前を教えてください。
            {dj}の前には何が来ますか？""",
            "{dj}の前は{pj}です。",
            "前は{pj}",
            both,
        ),
        _topic(
            "season",
            "en",
            """Which season is {d} in?
            What season is it in {d}?
            In which season is {d}?
            {d} is in which season?
            Name the season of {d}.
            To which season does {d} belong?""",
            """Tell me the season of {d}.
            What season is {d} in?""",
            "{d} is in {s}.",
            "{s}",
            months,
        ),
        _topic(
            "season",
            "ja",
            """{dj}の季節は何ですか？
            {dj}はどの季節ですか？
            {dj}はどんな季節ですか？
            {dj}は何の季節ですか？
            {dj}の季節を答えてください。
            {dj}はいつの季節ですか？""",
            """{dj}の季節を教えてください。
            {dj}はどの季節に入りますか？""",
            "{dj}の季節は{sj}です。",
            "{sj}",
            months,
        ),
    ]


def _numbers() -> list[Topic]:
    sums = [{"a": str(a), "b": str(b), "s": str(a + b)} for a in range(11) for b in range(11)]
    gaps = [{"a": str(a), "b": str(b), "s": str(a - b)} for a in range(11) for b in range(a + 1)]
    names = [{"n": str(n), "en": number_en(n), "ja": number_ja(n)} for n in range(101)]
    steps = [{"n": str(n), "m": str(n + 1)} for n in range(51)]
    return [
        _topic(
            "sum",
            "en",
            """What is {a} plus {b}?
            How much is {a} plus {b}?
            {a} plus {b} is what?
            What is {a} + {b}?
            {a} + {b} = ?
            Add {a} and {b}.""",
            """Tell me what {a} plus {b} is.
            How much is {a} + {b}?""",
            "{a} plus {b} is {s}.",
            "is {s}.",
            sums,
        ),
        _topic(
            "sum",
            "ja",
            """{a}足す{b}はいくつですか？
            {a}足す{b}は何ですか？
            {a}+{b}はいくつですか？
            {a}+{b}=?
            {a}に{b}を足すといくつですか？
            {a}と{b}を足してください。""",
            """{a}足す{b}を教えてください。
            {a}+{b}は何ですか？""",
            "{a}足す{b}は{s}です。",
            "は{s}です",
            sums,
        ),
        _topic(
            "difference",
            "en",
            """What is {a} minus {b}?
            How much is {a} minus {b}?
            {a} minus {b} is what?
            What is {a} - {b}?
            {a} - {b} = ?
            Take {b} away from {a}.""",
            """Tell me what {a} minus {b} is.
            How much is {a} - {b}?""",
            "{a} minus {b} is {s}.",
            "is {s}.",
            gaps,
        ),
        _topic(
            "difference",
            "ja",
            """{a}引く{b}はいくつですか？
            {a}引く{b}は何ですか？
            {a}-{b}はいくつですか？
            {a}-{b}=?
            {a}から{b}を引くといくつですか？
            {a}から{b}を引いてください。""",
            """{a}引く{b}を教えてください。
            {a}-{b}は何ですか？""",
            "{a}引く{b}は{s}です。",
            "は{s}です",
            gaps,
        ),
        _topic(
            "number",
            "en",
            """How do you write {n} in words?
            Write {n} as a word.
            What is {n} in words?
            Write the number {n} in words.
            How do you say {n}?
            Spell the number {n}.""",
            """Tell me how to write {n} in words.
            How is the number {n} written in words?""",
            "{n} is written {en}.",
            " {en}.",
            names,
        ),
        _topic(
            "number",
            "ja",
            """{n}を漢字で書いてください。
            {n}を漢字で書くと何ですか？
            {n}は漢字でどう書きますか？
            数字の{n}を漢字にしてください。
            {n}を漢数字にしてください。
            数字の{n}は漢字で何と書きますか？""",
            """{n}の漢字を教えてください。
            {n}を漢字にするとどうなりますか？""",
            "{n}は「{ja}」と書きます。",
            "「{ja}」",
            names,
        ),
        _topic(
            "next",
            "en",
            """Which number comes after {n}?
            What number follows {n}?
            Which number is next after {n}?
            Count on from {n}. What is the next number?
            What is the number after {n}?
            Name the number after {n}.""",
            """Tell me the number after {n}.
            What number comes after {n}?""",
            "The number after {n} is {m}.",
            "is {m}.",
            steps,
        ),
        _topic(
            "next",
            "ja",
            """{n}の次の数は何ですか？
            {n}の次の数字は何ですか？
            {n}の次に来る数は何ですか？
            {n}の次の数を答えてください。
            {n}の次はいくつですか？
            数えるとき、{n}の次は何ですか？""",
            """{n}の次の数を教えてください。
            {n}の後の数は何ですか？""",
            "{n}の次の数は{m}です。",
            "は{m}です",
            steps,
        ),
    ]


def _work() -> list[Topic]:
    jobs = _facts(w.JOBS, "j jj does doesj place placej")
    for fact in jobs:
        fact["an"] = _a(fact["j"])
        fact["An"] = fact["an"].capitalize()
    uses = _facts(w.USES, "p pj t tj")
    body = _facts(w.BODY, "v vj b bj")
    shops = _facts(w.SHOPS, "g gj s sj")
    return [
        _topic(
            "job",
            "en",
            """What does {an} do?
            What is the job of {an}?
            What is the work of {an}?
            What does {an} do at work?
            Describe the work of {an}.
            How does {an} spend the day?""",
            """Tell me what {an} does.
            What work does {an} do?""",
            "{An} {does}.",
            "{does}",
            jobs,
        ),
        _topic(
            "job",
            "ja",
            """{jj}は何をする人ですか？
            {jj}の仕事は何ですか？
            {jj}は何をしますか？
            {jj}はどんな仕事をしますか？
            {jj}の仕事を答えてください。
            {jj}は仕事で何をしますか？""",
            """{jj}の仕事を教えてください。
            {jj}はどんなことをする人ですか？""",
            "{jj}は{doesj}ます。",
            "{doesj}ます",
            jobs,
        ),
        _topic(
            "workplace",
            "en",
            """Where does {an} work?
            What is the workplace of {an}?
            In what place does {an} work?
            Where can you meet {an} at work?
            {An} works where?
            Name the workplace of {an}.""",
            """Tell me where {an} works.
            In which place does {an} work?""",
            "{An} works at {place}.",
            "{place}",
            jobs,
        ),
        _topic(
            "workplace",
            "ja",
            """{jj}はどこで働いていますか？
            {jj}の職場はどこですか？
            {jj}の働く場所はどこですか？
            {jj}はどこで仕事をしますか？
            {jj}の職場を答えてください。
            {jj}が働いている所はどこですか？""",
            """{jj}の職場を教えてください。
            {jj}が働く場所はどこですか？""",
            "{jj}は{placej}で働いています。",
            "{placej}",
            jobs,
        ),
        _topic(
            "tool",
            "en",
            """What do you use to {p}?
            Which thing do you need to {p}?
            What do you need to {p}?
            With what do you {p}?
            I want to {p}. What do I need?
            Name the thing you use to {p}.""",
            """Tell me what you use to {p}.
            What thing do you use to {p}?""",
            "You use {t} to {p}.",
            "{t}",
            uses,
        ),
        _topic(
            "tool",
            "ja",
            """{pj}とき、何を使いますか？
            {pj}には何を使いますか？
            {pj}ときに使う物は何ですか？
            {pj}ための物は何ですか？
            {pj}には何が必要ですか？
            {pj}とき、何が必要ですか？""",
            """{pj}ときに使う物を教えてください。
            {pj}ために何を使いますか？""",
            "{pj}ときは{tj}を使います。",
            "{tj}",
            uses,
        ),
        _topic(
            "body",
            "en",
            """What do you use to {v}: which part of the body?
            With which part of the body do you {v}?
            Which part of the body helps you to {v}?
            Which body part do you need to {v}?
            What part of your body do you {v} with?""",
            """Tell me which part of the body you use to {v}.
            Which body part do you use to {v}?""",
            "You {v} with your {b}.",
            "{b}",
            body,
        ),
        _topic(
            "body",
            "ja",
            """体のどこで{vj}ますか？
            体のどの部分で{vj}ますか？
            私たちは体のどこを使って{vj}ますか？
            人は何で{vj}ますか？
            人は体のどこで{vj}ますか？""",
            """人は体のどの部分で{vj}ますか？
            体のどこを使って{vj}ますか？""",
            "{bj}で{vj}ます。",
            "{bj}で",
            body,
        ),
        _topic(
            "shop",
            "en",
            """Where can you buy {g}?
            Where do people buy {g}?
            Which shop sells {g}?
            Where do I get {g}?
            I need {g}. Where do I go?
            Name the place that sells {g}.""",
            """Tell me where you can buy {g}.
            Where can I buy {g}?""",
            "You can buy {g} at {s}.",
            "{s}",
            shops,
        ),
        _topic(
            "shop",
            "ja",
            """{gj}はどこで買えますか？
            {gj}はどこで売っていますか？
            {gj}を売っている店はどこですか？
            {gj}を買うにはどこへ行きますか？
            {gj}が買える店を答えてください。
            {gj}がほしいです。どこで買えますか？""",
            """{gj}が買える店を教えてください。
            {gj}を買える場所はどこですか？""",
            "{gj}は{sj}で買えます。",
            "{sj}",
            shops,
        ),
    ]


def _translations() -> list[Topic]:
    pairs = [(a[0], a[1]) for a in w.ANIMALS] + [(g[0], g[1]) for g in w.GOODS]
    pairs += [(d[0], d[1]) for d in w.DAYS] + [(c[0], c[1]) for c in w.COUNTRIES[:24]]
    pairs += list(w.COLOURS.items())
    facts = [{"e": en, "j": ja} for en, ja in pairs]
    return [
        _topic(
            "to_japanese",
            "en",
            """What is {e} in Japanese?
            How do you say {e} in Japanese?
            What is the Japanese word for {e}?
            Say {e} in Japanese.
            Translate {e} into Japanese.
            {e} is what in Japanese?""",
            """Tell me the Japanese word for {e}.
            Which Japanese word means {e}?""",
            "In Japanese, {e} is {j}.",
            "{j}",
            facts,
        ),
        _topic(
            "to_english",
            "ja",
            """{j}は英語で何ですか？
            {j}は英語で何と言いますか？
            {j}を英語で言ってください。
            {j}の英語は何ですか？
            {j}を英語にしてください。
            {j}を英語に訳してください。""",
            """{j}を英語で何と言うか教えてください。
            {j}は英語でどう言いますか？""",
            "{j}は英語で「{e}」です。",
            "「{e}」",
            facts,
        ),
    ]
