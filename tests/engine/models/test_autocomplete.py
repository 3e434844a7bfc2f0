"""The five autocomplete networks: what all of them give, the Transformer's maps, their sizes and configurations."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from engine.characters import CHARACTERS, fold
from engine.errors import ConfigError, InputTooLong, Unsupported
from engine.models.autocomplete import (
    SHAPES,
    Autocomplete,
    AutocompleteConfig,
    CausalTransformer,
    parameter_counts,
)
from engine.models.recurrent import RecurrentStack
from engine.models.taps import Tap
from engine.weights import from_json

RECURRENT = ("rnn", "gru", "lstm", "nlstm")
KINDS = (*RECURRENT, "transformer")
WORDS, LENGTH = 11, 9
# Logits here are around 1. Two float64 ways to the same sums of some ten products, through two layers and nine
# characters, differ by a few roundings of 2^-53; a mask, a position or a gate out of place changes them by 1e-3.
ROUNDING = 1e-12
# Maps are float32, and so are then the weights that the values are mixed by: 2^-24 of numbers around 1, some times.
MAPS = 2e-6
IDS = torch.tensor([fold("to be or").ids, fold("not this").ids, fold("a letter").ids])


def build(kind: str, seed: int = 3, **changes: object) -> Autocomplete:
    """A small model in float64 with weights of trained size, biases and norms too."""
    config = AutocompleteConfig(kind, WORDS, embedding=8, width=8, heads=2, feedforward=12, max_length=12)
    model = Autocomplete(replace(config, **changes)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            scale = 1.5 / math.sqrt(parameter.shape[1]) if parameter.ndim > 1 else 0.2
            parameter.copy_(noise * scale + (1 if "norm" in name and name.endswith("weight") else 0))
    return model


@pytest.fixture(params=KINDS)
def model(request):
    return build(request.param)


# --- What every network gives -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_word_at_every_character(model):
    logits = model(IDS)
    assert logits.shape == (3, LENGTH, WORDS) and logits.dtype == torch.float64 and logits.std() > 0.1
    assert isinstance(model.body, CausalTransformer if model.config.cell == "transformer" else RecurrentStack)
    vectors = model.embedding(IDS)
    assert vectors.shape == (3, LENGTH, model.config.embedding)
    assert torch.equal(model.forward_from_embeddings(vectors), logits)
    assert torch.equal(model.logits(model.hidden_from_embeddings(vectors)), logits)


@torch.no_grad()
def test_a_later_character_changes_nothing_before(model):
    logits = model(IDS)
    for t in range(LENGTH):
        changed = IDS.clone()
        changed[:, t] = 27 - changed[:, t]
        difference = (model(changed) - logits).abs().amax(dim=(0, 2))
        assert not difference[:t].any()
        assert difference[t] > 1e-3


@torch.no_grad()
def test_step_by_step_equals_the_whole(model):
    state, logits = model.start(len(IDS)), model(IDS)
    for t in range(LENGTH):
        before = state
        kept = [part.clone() for layer in before.layers for part in layer]
        step, state = model.step(state, IDS[:, t])
        torch.testing.assert_close(step, logits[:, t], rtol=0, atol=ROUNDING)
        assert (before.length, state.length) == (t, t + 1)
        # a state is a value: the step left the one before it as it was, so that a deleted letter needs no new run
        assert all(map(torch.equal, kept, (part for layer in before.layers for part in layer)))


@torch.no_grad()
def test_selected_rows_go_on_as_themselves(model):
    logits, state = model(IDS), model.start(len(IDS))
    for t in range(LENGTH - 1):
        _, state = model.step(state, IDS[:, t])
    rows = torch.tensor([2, 0, 0])
    step, _ = model.step(state.select(rows), IDS[rows, -1])
    torch.testing.assert_close(step, logits[rows, -1], rtol=0, atol=ROUNDING)


@torch.no_grad()
def test_batch_equals_single_and_padding_at_the_end_is_not_read(model):
    logits = model(IDS)
    for row in range(len(IDS)):
        for length in (1, 4, LENGTH):
            alone = model(IDS[row : row + 1, :length])
            torch.testing.assert_close(alone[0], logits[row, :length], rtol=0, atol=ROUNDING)
    padded = IDS.clone()
    padded[:, 5:] = 0
    assert torch.equal(model(padded)[:, :5], logits[:, :5])


def test_gradients_equal_finite_differences(model):
    vectors = model.embedding(IDS[:2, :4]).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.forward_from_embeddings(x)[..., :4], vectors)


def test_every_weight_is_reached_and_no_gradient_goes_back_in_time(model):
    model(IDS).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    vectors = model.embedding(IDS).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.forward_from_embeddings(vectors)[:, 3].sum(), vectors)
    assert gradient[:, :4].abs().amax(-1).min() > 0 and not gradient[:, 4:].any()


def test_threads_share_one_model(model):
    """Nothing of a run stays on it."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    alone = [model(row[None]).detach() for row in IDS]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda row: model(row[None]).detach(), [*IDS] * 5))
    assert all(map(torch.equal, together, alone * 5))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- The recurrent networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RECURRENT)
