"""Group relative policy optimisation through TRL's GRPOTrainer."""

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from studio.training.rollouts import RolloutTrainer, arranged, rollout_trainer
from studio.training.trainer import Setup

__all__ = ["arranged", "make_trainer"]


class GrpoTrainer(RolloutTrainer, GRPOTrainer):
    """TRL's trainer, with the model as it began as what the tuned one is compared with."""


def make_trainer(setup: Setup) -> GrpoTrainer:
    return rollout_trainer(GrpoTrainer, GRPOConfig, setup)
