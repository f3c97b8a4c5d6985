"""Odds ratio preference optimisation: the better answer is learned, and the odds of the worse one are held down."""

import torch
from torch.nn import functional

from studio.runs.methods import OrpoSpec
from studio.training.dpo import arranged, pair_trainer
from studio.training.pairs import MeanPairTrainer, reference_free_config
from studio.training.trainer import Setup

__all__ = ["arranged", "make_trainer", "odds_ratio_loss"]


class OrpoTrainer(MeanPairTrainer):
    """`method` decides the loss."""

    method: OrpoSpec

    def pair_loss(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return -chosen + self.method.beta * odds_ratio_loss(chosen, rejected)


def odds_ratio_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """Equations 4 and 7 of Hong et al. 2024 (arXiv:2403.07691): how much likelier the better answer is, as odds.

    `chosen` and `rejected`: mean log-probability per token of each pair's answers, (pairs,); returns (pairs,).
    """
    return -functional.logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def _log_odds(log_probability: torch.Tensor) -> torch.Tensor:
    """log(p / (1 - p)). 1 - p = -expm1(log p), which is exact for small p and for p near 1."""
    held = log_probability.clamp(max=-1e-6)  # a certain answer has no odds
    return held - torch.log(-torch.expm1(held))


def make_trainer(setup: Setup) -> OrpoTrainer:
    assert isinstance(setup.spec.method, OrpoSpec)
    return pair_trainer(OrpoTrainer, setup, reference_free_config(setup), method=setup.spec.method)