@torch.no_grad()
def test_states_explain_the_logits(kind):
    model = build(kind)
    run = model.run_with_states(IDS)
    torch.testing.assert_close(run.logits, model(IDS), rtol=0, atol=ROUNDING)
    assert torch.equal(model.logits(run.recording.states[-1]["hidden"]), run.logits)
    assert run.recording.states[0]["hidden"].shape == (3, LENGTH, 8)
    assert ("forget" in run.recording.gates[0]) == (kind in ("lstm", "nlstm"))


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_networks_have_no_attention(kind):
    model = build(kind)
    with pytest.raises(Unsupported, match=rf"\({kind}\) has no attention"):
        model.forward_with_maps(IDS)
    with pytest.raises(Unsupported, match="no attention"):
        model(IDS, {("decoder", 0): Tap(change_weights=torch.clone)})


@torch.no_grad()
def test_recurrent_networks_read_texts_of_any_length():
    ids = torch.tensor([fold("on and on " * 40).ids])
    for kind in RECURRENT:
        assert build(kind)(ids).shape == (1, 401, WORDS)


# --- The Transformer --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_maps_are_causal_and_their_rows_sum_to_one():
    model = build("transformer", layers=3)
    run = model.forward_with_maps(IDS)
    assert run.decoder.shape == (3, 3, 2, LENGTH, LENGTH) and run.decoder.dtype == torch.float32
    torch.testing.assert_close(run.logits, model(IDS), rtol=0, atol=MAPS)  # explicit = fused
    torch.testing.assert_close(run.decoder.sum(-1), torch.ones(run.decoder.shape[:-1]), rtol=0, atol=1e-6)
    assert not run.decoder.triu(1).any() and (run.decoder.tril() > 0).sum() == 3 * 3 * 2 * 45


@torch.no_grad()
def test_the_transformer_equals_torch():
    model = build("transformer")
    ours, config = model.body, model.config
    theirs = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.float64),
        2, norm=nn.LayerNorm(8, dtype=torch.float64), enable_nested_tensor=False,
    )  # fmt: skip
    theirs.norm.load_state_dict(ours.norm.state_dict())
    names = {
        "attention.in_proj.": "self_attn.in_proj_", "attention.out_proj.": "self_attn.out_proj.",
        "attention_norm.": "norm1.", "feedforward_norm.": "norm2.", "feedforward.up.": "linear1.",
        "feedforward.down.": "linear2.",
    }  # fmt: skip
    for layer, copy in zip(ours.layers, theirs.layers, strict=True):
        weights = {}
        for name, value in layer.state_dict().items():
            start = next(start for start in names if name.startswith(start))
            weights[names[start] + name.removeprefix(start)] = value
        copy.load_state_dict(weights)
    vectors = model.embedding(IDS)
    angle = torch.arange(LENGTH, dtype=torch.float64)[:, None] / 10_000 ** (torch.arange(0, 8, 2) / 8)
    placed = vectors + torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
    later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
    expected = theirs(placed, mask=later)
    # our positions are kept in float32
    torch.testing.assert_close(model.hidden_from_embeddings(vectors), expected, rtol=0, atol=1e-6)
    assert config.layers == len(theirs.layers)


