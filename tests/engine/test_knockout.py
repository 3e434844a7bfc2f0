"""The sweep of all heads: exactly one forward for each head, only sooner."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.edits import Outputs, compile_edits
from engine.interventions import Head, Intervention, KnockOut, Patch
from engine.knockout import Fork, Instead, averages, from_another_run, log_odds, nothing, sweep
from engine.models.transformer import Transformer, TransformerConfig
from engine.reference import output_buffers
from engine.types import KINDS

SMALL = TransformerConfig(19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12)
SOURCE, OTHER = (5, 9, 14, 7, 11, 3), (8, 6, 15, 3)
FORK = Fork((2, 7, 13, 5), 4, 9)
POSITIONS = {"encoder": ((0, 0), (2, 3), (3, 5)), "decoder": ((0, 1), (1, 3)), "cross": ((3, 3), (1, 0))}
# Log-odds here are around 1 to 10. Two float32 ways to the same sums differ by some roundings of 2^-24 of that, which
# weights as large as these, and norms after each sublayer, make up to ten times larger through 5 layers. A wrong head,
# layer, row or sentence changes them by 1e-2; what is finer than that the same model in float64 shows.
FLOAT32 = 1e-4
# A model in float64 leaves the rounding of the two logits to float32 at the end, 2^-24 of up to 20 each.
ROUNDED = 3e-6
DTYPES = pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, FLOAT32), (torch.float64, ROUNDED)])
CONFIGS = {
    "pre": {},
    "post": {"norm": "post", "activation": "silu", "positions": "concatenated"},
    "bias": {"output_bias": True},
    "one layer each": {"encoder_layers": 1, "decoder_layers": 1},
    "two heads": {"heads": 2, "encoder_layers": 3, "decoder_layers": 2},
}


def build(seed: int = 1, **changes: object) -> Transformer:
    """A model with uneven weights, and biases that are not 0."""
    values = {name: getattr(SMALL, name) for name in SMALL.__slots__} | changes
    model = Transformer(TransformerConfig(**values)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * 1.5 / math.sqrt(parameter.shape[1]))
        else:
            parameter.copy_(noise * 0.2 + (1 if "norm" in name and name.endswith("weight") else 0))
    return model


def random_means(model: Transformer) -> Outputs:
    generator, config = torch.Generator().manual_seed(7), model.config
    shape = (config.heads, config.width // config.heads)
    return {place: torch.randn(shape, generator=generator) for place in output_buffers(model, 1, 1, 1)}


@torch.inference_mode()
def outputs_of(model: Transformer, source: Sequence[int], prefix: Sequence[int]) -> Outputs:
    taps = output_buffers(model, 1, len(source), len(prefix))
    model(torch.tensor([source]), torch.tensor([prefix]), taps)
    return {place: tap.outputs[0] for place, tap in taps.items() if tap.outputs is not None}


@torch.inference_mode()
def one_by_one(model: Transformer, made: dict[Head, Intervention], means: Outputs, donor: Outputs) -> dict[Head, float]:
    """The log-odds of a full forward under each intervention."""
    found = {}
    for head, one in made.items():
        edits = compile_edits([one], model.config, means=lambda: means, donor=lambda patch: donor)
        logits = model(torch.tensor([SOURCE]), torch.tensor([FORK.prefix]), edits.at(0))[0, -1]
        found[head] = float(logits[FORK.first]) - float(logits[FORK.second])
    return found


def heads_of(config: TransformerConfig) -> list[Head]:
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers, "cross": config.decoder_layers}
    return [Head(kind, layer, head) for kind in KINDS for layer in range(layers[kind]) for head in range(config.heads)]


def assert_swept(model: Transformer, instead: Instead, made: dict[Head, Intervention], atol: float, **runs) -> None:
    """The sweep gives, of every head, the log-odds of a full forward."""
    found = sweep(model, SOURCE, FORK, instead)
    expected = one_by_one(model, made, runs.get("means", {}), runs.get("donor", {}))
    assert sum(off.size for off in found.off.values()) == len(expected)
    for (kind, layer, head), value in expected.items():
        assert found.off[kind][layer, head] == pytest.approx(value, abs=atol), (kind, layer, head)
    assert found.base == pytest.approx(log_odds(model, SOURCE, FORK), abs=atol)
    changes = np.array(list(expected.values())) - found.base
    assert (np.abs(changes) > 10 * FLOAT32).mean() > 0.9, "nearly every head counts for something"


@DTYPES
@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_the_sweep_is_one_forward_for_each_head(changes, dtype, atol):
    model = build(**changes).to(dtype)
    made = {head: KnockOut((head,)) for head in heads_of(model.config)}
    assert_swept(model, nothing, made, atol)


@DTYPES
@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_the_sweep_with_means_is_a_knock_out_by_the_mean(changes, dtype, atol):
    model = build(**changes).to(dtype)
    means = random_means(model)
    made = {head: KnockOut((head,), "mean") for head in heads_of(model.config)}
    assert_swept(model, averages(means), made, atol, means=means)


@DTYPES
@pytest.mark.parametrize("changes", CONFIGS.values(), ids=CONFIGS)
def test_the_sweep_from_another_run_is_a_patch(changes, dtype, atol):
    """Encoder positions of a source of another length, decoder and cross positions under the same prefix."""
    model = build(**changes).to(dtype)
    donor = outputs_of(model, OTHER, FORK.prefix)
    made = {head: Patch((head,), "", None, POSITIONS[head.kind]) for head in heads_of(model.config)}
    assert_swept(model, from_another_run(donor, POSITIONS), made, atol, donor=donor)


def test_a_run_from_itself_changes_nothing():
    model = build()
    own = outputs_of(model, SOURCE, FORK.prefix)
    everywhere = {kind: [(i, i) for i in range(len(SOURCE if kind == "encoder" else FORK.prefix))] for kind in KINDS}
    found = sweep(model, SOURCE, FORK, from_another_run(own, everywhere))
    for change in found.change.values():
        np.testing.assert_allclose(change, 0, rtol=0, atol=FLOAT32)


def test_a_run_with_a_prefix_of_another_length_is_a_mistake():
    model = build()
    donor = outputs_of(model, OTHER, (2, 7, 13, 5, 6))
    with pytest.raises(AssertionError, match="prefixes differ"):
        sweep(model, SOURCE, FORK, from_another_run(donor, POSITIONS))


def test_shapes_and_changes():
    found = sweep(build(), SOURCE, FORK)
    assert {kind: off.shape for kind, off in found.off.items()} == {
        "encoder": (2, 4),
        "decoder": (3, 4),
        "cross": (3, 4),
    }
    assert {off.dtype for off in found.off.values()} == {np.dtype(np.float32)}
    for kind in KINDS:
        assert np.array_equal(found.change[kind], found.off[kind] - np.float32(found.base))


def test_log_odds_are_a_difference_of_log_probabilities():
    model = build(output_bias=True)
    with torch.inference_mode():
        logprobs = model(torch.tensor([SOURCE]), torch.tensor([FORK.prefix]))[0, -1].log_softmax(-1)
    expected = float(logprobs[FORK.first] - logprobs[FORK.second])
    # numbers around 1 to 10; the log-softmax takes one more rounding of each
    assert log_odds(model, SOURCE, FORK) == pytest.approx(expected, abs=5e-6)
    swapped = sweep(model, SOURCE, Fork(FORK.prefix, FORK.second, FORK.first))
    found = sweep(model, SOURCE, FORK)
    assert swapped.base == -found.base  # the same two logits, subtracted the other way round: exact
    assert all(np.array_equal(swapped.off[kind], -found.off[kind]) for kind in KINDS)


def test_a_sweep_leaves_nothing_on_the_model():
    model = build()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = sweep(model, SOURCE, FORK), sweep(model, SOURCE, FORK)
    assert all(np.array_equal(first.off[kind], second.off[kind]) for kind in KINDS)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(1, 3), st.sampled_from(["pre", "post"]),
    st.integers(1, 11), st.integers(1, 11), st.integers(0, 2**31), st.data(),
)  # fmt: skip
def test_any_small_model_and_lengths(heads, encoder, decoder, norm, long, wide, seed, data):
    model = build(seed, heads=heads, encoder_layers=encoder, decoder_layers=decoder, norm=norm).double()
    pieces = st.integers(4, 18)
    source = [*data.draw(st.lists(pieces, min_size=long, max_size=long)), 3]
    fork = Fork((2, *data.draw(st.lists(pieces, min_size=wide, max_size=wide))), 5, 6)
    found = sweep(model, source, fork)
    head = data.draw(st.sampled_from(heads_of(model.config)))
    edits = compile_edits([KnockOut((head,))], model.config, means=pytest.fail, donor=pytest.fail)
    with torch.inference_mode():
        logits = model(torch.tensor([source]), torch.tensor([fork.prefix]), edits.at(0))[0, -1]
    assert found.base == pytest.approx(log_odds(model, source, fork), abs=1e-5)  # as ROUNDED: logits up to 80
    assert found.off[head.kind][head.layer, head.head] == pytest.approx(float(logits[5] - logits[6]), abs=1e-5)
