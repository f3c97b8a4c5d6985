"""The little world: reproducible, unambiguous, and its exam is never trained on."""

import random
from collections import defaultdict

import pytest

from studio.starter.world import conversation, exam, fact_turn, lessons, topics


def test_the_same_seed_makes_the_same_conversations() -> None:
    assert conversation(random.Random(3), 20) == conversation(random.Random(3), 20)
    assert conversation(random.Random(3), 20) != conversation(random.Random(4), 20)


def test_a_few_thousand_facts_in_both_languages() -> None:
    facts = defaultdict(int)
    for topic in topics():
        facts[topic.language] += len(topic.facts)
    assert min(facts["en"], facts["ja"]) > 1000


def test_no_question_has_two_answers() -> None:
    answers = defaultdict(set)
    for question in (*lessons(), *exam()):
        answers[question.text].add(question.answer)
    assert [text for text, given in answers.items() if len(given) > 1] == []


def test_the_exam_is_never_trained_on() -> None:
    asked = {question.text for question in exam()}
    assert not asked & {question.text for question in lessons()}
    rng = random.Random(0)
    assert not asked & {fact_turn(rng)[0] for _ in range(5000)}


def test_every_right_answer_is_told_right_and_another_wrong() -> None:
    for question in exam():
        assert question.right(question.answer)
        assert not question.right("")


@pytest.mark.parametrize("topic", topics(), ids=lambda topic: f"{topic.language}-{topic.name}")
def test_a_topic_has_many_phrasings(topic) -> None:
    assert len(topic.asks) >= 5
    assert len(topic.held_out) == 2
    assert len(set(topic.asks) | set(topic.held_out)) == len(topic.asks) + 2
