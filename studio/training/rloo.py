"""REINFORCE leave-one-out through TRL's RLOOTrainer."""

from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from studio.training.rollouts import RolloutTrainer, arranged, rollout_trainer
from studio.training.trainer import Setup

__all__ = ["arranged", "make_trainer"]


class RlooTrainer(RolloutTrainer, RLOOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with."""


def make_trainer(setup: Setup) -> RlooTrainer:
    return rollout_trainer(RlooTrainer, RLOOConfig, setup)
