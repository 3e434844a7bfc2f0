"""Batches of a text: every sequence once in random order, then again, cut anew and in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.characters import UNKNOWN
from engine.errors import ConfigError
from engine.training.autocomplete.text import OUTSIDE, Text


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences.

    Attributes:
        ids: int64 (B, T), 0 behind a sequence's end.
        targets: int64 (B, T), -1 behind a sequence's end and where the word is outside the vocabulary.
    """

    ids: np.ndarray
    targets: np.ndarray


def cut(text: Text, bounds: np.ndarray, length: int) -> Batch:
    """The sequences with bounds (B, 2) of a text, padded to `length`."""
    at = bounds[:, :1] + np.arange(length)
    inside, at = at < bounds[:, 1:], np.minimum(at, len(text) - 1)
    ids = np.where(inside, text.characters[at], UNKNOWN).astype(np.int64)
    return Batch(ids, np.where(inside, text.targets[at], OUTSIDE).astype(np.int64))


class Feed:
    """The batches of a run by step: the same for every model, and the same whether or not a run was interrupted.

    The text lies on the device once, as bytes; a batch is cut from it there.
    """

    def __init__(
        self, text: Text, batch: int, length: int, seed: int, device: str = "cpu", sampled: float = 1.0
    ) -> None:
        """Args:
        text: to learn from.
        batch: sequences of a batch.
        length: characters of a sequence; shorter ones are padded, so that every batch has the same shape.
        seed: of cuts and order.
        device: where batches are needed.
        sampled: share of the characters that have a target, drawn for each step.

        Raises:
            ConfigError: the text has fewer sequences than a batch.
        """
        self._text, self._batch, self._length, self._seed, self._sampled = text, batch, length, seed, sampled
        self._epoch = -1
        self._order = np.empty((0, 2), dtype=np.int64)
        self._characters = torch.from_numpy(text.characters).to(device)
        self._targets = torch.from_numpy(text.targets).to(device)
        self._offsets = torch.arange(length, device=device)
        self.characters = batch * length  # of a batch, padding included
        plain = text.tile(length)
        self.steps = len(plain) // batch  # of an epoch
        self._first = int(np.searchsorted(text.starts, plain[0, 1]))  # words of the first sequence
        if not self.steps:
            raise ConfigError(f"The text has fewer than {batch} sequences. Give a longer text, or a smaller batch.")

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Ids and targets of a step, int64 (batch, length), as `cut` pads them."""
        epoch, place = divmod(step, self.steps)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        chosen = torch.from_numpy(self._order[place * self._batch : (place + 1) * self._batch])
        bounds = chosen.to(self._characters.device)
        at = bounds[:, :1] + self._offsets
        inside, at = at < bounds[:, 1:], at.clamp(max=len(self._characters) - 1)
        ids, asked = self._characters[at].long().masked_fill(~inside, UNKNOWN), inside
        if self._sampled < 1:
            drawn = np.random.default_rng((self._seed, step, 1)).random(tuple(ids.shape)) < self._sampled
            asked = inside & torch.from_numpy(drawn).to(inside.device)
        return ids, self._targets[at].long().masked_fill(~asked, OUTSIDE)

    def _shuffled(self, epoch: int) -> np.ndarray:
        """The sequences of an epoch in random order; the first is shorter in most, so that others are cut elsewhere.

        They are never fewer than those of `Text.tile`, which cuts as few as there can be.
        """
        rng = np.random.default_rng((self._seed, epoch))
        order = self._text.tile(self._length, int(rng.integers(1, self._first + 1)))
        return order[rng.permutation(len(order))]
