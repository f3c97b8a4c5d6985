"""Preferences without a base model to compare with: what the methods share that look at the mean log-probability per
token of both answers."""

from typing import Any

import torch
from trl.trainer.dpo_config import DPOConfig

from studio.training.dpo import PairTrainer
from studio.training.trainer import Setup, trainer_options


class MeanPairTrainer(PairTrainer):
    """Batches and bookkeeping are TRL's; the loss is `pair_loss`."""

    def __init__(self, method: Any, **options: Any) -> None:
        super().__init__(**{**options, "fresh": True})  # there is nothing to compare with
        self.ref_model = None
        self.method = method

    def pair_loss(self, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        """Loss of each pair, (pairs,), from the mean log-probability per token of its answers, (pairs,) each."""
        raise NotImplementedError

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        trained = inputs["completion_mask"][:, 1:]
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            labels=labels,
            use_cache=False,
            fused_lm_head=True,
        )
        means = (output.log_probs * trained).sum(dim=1) / trained.sum(dim=1)
        chosen, rejected = means.float().chunk(2)
        loss = self.pair_loss(chosen, rejected).mean()
        self._note(chosen.detach(), rejected.detach(), inputs)
        return (loss, output) if return_outputs else loss

    def _note(self, chosen: torch.Tensor, rejected: torch.Tensor, inputs: Any) -> None:
        """The numbers that TRL's own losses note, the mean log-probability times beta as the reward."""
        training = self.model.training
        if training:
            self._total_train_tokens += int(self.ranks.total(int(inputs["attention_mask"].sum()))[0])
        metrics = self._metrics["train" if training else "eval"]
        metrics["num_tokens"] = [self._total_train_tokens]
        rewards = {
            "chosen": chosen * self.method.beta,
            "rejected": rejected * self.method.beta,
            "accuracies": (chosen > rejected).float(),
            "margins": (chosen - rejected) * self.method.beta,
        }
        for name, values in rewards.items():
            of_all: Any = self.accelerator.gather(values)
            metrics[f"rewards/{name}"].append(float(of_all.mean()))


def reference_free_config(setup: Setup) -> DPOConfig:
    """TRL's settings of a run whose loss is its own."""
    return DPOConfig(**trainer_options(setup))
