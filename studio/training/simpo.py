"""Simple preference optimisation: pairs, compared by their mean log-probability per token, without a base model."""

import torch
from torch.nn import functional

from studio.runs.methods import SimpoSpec
from studio.training.dpo import arranged, pair_trainer
from studio.training.pairs import MeanPairTrainer, reference_free_config
from studio.training.trainer import Setup

__all__ = ["arranged", "make_trainer", "simpo_loss"]


class SimpoTrainer(MeanPairTrainer):
    """`method` decides the loss."""

    method: SimpoSpec

    def pair_loss(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        loss = simpo_loss(chosen, rejected, self.method.beta, self.method.margin)
        return loss - self.method.sft_weight * chosen


def simpo_loss(chosen: torch.Tensor, rejected: torch.Tensor, beta: float, margin: float) -> torch.Tensor:
    """Equation 6 of Meng et al. 2024 (arXiv:2405.14734). `chosen` and `rejected`: mean log-probability per token of
    each pair's answers, (pairs,); returns the loss of each, (pairs,)."""
    return -functional.logsigmoid(beta * (chosen - rejected) - margin)


def make_trainer(setup: Setup) -> SimpoTrainer:
    assert isinstance(setup.spec.method, SimpoSpec)
    return pair_trainer(SimpoTrainer, setup, reference_free_config(setup), method=setup.spec.method)
