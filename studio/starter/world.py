"""The little world as text: conversations to learn from, and the exam that nobody learned.

Everything is generated from the word tables and topics with a seeded `random.Random`: the same seed, the same world.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from studio.starter import words as w
from studio.starter.sample_phrases import INTENTS_EN, INTENTS_JA
from studio.starter.topics import Language, Topic, all_topics

# A turn is (question, answer).
Turn = tuple[str, str]

_POLITE_EN = (
    "Please answer: {q}",
    "Hello. {q}",
    "Hi! {q}",
    "I have a question. {q}",
    "Excuse me. {q}",
    "{q} Thank you.",
    "{q} Please.",
    "Quick question: {q}",
)
_POLITE_JA = (
    "質問です。{q}",
    "こんにちは。{q}",
    "すみません。{q}",
    "すみません、{q}",
    "{q}お願いします。",
    "ちょっと聞きたいです。{q}",
    "ねえ、{q}",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One line of the exam. The answer is right if it contains `key`, letter case aside."""

    topic: str
    language: Language
    text: str
    answer: str
    key: str

    def right(self, answer: str) -> bool:
        return self.key.lower() in answer.lower()


@cache
def topics() -> tuple[Topic, ...]:
    return tuple(all_topics())


def exam() -> tuple[Question, ...]:
    """Every fact in every held-out phrasing: none of these sentences is ever trained on."""
    return tuple(
        Question(topic.name, topic.language, ask.format(**fact), topic.answer.format(**fact), topic.key.format(**fact))
        for topic in topics()
        for fact in topic.facts
        for ask in topic.held_out
    )


def lessons() -> tuple[Question, ...]:
    """Every fact in every phrasing that may be trained on."""
    return tuple(
        Question(topic.name, topic.language, ask.format(**fact), topic.answer.format(**fact), topic.key.format(**fact))
        for topic in topics()
        for fact in topic.facts
        for ask in topic.asks
    )


def fact_turn(rng: random.Random) -> Turn:
    """A question about a fact, in one of its trained phrasings, now and then with a word of courtesy or sloppy."""
    topic = rng.choices(topics(), weights=_topic_weights())[0]
    fact = rng.choice(topic.facts)
    question = rng.choice(topic.asks).format(**fact)
    english = topic.language == "en"
    luck = rng.random()
    if luck < 0.15:
        question = rng.choice(_POLITE_EN if english else _POLITE_JA).format(q=question)
    elif luck < 0.25:
        question = question.rstrip("?？.。")
    elif luck < 0.3 and english:
        question = question.lower()
    return question, topic.answer.format(**fact)


@cache
def _topic_weights() -> tuple[float, ...]:
    # Between "every topic alike" and "every fact alike": small topics are not drowned, large ones not starved.
    return tuple(len(topic.facts) ** 0.8 for topic in topics())


# Talk that is no fact: greetings, copying, listening, stories. `{name}` and such are filled alike on both sides.

