"""What the methods share that let the model answer and learn from the rewards of its answers, through TRL."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler, SequentialSampler

from studio.errors import DataError
from studio.models.generation import stop_ids
from studio.models.loading import LoadedModel
from studio.runs.methods import RolloutSpec
from studio.runs.rewards import ExactReward, ModelReward
from studio.runs.spec import RunSpec
from studio.training.job import ExampleSet, Lesson
from studio.training.lora import mixed
from studio.training.rewards import Judge, judge
from studio.training.scorer import Scorer
from studio.training.trainer import Setup, StudioTrainer, WeighedEvaluation, on_one_device, quiet, trainer_options


class RolloutTrainer(WeighedEvaluation, StudioTrainer):
    """Laid over TRL's trainer. Prompts come as token ids; every row has its turn in every pass; and all random numbers
    of a step, those that draw its answers too, follow from the seed and the step alone. Of each validation row one
    answer is drawn, always by the same random numbers.
    """

    args: Any
    state: Any
    num_generations: int
    train_dataset: Any
    _batches_evaluated = 0

    def _tokenize_prompts(self, prompts: list[list[int]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return prompts, None, {}

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        parts = self.args.gradient_accumulation_steps
        together = self.args.generation_batch_size // self.num_generations
        in_order = self.args.train_sampling_strategy == "sequential"
        seed = None if in_order else self.args.data_seed
        return RowsInTurn(len(self.train_dataset), together, self.num_generations, parts, seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler[int]:
        return SequentialSampler(eval_dataset)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL draws from the process's generator: it is seeded for the while, and then put back."""
        if self.model.training:
            place = (self.state.global_step, 0)
        else:
            self._batches_evaluated += 1
            place = (0, self._batches_evaluated)
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(mixed(self.args.seed, *place))
            return super()._prepare_inputs(generation_batch)  # type: ignore[misc]

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        self._batches_evaluated = 0
        return super().evaluation_loop(*args, **kwargs)  # type: ignore[misc]


class RowsInTurn(Sampler[int]):
    """Places of rows as TRL wants them: of each step `together` rows, each `samples` times in a row; the whole once for
    each of the step's `parts`, of which only the first is looked at. Rows come in another order each pass (None: in
    order); the last step of a pass is filled up with its first rows.
    """

    def __init__(self, rows: int, together: int, samples: int, parts: int, seed: int | None) -> None:
        self.rows, self.together, self.samples, self.parts, self.seed = rows, together, samples, parts, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.rows // self.together) * self.together * self.samples * self.parts

    def __iter__(self) -> Iterator[int]:
        order = torch.arange(self.rows)
        if self.seed is not None:
            generator = torch.Generator().manual_seed(mixed(self.seed, self.epoch))
            order = torch.randperm(self.rows, generator=generator)
        steps = -(-self.rows // self.together)
        filled = order.repeat(-(-steps * self.together // self.rows))[: steps * self.together]
        for step in filled.split(self.together):
            yield from step.repeat_interleave(self.samples).repeat(self.parts).tolist()


def arranged(examples: ExampleSet, spec: RunSpec, loaded: LoadedModel) -> ExampleSet:
    """One by one, as they are. Raises DataError when the rows' own answers are rewarded and no row has one."""
    assert isinstance(spec.method, RolloutSpec)
    answered = any(lesson.expected is not None for lesson in examples.train)
    if not answered and all(isinstance(reward, ExactReward) for reward in spec.method.rewards):
        raise DataError("error.train.no_expected", rows=len(examples.train))
    return examples


def rollout_trainer(kind: type[RolloutTrainer], config: Callable[..., Any], setup: Setup) -> Any:
    """A trainer of this kind."""
    method, examples = setup.spec.method, setup.examples
    assert isinstance(method, RolloutSpec)
    answers = setup.spec.training.batch_size * method.samples_per_row
    options = trainer_options(setup)
    del options["max_length"]
    options |= {
        "per_device_train_batch_size": answers,
        "per_device_eval_batch_size": answers,
        "num_generations": method.samples_per_row,
        "num_generations_eval": 1,
        "max_completion_length": method.max_new_tokens,
        "temperature": method.temperature,
        "beta": method.beta,
        "reward_weights": [reward.weight for reward in method.rewards],
    }
    setup.model.generation_config.eos_token_id = sorted(stop_ids(setup.tokenizer, setup.model))
    return quiet(
        kind(
            **setup.common(),
            reward_funcs=reward_functions(method, setup.scorers),
            args=on_one_device(config(**options)),
            train_dataset=prompts(examples.train),
            eval_dataset=prompts(examples.validation) if examples.validation else None,
        )
    )


RewardFunction = Callable[..., Sequence[float | None]]
"""A reward as TRL calls it: with the prompts and answers of a batch, and what is expected of each."""


def reward_functions(method: RolloutSpec, scorers: Mapping[str, Scorer]) -> list[RewardFunction]:
    """The rewards of a run, in order."""
    functions = []
    for place, reward in enumerate(method.rewards):
        function = _scored(scorers[reward.run]) if isinstance(reward, ModelReward) else _judged(judge(reward))
        function.__name__ = f"{place}_{reward.kind}"
        functions.append(function)
    return functions


def _judged(judged: Judge) -> Any:
    def rewards(completions: list[str], expected: list[str | None], **_: Any) -> list[float | None]:
        return [judged(*pair) for pair in zip(completions, expected, strict=True)]

    return rewards


def _scored(scorer: Scorer) -> Any:
    def rewards(prompts: list[list[int]], completion_ids: list[list[int]], **_: Any) -> list[float]:
        return scorer([[*prompt, *answer] for prompt, answer in zip(prompts, completion_ids, strict=True)])

    return rewards


def prompts(lessons: tuple[Lesson, ...]) -> Dataset:
    """Tokenised prompts, and the answer that each row has."""
    return Dataset.from_dict(
        {
            "prompt": [list(lesson.sides[0].ids) for lesson in lessons],
            "expected": [lesson.expected for lesson in lessons],
        }
    )
