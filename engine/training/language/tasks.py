"""What a step of each language model computes: its batch and its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.models.bert import Bert
from engine.models.char_lm import CharLM
from engine.models.gpt import GPT
from engine.training.language.config import LanguageModel, LanguageTraining, language_model
from engine.training.language.masking import IGNORED, draw_pairs
from engine.training.language.prepared import Stream, load_characters, load_stream
from engine.training.loss import cross_entropy

VALIDATION_STEPS = 8
VALIDATION_SEED = 2**20


class Task(nn.Module, ABC):
    """A model, its text and its loss.

    Attributes:
        model: what comes out of the training.
        tokens: read in a step, padding included.
        rounded: kinds of modules whose weights are kept in the compute type while they run.
    """

    model: LanguageModel
    tokens: int
    rounded: ClassVar[tuple[type[nn.Module], ...]] = (nn.Linear, nn.LayerNorm)

    @abstractmethod
    def losses(self, step: int, compute: torch.dtype, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """Cross-entropies in nats: per token to predict, and of a second objective (0 where there is none).

        Args:
            step: which batch; the same step has the same batch.
            compute: type of the matrix products.
            held_out: of the validation books.
        """

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.embedding.weight.device


class GPTTask(Task):
    """The next piece, at every piece of windows cut at random places."""

    def __init__(self, config: LanguageTraining, model: GPT, folder: Path) -> None:
        super().__init__()
        self.model: GPT = model
        self._config, self.tokens = config, config.batch * config.length
        self._train, self._valid = (load_stream(folder, part).ids for part in ("train", "valid"))

    def losses(self, step: int, compute: torch.dtype, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task.losses`."""
        ids = windows(self._valid if held_out else self._train, self._config, step).to(self.device)
        model = self.model
        hidden = model.hidden_from_embeddings(model.embedding(ids[:, :-1]).to(compute))
        loss = cross_entropy(hidden.flatten(0, 1), model.embedding.weight, ids[:, 1:].flatten())
        return loss, loss.new_zeros(())


class CharTask(Task):
    """The next character, at every character of windows cut at random places."""

    rounded = ()

    def __init__(self, config: LanguageTraining, model: CharLM, folder: Path) -> None:
        super().__init__()
        self.model: CharLM = model
        self._config, self.tokens = config, config.batch * config.length
        self._train, self._valid = (load_characters(folder, part) for part in ("train", "valid"))

    def losses(self, step: int, compute: torch.dtype, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task.losses`."""
        ids = windows(self._valid if held_out else self._train, self._config, step).to(self.device)
        with torch.autocast(ids.device.type, compute, enabled=compute != torch.float32):
            logits = self.model(ids[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        return loss, loss.new_zeros(())


class BertTask(Task):
    """The masked pieces of a pair of texts, and whether the second follows the first."""

    def __init__(self, config: LanguageTraining, model: Bert, folder: Path) -> None:
        super().__init__()
        self.model: Bert = model
        self._config, self.tokens = config, config.batch * config.length
        self._train, self._valid = (load_stream(folder, part) for part in ("train", "valid"))

    def losses(self, step: int, compute: torch.dtype, *, held_out: bool = False) -> tuple[Tensor, Tensor]:
        """See `Task.losses`; the second is that of the next-sentence objective."""
        stream: Stream = self._valid if held_out else self._train
        config, model = self._config, self.model
        rng = np.random.default_rng((config.seed, step, held_out))
        pairs = draw_pairs(stream, rng, config.batch, config.length, model.config.vocabulary)
        ids, segments, targets, following = (
            torch.from_numpy(part).to(self.device)
            for part in (pairs.ids, pairs.segments, pairs.targets, pairs.following)
        )
        hidden = model.hidden_from_embeddings(model.embedding(ids).to(compute), segments, model.mask(ids))
        asked = targets != IGNORED
        restored = model.restore(hidden[asked])
        logits = F.linear(restored, model.embedding.weight.to(compute)).float() + model.output_bias
        answers = model.follows(hidden).float()
        # A sum and not a mean: of a small batch no token at all may be chosen, and then there is nothing to restore.
        loss = F.cross_entropy(logits, targets[asked], reduction="sum") / asked.sum().clamp(min=1)
        return loss, F.cross_entropy(answers, following)


def windows(ids: np.ndarray, config: LanguageTraining, step: int) -> Tensor:
    """Windows of length + 1 tokens, int64 (batch, length + 1): every place of the text once, in random order, and then
    again, cut elsewhere.

    Raises:
        ConfigError: the text has fewer windows than a batch.
    """
    long = config.length + 1
    per_epoch = (len(ids) - long) // config.length // config.batch
    if per_epoch < 1:
        raise ConfigError(f"The text has fewer than {config.batch} windows of {long}. Give a longer text.")
    epoch, place = divmod(step, per_epoch)
    rng = np.random.default_rng((config.seed, epoch))
    shift = int(rng.integers(config.length))
    order = rng.permutation((len(ids) - long - shift) // config.length + 1)
    chosen = order[place * config.batch : (place + 1) * config.batch]
    starts = shift + chosen * config.length
    return torch.from_numpy(ids[starts[:, None] + np.arange(long)].astype(np.int64))


def task_of(config: LanguageTraining, folder: Path) -> Task:
    """A run's task, with random weights, on the text that was prepared in a folder."""
    model = language_model(config.model)
    if isinstance(model, CharLM):
        return CharTask(config, model, folder)
    return BertTask(config, model, folder) if isinstance(model, Bert) else GPTTask(config, model, folder)