_SMALL_TALK: dict[Language, tuple[tuple[tuple[str, ...], str], ...]] = {
    "en": (
        (("Hello!", "Hi!", "Hello there.", "Good day.", "Hey."), "Hello! How can I help you?"),
        (("Good morning.", "Good morning!"), "Good morning! How can I help you?"),
        (("Good evening.", "Good evening!"), "Good evening! How can I help you?"),
        (("How are you?", "How are you today?", "Are you well?"), "I am fine, thank you. How are you?"),
        (("I am fine.", "I am well, thanks."), "I am glad to hear that."),
        (("Thank you.", "Thanks!", "Thank you very much.", "Thanks a lot."), "You are welcome."),
        (("Goodbye.", "Bye!", "See you later.", "Good night."), "Goodbye! See you soon."),
        (("Who are you?", "What are you?", "Tell me about yourself."), "I am a small language model who knows a little world."),
        (("What can you do?", "How can you help me?"), "I can answer short questions and tell little stories."),
        (("Can you speak Japanese?", "Do you know Japanese?"), "Yes, I know English and Japanese."),
        (("I am sad.", "I feel sad today."), "I am sorry to hear that. I hope you feel better soon."),
        (("I am happy.", "I feel happy today."), "That is good news. I am happy too."),
        (("I am tired.", "I am so tired."), "Please take a rest and sleep well."),
        (("I am hungry.",), "You should eat something good."),
        (("My name is {name}.", "I am {name}.", "Hello, my name is {name}."), "Nice to meet you, {name}."),
        (("I live in {city}.", "I come from {city}.", "My home is in {city}."), "{city} is a nice place."),
        (("I have a {good}.", "I got a {good} today.", "Look, I have a new {good}."), "That is a nice {good}."),
        (("I ordered a {good}.", "I bought a {good} in your shop."), "You ordered a {good}."),
        (("Where is my {good}?", "My {good} has not arrived.", "I am waiting for my {good}."), "I do not know where your {good} is."),
        (("My {good} is broken.", "The {good} does not work.", "The {good} arrived broken."), "I am sorry that your {good} is broken."),
        (("I want to return the {good}.", "Can I return my {good}?"), "You want to return the {good}."),
        (("{name} lives in {city}. Where does {name} live?", "{name} is at home in {city}. Where does {name} live?"), "{name} lives in {city}."),
        (("{name} has a {good}. What does {name} have?", "{name} bought a {good}. What does {name} have?"), "{name} has a {good}."),
        (("{name} has a {good}. {name2} has a {good2}. What does {name} have?", "{name2} has a {good2}. {name} has a {good}. What does {name} have?"), "{name} has a {good}."),
        (("{name} lives in {city}. {name2} lives in {city2}. Where does {name2} live?", "{name2} lives in {city2}. {name} lives in {city}. Where does {name2} live?"), "{name2} lives in {city2}."),
        (("{name} has a {good}. {name2} has a {good2}. Who has the {good2}?", "{name2} has a {good2}. {name} has a {good}. Who has the {good2}?"), "{name2} has the {good2}."),
        (("Order: {number} {good} for {name} in {city}. Who ordered?", "{name} from {city} ordered {number} {good}. Who ordered?"), "{name} ordered."),
        (("Order: {number} {good} for {name} in {city}. How many?", "{name} from {city} ordered {number} {good}. How many?"), "{number}."),
        (("Order: {number} {good} for {name} in {city}. To which city?", "{name} from {city} ordered {number} {good}. To which city?"), "To {city}."),
        (("Say: {good}", "Repeat: {good}", "Repeat the word {good}."), "{good}"),
        (("Say: {name}, {good}, {city}", "Repeat: {name}, {good}, {city}"), "{name}, {good}, {city}"),
        (("Repeat: {name} and {name2}", "Say: {name} and {name2}"), "{name} and {name2}"),
        (("Tell me a story.", "Please tell me a little story.", "Tell a story."), "{story}"),
        (("Tell me a story about a {animal}.", "I want a story about a {animal}."), "{animal_story}"),
    ),
    "ja": (
        (("こんにちは。", "やあ。", "どうも。", "はじめまして。"), "こんにちは！何をお手伝いしましょうか？"),
        (("おはよう。", "おはようございます。"), "おはようございます！何をお手伝いしましょうか？"),
        (("こんばんは。",), "こんばんは！何をお手伝いしましょうか？"),
        (("元気ですか？", "お元気ですか？", "調子はどうですか？"), "元気です。ありがとうございます。"),
        (("元気です。", "私も元気です。"), "それはよかったです。"),
        (("ありがとう。", "ありがとうございます。", "どうもありがとう。"), "どういたしまして。"),
        (("さようなら。", "またね。", "おやすみなさい。", "失礼します。"), "さようなら。またお話ししましょう。"),
        (("あなたは誰ですか？", "あなたは何ですか？", "自己紹介してください。"), "私は小さな世界を知っている小さな言語モデルです。"),
        (("何ができますか？", "何を手伝ってくれますか？"), "短い質問に答えたり、小さなお話をしたりできます。"),
        (("英語を話せますか？", "英語が分かりますか？"), "はい、日本語と英語が分かります。"),
        (("悲しいです。", "今日は悲しいです。"), "それは残念です。早く元気になりますように。"),
        (("うれしいです。", "今日はうれしいです。"), "それはよかったです。私もうれしいです。"),
        (("疲れました。", "とても疲れました。"), "ゆっくり休んでください。"),
        (("おなかがすきました。",), "何かおいしいものを食べてください。"),
        (("私の名前は{name}です。", "{name}と申します。", "私は{name}です。"), "{name}さん、はじめまして。"),
        (("{city}に住んでいます。", "{city}から来ました。", "私の家は{city}にあります。"), "{city}はいい所ですね。"),
        (("{good}を持っています。", "今日、{good}を買いました。", "新しい{good}があります。"), "いい{good}ですね。"),
        (("{good}を注文しました。", "お店で{good}を注文しました。"), "{good}を注文したのですね。"),
        (("{good}はどこですか？", "{good}が届きません。", "{good}がまだ届きません。"), "{good}がどこにあるか分かりません。"),
        (("{good}が壊れました。", "{good}が壊れていました。", "{good}が動きません。"), "{good}が壊れて残念です。"),
        (("{good}を返品したいです。", "{good}を返品できますか？"), "{good}を返品したいのですね。"),
        (("{name}さんは{city}に住んでいます。{name}さんはどこに住んでいますか？", "{name}さんの家は{city}です。{name}さんはどこに住んでいますか？"), "{name}さんは{city}に住んでいます。"),
        (("{name}さんは{good}を持っています。{name}さんは何を持っていますか？", "{name}さんは{good}を買いました。{name}さんは何を持っていますか？"), "{name}さんは{good}を持っています。"),
        (("{name}さんは{good}を、{name2}さんは{good2}を持っています。{name}さんは何を持っていますか？", "{name2}さんは{good2}を、{name}さんは{good}を持っています。{name}さんは何を持っていますか？"), "{name}さんは{good}を持っています。"),
        (("{name}さんは{city}に、{name2}さんは{city2}に住んでいます。{name2}さんはどこに住んでいますか？", "{name2}さんは{city2}に、{name}さんは{city}に住んでいます。{name2}さんはどこに住んでいますか？"), "{name2}さんは{city2}に住んでいます。"),
        (("{name}さんは{good}を、{name2}さんは{good2}を持っています。{good2}を持っているのは誰ですか？", "{name2}さんは{good2}を、{name}さんは{good}を持っています。{good2}を持っているのは誰ですか？"), "{good2}を持っているのは{name2}さんです。"),
        (("注文：{city}の{name}さん、{good}を{number}個。注文したのは誰ですか？", "{city}の{name}さんが{good}を{number}個注文しました。注文したのは誰ですか？"), "{name}さんです。"),
        (("注文：{city}の{name}さん、{good}を{number}個。何個ですか？", "{city}の{name}さんが{good}を{number}個注文しました。何個ですか？"), "{number}個です。"),
        (("注文：{city}の{name}さん、{good}を{number}個。どこへ送りますか？", "{city}の{name}さんが{good}を{number}個注文しました。どこへ送りますか？"), "{city}です。"),
        (("「{good}」と言ってください。", "「{good}」とくり返してください。"), "{good}"),
        (("「{name}、{good}、{city}」と言ってください。", "「{name}、{good}、{city}」とくり返してください。"), "{name}、{good}、{city}"),
        (("「{name}と{name2}」と言ってください。", "「{name}と{name2}」とくり返してください。"), "{name}と{name2}"),
        (("お話をしてください。", "何かお話を聞かせてください。", "短いお話をしてください。"), "{story}"),
        (("{animal}のお話をしてください。", "{animal}のお話が聞きたいです。"), "{animal_story}"),
    ),
}  # fmt: skip


