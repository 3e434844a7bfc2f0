"""What a forward of the recurrent translator writes down of its attention, and what is changed there."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from engine.edits import Edits, Intervened, compile_edits
from engine.errors import InputError
from engine.interventions import Force, Head, Intervention, KnockOut
from engine.models.seq2seq import (
    CROSS,
)  # fmt: skip
from engine.models.taps import Tap
from tests.engine.models.recurrent_cases import (
    ATTENDING,
    BATCH,
    FLOAT64,
    HEAD,
    LOGPROBS32,
    SCORED,
    SMALL,
    SOURCE,
    SPAN,
    STEPS,
    TARGET,
    WEIGHTS32,
    build,
    stepwise,
)


def buffers(steps: int = STEPS) -> Tap:
    """Weights, values and outputs, full of NaN."""
    shapes = ((steps, SPAN), (SPAN, 10), (steps, 10))
    weights, values, outputs = (torch.full((BATCH, 1, *shape), torch.nan, dtype=torch.float64) for shape in shapes)
    return Tap(weights, values, outputs)


def edits(*interventions: Intervention) -> Edits:
    means = {CROSS: torch.linspace(-1, 1, 10, dtype=torch.float64)[None]}
    return compile_edits(interventions, SMALL, means=lambda: means, donor=lambda patch: {})


@SCORED
@torch.no_grad()
def test_buffers_get_the_weights_the_annotations_and_the_contexts(kind):
    model, tap = build(kind), buffers()
    logits = model(SOURCE, TARGET, {CROSS: tap})
    seen = model.read_source(model.embedding(SOURCE), model.source_mask(SOURCE))
    contexts = model.unroll(model.embedding(TARGET), seen)[1]
    assert torch.equal(tap.values[:, 0], seen.annotations) and torch.equal(tap.outputs[:, 0], contexts)
    torch.testing.assert_close(tap.outputs, tap.weights @ tap.values, **FLOAT64)
    assert torch.equal(tap.weights.float(), model.forward_with_maps(SOURCE, TARGET).cross[0])
    assert torch.equal(logits, model(SOURCE, TARGET))
    state = model.encode(SOURCE)
    for position, tokens in enumerate(TARGET.unbind(1)):
        one = buffers(1)
        _, state = model.step(state, tokens, {CROSS: one})
        assert torch.equal(one.values, tap.values)
        torch.testing.assert_close(one.weights[:, :, 0], tap.weights[:, :, position], **FLOAT64)
        torch.testing.assert_close(one.outputs[:, :, 0], tap.outputs[:, :, position], **FLOAT64)


@SCORED
@torch.no_grad()
def test_what_is_written_down_is_what_was_used_after_a_change(kind):
    model, ramp = build(kind), torch.arange(1.0, STEPS + 1, dtype=torch.float64)[:, None]
    shapes: set[tuple[int, ...]] = set()

    def backwards(weights: Tensor) -> Tensor:
        shapes.add(tuple(weights.shape))
        return weights.flip(-1)

    def steeper(mixed: Tensor) -> Tensor:
        shapes.add(tuple(mixed.shape))
        return mixed * ramp  # row t times t + 1

    before, tap = buffers(), replace(buffers(), change_weights=backwards, change_outputs=steeper)
    model(SOURCE, TARGET, {CROSS: before})
    logits = model(SOURCE, TARGET, {CROSS: tap})
    assert shapes == {(BATCH, 1, STEPS, SPAN), (BATCH, 1, STEPS, 10)}
    assert torch.equal(tap.weights[:, :, 0], before.weights[:, :, 0].flip(-1))
    torch.testing.assert_close(tap.outputs, tap.weights @ tap.values * ramp, **FLOAT64)
    # and it is this that the rest of the network went on with
    again = model(SOURCE, TARGET, {CROSS: Tap(change_outputs=lambda mixed: tap.outputs)})
    torch.testing.assert_close(again, logits, **FLOAT64)
    assert (logits - model(SOURCE, TARGET)).abs().max() > 1e-2
    same = Tap(change_weights=torch.clone, change_outputs=lambda mixed: mixed)
    assert torch.equal(model(SOURCE, TARGET, {CROSS: same}), model(SOURCE, TARGET))
    maps = model.forward_with_maps(SOURCE, TARGET, {CROSS: replace(tap, weights=None)})
    assert torch.equal(maps.logits, logits) and torch.equal(maps.cross[0], tap.weights.float())


INTERVENTIONS: dict[str, tuple[Intervention, ...]] = {
    "off": (KnockOut((HEAD,)),),
    "mean": (KnockOut((HEAD,), "mean"),),
    "force": (Force((HEAD,), (1, 3), (0, 2), (1,)),),
    "both": (Force((HEAD,), (2,), (0,), (1, 2)), KnockOut((HEAD,), "mean")),
}


@pytest.mark.parametrize(("kind", "case"), list(product(ATTENDING, INTERVENTIONS)))
@torch.no_grad()
def test_interventions_in_a_full_pass_equal_those_step_by_step(kind, case):
    model, made = build(kind), edits(*INTERVENTIONS[case])
    plain, full = model.forward_with_maps(SOURCE, TARGET), model.forward_with_maps(SOURCE, TARGET, made.at(0))
    changed = Intervened(model, made)
    found, _ = stepwise(changed, changed.encode(SOURCE), TARGET)
    torch.testing.assert_close(found.double(), full.logits.log_softmax(-1), **LOGPROBS32)
    state = model.encode(SOURCE, made.at)
    for position, tokens in enumerate(TARGET.unbind(1)):
        logprobs, state, cross = model.step_with_cross(state, tokens)
        assert torch.equal(logprobs, found[:, position])
        torch.testing.assert_close(cross, full.cross[..., position, :].transpose(0, 1), **WEIGHTS32)
    if case == "force":  # rows 1 and 3, from 0 and 2 onto 1
        assert torch.equal(full.logits[:, 0], plain.logits[:, 0])  # what comes before is left alone
        assert torch.equal(full.cross[..., :1, :], plain.cross[..., :1, :])
        moved = full.cross[0, :, 0, [1, 3]]
        assert (moved[..., [0, 2]] == 0).all()
        torch.testing.assert_close(moved.sum(-1), torch.ones(BATCH, 2), rtol=0, atol=1e-6)
        expected = plain.cross[0, :, 0, 1, :3].sum(-1)
        torch.testing.assert_close(full.cross[0, :, 0, 1, 1], expected, rtol=0, atol=2e-7)
        assert (full.cross[0, :, 0, 2] > 0)[:, [0, 2]].all()  # a row between is its own again
    assert (full.logits - plain.logits)[:, 1:].abs().amax((1, 2)).min() > 1e-3


@torch.no_grad()
def test_a_head_that_is_off_gives_nothing_in_any_row():
    model, tap = build("general"), buffers()
    off = edits(KnockOut((HEAD,))).at(0)[CROSS]
    logits = model(SOURCE, TARGET, {CROSS: replace(off, outputs=tap.outputs)})
    assert (tap.outputs == 0).all()
    other = SOURCE.clone()
    other[0, 1] = 4
    # what is left of the source is the first state, through the bridge
    silent = model(other, TARGET, {CROSS: off})
    assert (silent - logits)[0].abs().max() > 1e-3 and torch.equal(silent[1:], logits[1:])


@pytest.mark.parametrize(
    "head", [Head("cross", 1, 0), Head("cross", 0, 1), Head("encoder", 0, 0), Head("decoder", 0, 0)]
)
def test_there_is_one_head(head):
    with pytest.raises(InputError, match=head.kind):
        edits(KnockOut((head,)))


def test_maps_are_written_down_without_a_gradient():
    model, tap = build("additive").requires_grad_(), buffers()
    model(SOURCE, TARGET, {CROSS: tap}).sum().backward()
    assert not any(t.requires_grad or t.isnan().any() for t in (tap.weights, tap.values, tap.outputs))
    assert not model.forward_with_maps(SOURCE, TARGET).cross.requires_grad
    assert (model.keys.weight.grad != 0).all()
