"""What a translator's training step computes: its loss against torch's, and what of it is rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.seq2seq import ATTENTIONS, Seq2Seq, Seq2SeqConfig
from engine.models.transformer import Transformer, TransformerConfig
from engine.training.config import TrainingConfig
from engine.training.data import Batch, Example, collate
from engine.training.learners import Learner, Seq2SeqLearner, TransformerLearner, learner_of
from engine.training.loop import Precision, update

SHAPE = Seq2SeqConfig(12, "additive", embedding=8, layers=2, encoder_width=6, width=10)
CONFIG = TrainingConfig("small", SHAPE, {"copy": 1.0}, batch_tokens=100, longest=8, smoothing=0.1)
TRANSFORMER = TransformerConfig(12, width=8, heads=2, encoder_layers=1, decoder_layers=1, feedforward=10, max_length=8)
EXAMPLES = [Example([4, 5, 6, 7, 8], [9, 10]), Example([11, 4], [5, 6, 7, 8]), Example([8], [4], ((0, 9),))]
# float32 means of 10 numbers around 3, through states summed in another order
CLOSE = {"rel": 2e-6}


def learner(kind: str = "additive", seed: int = 4) -> Learner:
    torch.manual_seed(seed)
    return learner_of(replace(CONFIG, model=replace(SHAPE, attention=kind)))


def loss_of(learner: Learner, batch: Batch, compute: torch.dtype = torch.float32) -> Tensor:
    return learner.losses(batch, CONFIG, compute)[0]


@pytest.mark.parametrize(
    ("shape", "kind", "model"), [(SHAPE, Seq2SeqLearner, Seq2Seq), (TRANSFORMER, TransformerLearner, Transformer)]
)
def test_each_family_has_its_learner(shape, kind, model):
    made = learner_of(replace(CONFIG, model=shape))
    assert type(made) is kind and type(made.model) is model and made.model.config == shape
    # what is used in training only is no part of the model
    extra = {name for name, _ in made.named_parameters() if not name.startswith("model.")}
    assert extra == ({"antecedent.weight", "antecedent.bias"} if kind is TransformerLearner else set())


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_torch(kind, smoothing):
    ours, config, batch = learner(kind), replace(CONFIG, smoothing=smoothing), collate(EXAMPLES)
    assert (batch.source == 0).any() and (batch.predicted == 0).any()
    loss, other = ours.losses(batch, config, torch.float32)
    assert float(other) == 0.0
    source, read, predicted = map(torch.from_numpy, (batch.source, batch.read, batch.predicted))
    logits = ours.model(source, read).flatten(0, 1)
    expected = F.cross_entropy(logits, predicted.flatten(), ignore_index=0, label_smoothing=smoothing)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), **CLOSE)
    names, parameters = zip(*ours.named_parameters(), strict=True)
    pairs = zip(torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters), strict=True)
    for name, (found, wanted) in zip(names, pairs, strict=True):
        # sums of some tens of products below 1
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, msg=name)
        assert found.abs().max() > 1e-5, name


@torch.no_grad()
def test_padding_does_not_count():
    ours, batch = learner(), collate(EXAMPLES)
    whole = float(loss_of(ours, batch))
    alone = [float(loss_of(ours, collate([example]))) for example in EXAMPLES]
    counts = [len(example.target) + 1 for example in EXAMPLES]  # </s> counts
    assert whole == pytest.approx(float(np.average(alone, weights=counts)), **CLOSE)
    assert np.std(alone) > 0.01  # or any weights would do

    def wider(rows: np.ndarray) -> np.ndarray:
        return np.pad(rows, ((0, 0), (0, 3)))

    padded = replace(batch, source=wider(batch.source), read=wider(batch.read), predicted=wider(batch.predicted))
    assert float(loss_of(ours, padded)) == pytest.approx(whole, **CLOSE)


@torch.no_grad()
def test_pronouns_are_not_asked_of_a_recurrent_translator():
    batch, ours = collate(EXAMPLES), learner()
    assert len(batch.antecedents) == 1
    weighed = ours.losses(batch, replace(CONFIG, antecedent_weight=2.0), torch.float32)
    assert float(weighed[0]) == float(loss_of(ours, batch)) and float(weighed[1]) == 0.0
    other = TransformerLearner(Transformer(TRANSFORMER))
    config = replace(CONFIG, model=TRANSFORMER, antecedent_weight=2.0)
    assert float(other.losses(batch, config, torch.float32)[1]) > 0.5


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_products_are_rounded_and_weights_are_not(kind):
    """Loss and gradients in bfloat16 are near those in float32, and arrive in float32."""
    ours, batch = learner(kind), collate(EXAMPLES)
    parameters = tuple(ours.parameters())
    exact, rounded = loss_of(ours, batch), loss_of(ours, batch, torch.bfloat16)
    assert rounded.dtype == torch.float32
    # bfloat16 keeps 8 bits: 2^-9 of logits around 3, which the mean over 10 tokens mostly evens out
    assert 0 < abs(float((exact - rounded).detach())) < 0.02
    found, wanted = (torch.cat([g.flatten() for g in torch.autograd.grad(one, parameters)]) for one in (rounded, exact))
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, wanted, dim=0) > 0.999


def working_types(precision: Precision) -> dict[str, torch.dtype]:
    return {name: parameter.dtype for name, parameter in precision.working.named_parameters()}


def test_precision_leaves_recurrent_weights_float32():
    types = working_types(Precision.of(learner(), torch.bfloat16))
    assert "model.encoder.0.backwards.network.weight_hh_l0" in types and "model.readout.weight" in types
    assert set(types.values()) == {torch.float32}
    types = working_types(Precision.of(learner_of(replace(CONFIG, model=TRANSFORMER)), torch.bfloat16))
    assert {name for name, kind in types.items() if kind == torch.float32} == {"model.embedding.tokens.weight"}
    assert set(types.values()) == {torch.float32, torch.bfloat16}


def test_an_update_moves_every_weight():
    precision = Precision.of(learner(), torch.bfloat16)
    before = [parameter.clone() for parameter in precision.master.parameters()]
    optimizer = torch.optim.AdamW(precision.master.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    translation, antecedent, count = update(precision, optimizer, collate(EXAMPLES), CONFIG, 1e-2)
    assert translation > 1 and antecedent == 0 and count == 1
    working = dict(precision.working.named_parameters())
    for (name, own), old in zip(precision.master.named_parameters(), before, strict=True):
        assert not torch.equal(own, old) and torch.equal(working[name], own), name
        assert working[name].grad is None