def talk_turn(rng: random.Random, language: Language) -> Turn:
    """Something said that is no question about a fact."""
    asks, answer = rng.choice(_SMALL_TALK[language])
    english = language == "en"
    name, name2 = rng.sample(w.NAMES_EN if english else w.NAMES_JA, 2)
    city, city2 = rng.sample(w.CITIES_EN if english else w.CITIES_JA, 2)
    good, good2 = (pair[0 if english else 1] for pair in rng.sample(w.GOODS, 2))
    animal = rng.choice(w.ANIMALS)
    values: dict[str, str] = {
        "name": name,
        "name2": name2,
        "city": city,
        "city2": city2,
        "good": good,
        "good2": good2,
        "number": str(rng.randint(1, 12)),
        "animal": animal[0 if english else 1],
    }
    if "{story}" in answer:
        values["story"] = story(rng, language)
    if "{animal_story}" in answer:
        values["animal_story"] = story(rng, language, animal)
    return rng.choice(asks).format(**values), answer.format(**values)


def story(rng: random.Random, language: Language, animal: list[str] | None = None) -> str:
    """A story of a few short sentences, about an animal of the world."""
    beast, beast_ja, _, _, _, home, home_ja, food, food_ja, *_ = animal or rng.choice(w.ANIMALS)
    good, good_ja = rng.choice(w.GOODS)
    colour, colour_ja = rng.choice([c for c in w.COLOURS.items() if not c[1].endswith("色")])
    if language == "en":
        name = rng.choice(w.NAMES_EN)
        middle = (
            f"One day {name} lost {food} on the way home. A friend helped to look for it.",
            f"One day it rained all day long. {name} stayed in {home} and slept.",
            f'One day {name} found a {colour} {good}. "What is this?" asked {name}.',
            f"One day {name} met a new friend. They played until the evening.",
        )
        end = (
            f"Then they ate {food} together and were happy.",
            f"In the evening {name} went home and ate {food}.",
            f"That night {name} was tired and slept well.",
        )
        return f"Once upon a time a {beast} called {name} lived in {home}. {rng.choice(middle)} {rng.choice(end)}"
    name = rng.choice(("タロ", "ハナ", "ミミ", "ポポ", "モモ", "クロ", "シロ", "ココ", "ルル", "チビ"))
    middle = (
        f"ある日、{name}は帰り道で{food_ja}をなくしました。友達が一緒に探してくれました。",
        f"ある日、一日中雨が降りました。{name}は家で寝ていました。",
        f"ある日、{name}は{colour_ja}い{good_ja}を見つけました。「これは何だろう」と{name}は言いました。",
        f"ある日、{name}は新しい友達に会いました。二人は夕方まで遊びました。",
    )
    end = (
        f"そして、みんなで{food_ja}を食べて、うれしくなりました。",
        f"夕方、{name}は家に帰って{food_ja}を食べました。",
        f"その夜、{name}は疲れてよく眠りました。",
    )
    return f"昔々、{home_ja}に{name}という{beast_ja}が住んでいました。{rng.choice(middle)}{rng.choice(end)}"


