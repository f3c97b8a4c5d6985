"""Continued pre-training: documents read on, every token learned, through the trainer of supervised fine-tuning."""

import random
from dataclasses import replace
from itertools import chain

from studio.data.tokens import Example
from studio.models.loading import LoadedModel
from studio.runs.methods import CptSpec
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.sft import make_trainer

__all__ = ["arranged", "make_trainer"]


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """Packed: passages, each with its end token, follow each other in blocks of the longest length. What is left over
    is a shorter block."""
    assert isinstance(spec.method, CptSpec)
    if not spec.method.packed:
        return examples
    length = min(spec.data.max_length, loaded.identity.context_length)
    train = list(examples.train)
    random.Random(spec.training.seed).shuffle(train)
    return replace(examples, train=packed(train, length), validation=packed(examples.validation, length))


def packed(lessons: "list[Lesson] | tuple[Lesson, ...]", length: int) -> tuple[Lesson, ...]:
    """Blocks of `length` tokens; a block of a single token, of which nothing could be learned, is left out."""
    ids = tuple(chain.from_iterable(lesson.sides[0].ids for lesson in lessons))
    blocks = (ids[begin : begin + length] for begin in range(0, len(ids), length))
    return tuple(Lesson((Example(b, b, 0, len(b), truncated=False),)) for b in blocks if len(b) > 1)
