"""The loss at the output of a model whose output layer stays as it is, scored only where something is learned."""

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

# Scores held at a time: 32 MB of them in float32.
MOST_SCORES = 2**23


class _SummedLoss(torch.autograd.Function):
    """Negative log-likelihood, summed, and of how many tokens none is likelier. The gradient is computed on the way
    forward, a few tokens at a time, so that no scores are kept and none are computed twice."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: Any, targets: torch.Tensor, tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        learning = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if learning else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        right = torch.zeros((), dtype=torch.int64, device=hidden.device)
        for begin in range(0, len(hidden), tokens):
            end = begin + tokens
            wanted = targets[begin:end, None]
            scores = functional.linear(hidden[begin:end], weight, bias)
            logs = functional.log_softmax(scores, dim=-1, dtype=torch.float32)
            own = logs.gather(1, wanted)[:, 0]
            total -= own.sum()
            right += (own == logs.amax(dim=1)).sum()  # a fifth of the time of argmax
            if gradient is not None:
                shares = logs.exp_()
                shares.scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=torch.float32))
                torch.mm(shares.to(weight.dtype), weight, out=gradient[begin:end])
        ctx.gradient = gradient
        ctx.mark_non_differentiable(right)
        return total, right

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return ctx.gradient.mul_(grads[0]), None, None, None, None


def summed_loss(
    hidden: torch.Tensor, head: nn.Linear, labels: torch.Tensor, most_scores: int = MOST_SCORES
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the negative log-likelihood of every next token that is learned, in nats, and how many of them the model
    would have put first.

    `hidden` (rows, tokens, width) is what the output layer reads, `labels` (rows, tokens) are -100 where nothing is
    learned. The layer itself gets no gradient.
    """
    wanted = labels[:, 1:]
    learned = wanted != -100
    inputs = hidden[:, :-1][learned].to(head.weight.dtype)
    tokens = max(1, most_scores // head.out_features)
    found = _SummedLoss.apply(inputs, head.weight, head.bias, wanted[learned], tokens)
    return cast(tuple[torch.Tensor, torch.Tensor], found)


def is_plain(model: Any) -> bool:
    """Whether the scores of `model` are its output layer's and nothing more, no scale or cap on them; and that layer
    is not trained."""
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.weight.requires_grad:
        return False
    ids = torch.arange(1, 9, device=model.device)[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        scores = model(input_ids=ids, use_cache=False).logits
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    model.train(training)
    return torch.equal(head(hidden.to(head.weight.dtype)), scores)
