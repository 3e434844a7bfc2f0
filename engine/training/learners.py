"""What a translator's training step computes: a model, and what is used in training only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from engine.models.seq2seq import Seq2Seq
from engine.models.transformer import Transformer
from engine.models.translator import NativeTranslator, translator
from engine.training.config import TrainingConfig
from engine.training.data import Batch
from engine.training.loss import cross_entropy


class Learner(nn.Module, ABC):
    """A model and its loss.

    Attributes:
        model: what comes out of the training.
        rounded: kinds of modules whose weights are kept in the compute type while they run.
    """

    model: NativeTranslator
    rounded: ClassVar[tuple[type[nn.Module], ...]] = ()

    @abstractmethod
    def losses(self, batch: Batch, config: TrainingConfig, compute: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cross-entropy per target token, and per pronoun of its noun's first piece (0 without pronouns), in nats."""

    def tensors(self, batch: Batch) -> tuple[Tensor, ...]:
        """Source, read and predicted ids, pronouns and antecedents, on the model's device."""
        arrays = (batch.source, batch.read, batch.predicted, batch.pronouns, batch.antecedents)
        device = self.model.embedding.tokens.weight.device
        return tuple(torch.from_numpy(array).to(device) for array in arrays)


class TransformerLearner(Learner):
    """A Transformer, and a layer that tells a pronoun's noun from the encoder's output."""

    rounded = (nn.Linear, nn.LayerNorm)

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model: Transformer = model
        self.antecedent = nn.Linear(model.config.width, model.config.width)

    def losses(self, batch: Batch, config: TrainingConfig, compute: torch.dtype) -> tuple[Tensor, Tensor]:
        """See `Learner.losses`."""
        source, read, predicted, pronouns, antecedents = self.tensors(batch)
        model = self.model
        mask = model.source_mask(source)
        memory = model.run_encoder(model.embedding(source).to(compute), mask)
        hidden = model.run_decoder(model.embedding(read).to(compute), memory, mask)
        keep = predicted != model.config.pad
        matrix = model.embedding.tokens.weight
        translation = cross_entropy(hidden[keep], matrix, predicted[keep], config.smoothing)
        if not len(antecedents) or not config.antecedent_weight:
            return translation, translation.new_zeros(())
        at_pronouns = self.antecedent(memory[pronouns[:, 0], pronouns[:, 1]])
        return translation, cross_entropy(at_pronouns, matrix, antecedents)


class Seq2SeqLearner(Learner):
    """A recurrent translator. Its weights stay float32; products of matrices, and so the decoder's states, are in the
    compute type.
    """

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model: Seq2Seq = model

    def losses(self, batch: Batch, config: TrainingConfig, compute: torch.dtype) -> tuple[Tensor, Tensor]:
        """See `Learner.losses`; there is no second loss."""
        source, read, predicted, *_ = self.tensors(batch)
        model = self.model
        with torch.autocast(source.device.type, compute, enabled=compute != torch.float32):
            seen = model.read_source(model.embedding(source), model.source_mask(source))
            hidden = model.run_decoder(model.embedding(read), seen)
        keep = predicted != model.config.pad
        loss = cross_entropy(hidden[keep].to(compute), model.embedding.tokens.weight, predicted[keep], config.smoothing)
        return loss, loss.new_zeros(())


def learner_of(config: TrainingConfig) -> Learner:
    """A run's learner, with random weights."""
    model = translator(config.model)
    return Seq2SeqLearner(model) if isinstance(model, Seq2Seq) else TransformerLearner(model)
