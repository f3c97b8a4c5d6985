"""REINFORCE leave-one-out through TRL's RLOOTrainer."""

from typing import Any

from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from studio.training.rollouts import RolloutTrainer, arranged, rollout_trainer
from studio.training.trainer import Setup

__all__ = ["arranged", "make_trainer"]


class RlooTrainer(RolloutTrainer, RLOOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # TRL keeps a copy of the fresh adapter to compare with, which does nothing: the base model alone is the same.
        self.model.delete_adapter("ref")


def make_trainer(setup: Setup) -> RlooTrainer:
    return rollout_trainer(RlooTrainer, RLOOConfig, setup)
