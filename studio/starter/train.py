"""Trains the starter model on the little world: resumable, reproducible, on a CPU.

Two optimisers, as is usual for small transformers trained from scratch: Muon for the matrices of the layers
(https://kellerjordan.github.io/posts/muon/, torch.optim.Muon), AdamW for embeddings and norms. The learning rate
rises, stays, and falls over the last fifth (warm-up, stable, decay: arXiv:2404.06395).
"""

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from studio.starter.tokenizer import SPECIAL, build_tokenizer
from studio.starter.world import conversation


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights. `length` in tokens, `rows` conversations a step."""

    seed: int = 0
    steps: int = 1500
    rows: int = 40
    length: int = 128
    hidden: int = 192
    layers: int = 6
    heads: int = 4
    feed_forward: int = 512
    learning_rate: float = 4e-3
    warmup_steps: int = 100
    decay_share: float = 0.25
    weight_decay: float = 0.05

    def rate(self, step: int) -> float:
        """Share of the learning rate at a step: up, level, down."""
        decay = max(1, int(self.steps * self.decay_share))
        return min((step + 1) / self.warmup_steps, 1.0, max(0.0, (self.steps - step) / decay))


def new_model(recipe: Recipe, vocabulary: int) -> LlamaForCausalLM:
    """The untrained model of the recipe."""
    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=recipe.hidden,
            intermediate_size=recipe.feed_forward,
            num_hidden_layers=recipe.layers,
            num_attention_heads=recipe.heads,
            num_key_value_heads=recipe.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=SPECIAL.index("<|pad|>"),
            eos_token_id=SPECIAL.index("<|end|>"),
            bos_token_id=None,
        )
    )


def batch(recipe: Recipe, step: int, tokenizer: PreTrainedTokenizerFast) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids of a step and which of them are answers, both (rows, length). A row is one conversation.

    A function of seed and step alone, so that a resumed training reads what an uninterrupted one would.
    """
    rng = random.Random(f"{recipe.seed}-{step}")
    pieces: list[str] = []
    answers: list[bool] = []
    ends: list[int] = []
    for _ in range(recipe.rows):
        # Long enough to fill the row: a turn has ten tokens at least.
        system, turns = conversation(rng, recipe.length // 10)
        if system:
            pieces.append(f"<|system|>{system}<|end|>")
            answers.append(False)
        for question, answer in turns:
            pieces += [f"<|user|>{question}<|end|><|assistant|>", f"{answer}<|end|>"]
            answers += [False, True]
        ends.append(len(pieces))
    encoded = tokenizer(pieces, add_special_tokens=False)["input_ids"]
    ids = torch.full((recipe.rows, recipe.length), SPECIAL.index("<|pad|>"))
    trained = torch.zeros((recipe.rows, recipe.length), dtype=torch.bool)
    start = 0
    for row, end in enumerate(ends):
        flat = [token for piece in encoded[start:end] for token in piece][: recipe.length]
        flags = [answers[i] for i in range(start, end) for _ in encoded[i]][: recipe.length]
        ids[row, : len(flat)] = torch.tensor(flat)
        trained[row, : len(flat)] = torch.tensor(flags)
        start = end
    return ids, trained


def answer_loss(model: LlamaForCausalLM, ids: torch.Tensor, trained: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood per answer token, in nats; logits are computed for these alone."""
    hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
    wanted = trained[:, 1:]
    return cross_entropy(model.lm_head(hidden[wanted]).float(), ids[:, 1:][wanted])


def optimisers(recipe: Recipe, model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n and "lm_head" not in n]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(
            matrices, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(others, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def train(
    recipe: Recipe,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    save_every: int = 100,
    until: int | None = None,
) -> LlamaForCausalLM:
    """Train in `folder`, going on from `state.pt` there if the recipe is the same one; at most to the step `until`."""
    model = new_model(recipe, len(tokenizer))
    chosen = optimisers(recipe, model)
    state_file = folder / "state.pt"
    first = 0
    if state_file.is_file():
        state = torch.load(state_file, weights_only=True)
        if state["recipe"] != asdict(recipe):
            raise SystemExit(f"{state_file} belongs to another recipe. Remove it, or name another folder.")
        first = state["step"]
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(chosen, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    model.train()
    began, tokens = time.monotonic(), 0
    last = min(until or recipe.steps, recipe.steps)
    for step in range(first, last):
        ids, trained = batch(recipe, step, tokenizer)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = answer_loss(model, ids, trained)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * recipe.rate(step)
            optimiser.step()
            optimiser.zero_grad()
        tokens += ids.numel()
        if (step + 1) % 25 == 0:
            speed = tokens / (time.monotonic() - began)
            print(f"step {step + 1}/{recipe.steps}  loss {loss.item():.4f}  {speed:,.0f} tokens/s", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == last:
            state = {
                "recipe": asdict(recipe),
                "step": step + 1,
                "model": model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser in chosen],
            }
            torch.save(state, folder / "state.partial")
            os.replace(folder / "state.partial", state_file)
    return model.eval()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A model folder as any program reads it: bfloat16 safetensors, configuration, tokenizer, chat template."""
    from transformers import GenerationConfig

    folder.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]  # its decorator loses `self`
    model.generation_config = GenerationConfig(
        eos_token_id=SPECIAL.index("<|end|>"), pad_token_id=SPECIAL.index("<|pad|>"), max_new_tokens=64
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(arguments: list[str]) -> None:
    usual = Recipe()
    parser = argparse.ArgumentParser(prog="python -m studio.starter.train", description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("assets/starter"), help="folder of the finished model")
    parser.add_argument("--work", type=Path, default=Path("starter-training"), help="folder to resume from")
    parser.add_argument("--steps", type=int, default=usual.steps)
    parser.add_argument("--learning-rate", type=float, default=usual.learning_rate)
    options = parser.parse_args(arguments)
    recipe = Recipe(steps=options.steps, learning_rate=options.learning_rate)
    options.work.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(recipe.seed)
    model = train(recipe, options.work, tokenizer)
    save(model, tokenizer, options.to)
    (options.to / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