@torch.no_grad()
def test_a_tap_changes_one_layer():
    model = build("transformer")
    logits, taps = model(IDS), {("decoder", 1): Tap(change_outputs=torch.zeros_like)}
    changed = model.forward_with_maps(IDS, taps)
    assert (changed.logits - logits).abs().max() > 1e-2
    torch.testing.assert_close(changed.logits, model(IDS, taps), rtol=0, atol=MAPS)
    untouched = model.forward_with_maps(IDS).decoder[0]
    assert torch.equal(changed.decoder[0], untouched)


@torch.no_grad()
def test_a_text_without_positions_is_refused():
    model = build("transformer")
    long = torch.ones(1, 13, dtype=torch.int64)
    assert model(long[:, :12]).shape == (1, 12, WORDS)
    with pytest.raises(InputTooLong, match="12 characters at most, and the text has 13"):
        model(long)
    state = model.start()
    for _ in range(12):
        _, state = model.step(state, long[:, 0])
    with pytest.raises(InputTooLong, match="12 characters"):
        model.step(state, long[:, 0])


def test_the_transformer_has_no_recurrent_state():
    with pytest.raises(Unsupported, match="no recurrent state"):
        build("transformer").run_with_states(IDS)


# --- Sizes and configurations -----------------------------------------------------------------------------------------


def test_counts_by_hand():
    counts = parameter_counts(AutocompleteConfig("gru", words=10, embedding=4, width=5, layers=2))
    first, second = 3 * 5 * (4 + 5 + 2), 3 * 5 * (5 + 5 + 2)
    assert counts == {"embedding": 28 * 4, "body": first + second, "output": 60, "total": 112 + first + second + 60}


def test_shipped_shapes_are_of_one_size():
    assert {config.cell for config in SHAPES.values()} == set(KINDS)
    assert all(name == f"autocomplete-{config.cell}" for name, config in SHAPES.items())
    assert {(config.words, config.characters) for config in SHAPES.values()} == {(4096, CHARACTERS)}
    totals = [parameter_counts(config)["total"] for config in SHAPES.values()]
    assert max(totals) < 1.15 * min(totals)
    assert 2 * sum(totals) < 30e6  # bytes in float16: what the five may take
    assert parameter_counts(SHAPES["autocomplete-gru"]) == {
        "embedding": 1_792, "body": 1_405_440, "output": 1_576_960, "total": 2_984_192
    }  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_come_back_from_json(name):
    assert from_json(AutocompleteConfig, asdict(SHAPES[name]), name) == SHAPES[name]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"cell": "gru", "words": 5, "depth": 2}, "unknown key 'depth'.*layers"),
        ({"cell": "gru"}, "'words'"),
        ({"cell": "qrnn", "words": 5}, "'qrnn'.*nlstm"),
        ({"cell": "gru", "words": 0}, "words 0"),
        ({"cell": "lstm", "words": 5, "layers": 0}, "layers 0"),
        ({"cell": "transformer", "words": 5, "embedding": 12, "width": 12}, "heads 8"),
        ({"cell": "transformer", "words": 5, "embedding": 9, "width": 9, "heads": 3}, "width 9 needs it to be even"),
        ({"cell": "transformer", "words": 5, "width": 16}, "equal to embedding 64"),
    ],
)
def test_impossible_configurations_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        from_json(AutocompleteConfig, values, "model")
