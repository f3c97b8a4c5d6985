"""A trained reward model at work: it scores answers while another model learns from the scores."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from studio.models.device import Device
from studio.models.loading import AdapterFile, attach_adapter, load_model
from studio.models.new_tokens import read_new_tokens, with_new_tokens
from studio.runs.sources import Source
from studio.settings import Settings

_TOGETHER = 16


class Scorer:
    """Scores whole chats, given as token ids.

    A reward model that tells its pairs apart with ease goes on to drive their scores apart without bound. Beside such
    scores other rewards, and what holds a model near where it began, would count for nothing (Gao et al. 2022,
    arXiv:2210.10760). So they are divided by the mean margin of its pairs where that is above 1: the better answer of a
    pair gets about 1 more than the worse one. Scores are usually brought to one scale before they are learned from
    (Ziegler et al. 2019, arXiv:1909.08593, section 2.1).
    """

    def __init__(self, source: Source, adapter: AdapterFile, settings: Settings, device: Device) -> None:
        """Raises ModelError when the base cannot be loaded, or the adapter does not fit it."""
        loaded = load_model(source.model.source, settings, device, source.model.precision, scores=True)
        loaded = with_new_tokens(loaded, read_new_tokens(adapter.folder))
        self._pad = int(loaded.tokenizer.pad_token_id or 0)  # type: ignore[arg-type]
        loaded.model.config.get_text_config().pad_token_id = self._pad  # by it the model finds the last token
        self._unit = max(1.0, source.margin or 0.0)
        self._model: Any = attach_adapter(loaded.model, adapter, "reward")

    def __call__(self, chats: Sequence[Sequence[int]]) -> list[float]:
        """One number each, in order."""
        found: list[float] = []
        for begin in range(0, len(chats), _TOGETHER):
            ids = [torch.tensor(list(chat)) for chat in chats[begin : begin + _TOGETHER]]
            mask = [torch.ones_like(row) for row in ids]
            device, dtype = self._model.device, self._model.dtype
            with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                scores = self._model(
                    input_ids=pad_sequence(ids, batch_first=True, padding_value=self._pad).to(device),
                    attention_mask=pad_sequence(mask, batch_first=True).to(device),
                    use_cache=False,
                ).logits
            found += (scores[:, 0].float() / self._unit).tolist()
        return found
