"""What is asked in an evaluation, and what came back."""

from dataclasses import dataclass, field

from studio.data.records import Message, Messages, Tool


@dataclass(frozen=True, slots=True)
class Question:
    """A row of the test split. `row`: its id; `prompt`: all turns before the answer; `expected`: the assistant's turn
    that the row holds; `tools`: the functions that may be called."""

    row: int
    prompt: Messages
    expected: Message
    tools: tuple[Tool, ...] = field(default=(), hash=False)

    @property
    def text(self) -> str:
        """The expected answer: its content, and each of its calls as a line of JSON."""
        return self.expected.text


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said. `tokens`: how many it wrote; `stopped`: whether it ended by itself, not at the limit.

    `loss`: the mean negative log-likelihood of the expected answer, in nats per token, over its `loss_tokens` tokens
    (the end token included); None where it was not measured. `right`: what whoever asked found of it,
    where the key does not tell.
    """

    text: str
    tokens: int
    stopped: bool
    loss: float | None = None
    loss_tokens: int = 0
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a contestant is given before each question: its own system message in place of the row's, and examples."""

    system: str = ""
    shots: Messages = ()

    def prompt(self, question: Question) -> Messages:
        given = question.prompt
        own = (Message("system", self.system),) if self.system.strip() else ()
        system = own or tuple(turn for turn in given if turn.role == "system")
        return (*system, *self.shots, *(turn for turn in given if turn.role != "system"))
