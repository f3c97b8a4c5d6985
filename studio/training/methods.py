"""Which file holds a method."""

from importlib import import_module
from typing import Any, Protocol, cast

from studio.models.loading import LoadedModel
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet
from studio.training.trainer import Setup


class MethodFile(Protocol):
    """What each method's file defines."""

    def arranged(self, examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
        """The examples as the trainer gets them: one by one as they are, or packed."""
        ...

    def make_trainer(self, setup: Setup) -> Any:
        """A Trainer, ready to train."""
        ...


def method_file(kind: str) -> MethodFile:
    """`studio.training.<kind>`."""
    return cast(MethodFile, import_module(f"studio.training.{kind}"))
