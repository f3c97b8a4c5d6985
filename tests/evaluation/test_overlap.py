"""chrF, BLEU and ROUGE-L, in writing with and without spaces."""

import numpy as np
import pytest

from studio.evaluation.metrics import METRICS
from studio.evaluation.overlap import bleu, chrf, rouge_l, text_language, words
from tests.evaluation.rows import answer, question

ENGLISH = "The quick brown fox jumps over the lazy dog."
JAPANESE = "日本で梅雨がないのは北海道と小笠原諸島です。"
CHINESE = "日心说是指太阳是太阳系的中心，行星围绕太阳旋转的理论。"
KOREAN = "오늘은 날씨가 아주 좋아서 산책을 했습니다."


def test_words_are_cut_by_language() -> None:
    assert words("It's 3.5 km, isn't it?", "en") == ["It's", "3.5", "km", ",", "isn't", "it", "?"]
    assert words(JAPANESE, "ja")[:6] == ["日本", "で", "梅雨", "が", "ない", "の"]
    assert words("日心说 ok", "zh") == ["日", "心", "说", "ok"]
    assert words("좋아", "ko") == ["좋", "아"]
    assert words("", "ja") == []


@pytest.mark.parametrize(
    ("expected", "prompt", "language"),
    [
        (ENGLISH, "?", "en"),
        (JAPANESE, "?", "ja"),
        (CHINESE, "?", "zh"),
        (KOREAN, "?", "ko"),
        ("小笠原諸島", "日本で梅雨がないのは北海道とどこですか。", "ja"),
        ("小笠原諸島", "?", "ja"),
        ("42", "?", ""),
    ],
)
def test_the_language_of_the_words(expected: str, prompt: str, language: str) -> None:
    assert text_language(question(expected, prompt)) == language


@pytest.mark.parametrize("text", [ENGLISH, JAPANESE, CHINESE, KOREAN])
@pytest.mark.parametrize("metric", [chrf, bleu, rouge_l])
def test_the_same_text_is_best_and_nothing_is_worst(metric, text: str) -> None:
    assert metric(question(text), answer(text)) == pytest.approx(100)
    assert metric(question(text), answer("")) == 0
    assert 0 < metric(question(text), answer(text[: len(text) // 2])) < 100
    assert metric(question(""), answer(text)) is None


def test_rouge_l_is_that_of_rouge_score() -> None:
    """The example of its page (https://pypi.org/project/rouge-score): 5 of 9 and of 8 words in order."""
    asked = question("The quick brown fox jumps over the lazy dog")
    assert rouge_l(asked, answer("The quick brown dog jumps on the log.")) == pytest.approx(58.8235, abs=1e-4)


def test_the_figures_are_those_of_sacrebleu() -> None:
    """`sacrebleu -m bleu`, and with `-tok ja-mecab`."""
    from sacrebleu import corpus_bleu

    for tokenizer, pairs in {
        "13a": [(ENGLISH, "The quick brown cat jumps over a dog."), ("Not at all, thank you.", "Not at all.")],
        "ja-mecab": [(JAPANESE, "日本で梅雨がないのは沖縄です。"), ("とても良い天気です。", "良い天気です。")],
    }.items():
        asked, given = [question(one) for one, _ in pairs], [answer(other) for _, other in pairs]
        expected = corpus_bleu([one.text for one in given], [[one.text for one in asked]], tokenize=tokenizer).score
        assert METRICS["bleu"].overall(asked, given) == pytest.approx(expected)
        assert 0 < expected < 100


def test_the_spread_of_bleu_is_that_of_its_bootstrap() -> None:
    """Of the terms, the standard error of the mean; of the whole figure, its spread over resampled rows."""
    random = np.random.default_rng(1)
    asked = [question(f"the cat number {n} sat on a {'very ' * (n % 7)}old mat") for n in range(60)]
    given = [answer(one.text if n % 3 else one.text.replace("sat on", "ran to")) for n, one in enumerate(asked)]
    metric = METRICS["bleu"]
    terms = np.array(metric.terms(asked, given), float)
    resampled = []
    for _ in range(80):
        rows = random.integers(60, size=60)
        resampled.append(metric.overall([asked[n] for n in rows], [given[n] for n in rows]))
    assert terms.std(ddof=1) / 60**0.5 == pytest.approx(np.std(resampled), rel=0.25)


def test_rows_without_a_text_are_left_out_of_the_whole() -> None:
    asked, given = [question(ENGLISH), question("")], [answer(ENGLISH), answer("anything")]
    for name in ("bleu", "chrf", "rouge_l"):
        assert METRICS[name].overall(asked, given) == pytest.approx(100)
        assert METRICS[name].overall(asked[1:], given[1:]) is None