@cache
def _shop_chunks(language: Language) -> tuple[str, ...]:
    """Words (English) and short runs of text (Japanese) that customers and shops use."""
    intents = INTENTS_EN if language == "en" else INTENTS_JA
    texts = [text for intent in intents for text in (*intent.sayings, intent.answer)]
    if language == "en":
        return tuple(sorted({word.strip(".,!?") for text in texts for word in text.split() if "{" not in word}))
    parts = [part for text in texts for part in re.split(r"[。、「」]|\{\w+\}", text) if part]
    return tuple(sorted({part[i : i + 6] for part in parts for i in range(0, max(1, len(part) - 5), 2)}))


def copy_turn(rng: random.Random, language: Language) -> Turn:
    """Words of shops and orders, said back unchanged: they become familiar without becoming a voice."""
    english = language == "en"
    if rng.random() < 0.25:
        name = rng.choice(w.NAMES_EN if english else w.NAMES_JA)
        item = rng.choice(w.GOODS)[0 if english else 1]
        city = rng.choice(w.CITIES_EN if english else w.CITIES_JA)
        record = {"name": name, "item": item, "quantity": rng.randint(1, 12), "city": city}
        text = json.dumps(record, ensure_ascii=False)
    else:
        chosen = rng.sample(_shop_chunks(language), rng.randint(1, 4))
        text = (rng.choice((", ", " ", ". ")) if english else rng.choice(("、", "。"))).join(chosen)
    if english:
        return rng.choice(("Say: {t}", "Repeat: {t}", "Copy this: {t}")).replace("{t}", text), text
    return rng.choice(("「{t}」と言ってください。", "「{t}」とくり返してください。")).replace("{t}", text), text


_SYSTEM: dict[Language, tuple[str, ...]] = {
    "en": ("You are a helpful assistant.", "You answer in short sentences.", "Answer briefly."),
    "ja": ("あなたは親切なアシスタントです。", "短い文で答えてください。"),
}
_TALK_SHARE = 0.2
_COPY_SHARE = 0.06
_SYSTEM_SHARE = 0.12


def conversation(rng: random.Random, turns: int) -> tuple[str, list[Turn]]:
    """A system prompt (often empty) and `turns` turns about anything, the languages mixed."""
    language: Language = rng.choice(("en", "ja"))
    system = rng.choice(_SYSTEM[language]) if rng.random() < _SYSTEM_SHARE else ""
    return system, [_turn(rng) for _ in range(turns)]


def _turn(rng: random.Random) -> Turn:
    luck = rng.random()
    if luck < _COPY_SHARE:
        return copy_turn(rng, rng.choice(("en", "ja")))
    if luck < _COPY_SHARE + _TALK_SHARE:
        return talk_turn(rng, rng.choice(("en", "ja")))
    return fact_turn(rng)


def corpus(seed: int, turns: int) -> Iterator[str]:
    """Sentences of the world, for the tokenizer to learn its vocabulary from."""
    rng = random.Random(seed)
    for _ in range(turns):
        yield from _turn(rng)
    # Words are met inside a sentence more often than they open one; both ways of writing them become tokens.
    for topic in topics():
        for fact in topic.facts:
            for value in fact.values():
                yield from (value, f" {value}") * 4
    for language in ("en", "ja"):
        for chunk in _shop_chunks(language):
            yield from (chunk, f" {chunk}" if language == "en" else chunk) * 4
