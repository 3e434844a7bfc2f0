"""GPT: equal to GPT-2 with the same weights, and the same by steps, by rows and with every weight shown."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, InputTooLong
from engine.models.gpt import GPT, STANDARD_DEVIATION, GPTConfig, GPTState
from engine.models.taps import Tap
from engine.weights import from_json

SMALL = GPTConfig(vocabulary=19, width=16, heads=4, layers=3, feedforward=24, context=12)
IDS = torch.tensor([[2, 7, 13, 5, 16, 9, 4, 4, 11], [2, 10, 4, 4, 17, 3, 2, 8, 6], [18, 1, 12, 15, 9, 14, 2, 5, 7]])
ROWS, LENGTH = IDS.shape
# Two float64 ways to the same sums of up to 24 products of numbers around 1, through three layers: some tens of
# roundings of 2^-53. A mask, a position or a norm out of place changes logits by 1e-2.
FLOAT64 = {"rtol": 0, "atol": 1e-12}
# Maps and log-probabilities are float32: half a unit of the last place is 3e-8 of a weight, 5e-7 of a log-probability.
# What is mixed by weights that passed through a float32 map, later layers' maps too, differs as much some times over.
MAPS32, LOGPROBS32 = {"rtol": 0, "atol": 1e-6}, {"rtol": 0, "atol": 2e-6}


def randomise(model: nn.Module, seed: int, inputs: int = -1) -> nn.Module:
    """Weights of trained size, biases and norms too, or one that is left out would not show.

    Args:
        model: to be filled.
        seed: of the weights.
        inputs: the matrices' axis of inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            scale = 1.5 / math.sqrt(parameter.shape[inputs]) if parameter.ndim > 1 else 0.3
            norm = name.endswith("weight") and parameter.ndim == 1
            parameter.copy_(noise * scale + norm)
    return model.eval()


@pytest.fixture(scope="module")
def model() -> GPT:
    made = randomise(GPT(SMALL).double(), seed=1).requires_grad_(False)
    assert isinstance(made, GPT)
    return made


# --- The published model ----------------------------------------------------------------------------------------------


@torch.no_grad()
def from_gpt2(theirs: nn.Module, config: GPTConfig) -> GPT:
    """Our model with a GPT-2's weights, whose matrices are (input, output)."""
    ours = GPT(config).double().eval()
    ours.embedding.weight.copy_(theirs.transformer.wte.weight)
    ours.positions.copy_(theirs.transformer.wpe.weight)
    pairs = [(ours.norm, theirs.transformer.ln_f)]
    for own, block in zip(ours.layers, theirs.transformer.h, strict=True):
        pairs += [(own.attention_norm, block.ln_1), (own.feedforward_norm, block.ln_2)]
        for linear, conv in (
            (own.attention.in_proj, block.attn.c_attn), (own.attention.out_proj, block.attn.c_proj),
            (own.feedforward.up, block.mlp.c_fc), (own.feedforward.down, block.mlp.c_proj),
        ):  # fmt: skip
            linear.weight.copy_(conv.weight.T)
            linear.bias.copy_(conv.bias)
    for norm, their in pairs:
        norm.load_state_dict(their.state_dict())
    return ours


@pytest.mark.parametrize(("activation", "name"), [("gelu_tanh", "gelu_new"), ("gelu", "gelu")])
@torch.no_grad()
def test_equals_gpt2(activation, name):
    """Logits of every path and all maps equal those of transformers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=19, n_positions=12, n_embd=16, n_layer=3, n_head=4, n_inner=24, activation_function=name,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager", bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    theirs = randomise(GPT2LMHeadModel(config).double(), seed=2, inputs=0)
    model = from_gpt2(theirs, replace(SMALL, activation=activation))
    expected = theirs(IDS, output_attentions=True, use_cache=False)
    assert expected.logits.std() > 0.5 and len(expected.attentions) == 3
    torch.testing.assert_close(model(IDS), expected.logits, **FLOAT64)
    found = model.forward_with_maps(IDS)
    assert found.decoder.dtype == torch.float32 and found.decoder.shape == (3, ROWS, 4, LENGTH, LENGTH)
    assert all(maps[..., -1, :].max() > 0.4 for maps in expected.attentions)  # uneven, or parity says little
    torch.testing.assert_close(found.decoder.double(), torch.stack(expected.attentions), **MAPS32)
    torch.testing.assert_close(found.logits, expected.logits, **LOGPROBS32)


# --- What it gives ----------------------------------------------------------------------------------------------------


def test_a_later_token_changes_nothing_before(model):
    logits = model(IDS)
    for t in range(LENGTH):
        changed = IDS.clone()
        changed[:, t] = 18 - changed[:, t] + (changed[:, t] == 9)  # 18 - 9 is 9
        difference = (model(changed) - logits).abs().amax(dim=(0, 2))
        assert not difference[:t].any()
        assert difference[t] > 1e-3


def test_parts_of_a_forward_give_the_whole(model):
    vectors, logits = model.embedding(IDS), model(IDS)
    assert logits.shape == (ROWS, LENGTH, 19) and logits.dtype == torch.float64
    assert torch.equal(model.forward_from_embeddings(vectors), logits)
    assert torch.equal(model.logits(model.hidden_from_embeddings(vectors)), logits)


def test_positions_matter(model):
    same = torch.full((1, 5), 7)
    logits = model(same)[0]
    assert (logits[1:] - logits[:-1]).abs().amax(-1).min() > 1e-2


def test_batch_equals_single_and_padding_at_the_end_is_not_read(model):
    logits = model(IDS)
    for row in range(ROWS):
        for length in (1, 4, LENGTH):
            alone = model(IDS[row : row + 1, :length])
            torch.testing.assert_close(alone[0], logits[row, :length], **FLOAT64)
    padded = IDS.clone()
    padded[:, 5:] = 0
    torch.testing.assert_close(model(padded)[:, :5], logits[:, :5], **FLOAT64)


def test_gradients_equal_finite_differences(model):
    vectors = model.embedding(IDS[:2, :3]).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.forward_from_embeddings(x)[..., :3], vectors)


def test_every_weight_is_reached():
    model = randomise(GPT(SMALL).double(), seed=3)
    model(torch.arange(12)[None]).square().sum().backward()  # a whole context, so that every position is read
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert bool((model.positions.grad.abs().amax(1) > 0).all())


def test_threads_share_one_model(model):
    """Nothing of a run stays on it."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    alone = [model.forward_with_maps(row[None]) for row in IDS]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda row: model.forward_with_maps(row[None]), [*IDS] * 5))
    for found, expected in zip(together, alone * 5, strict=True):
        assert torch.equal(found.logits, expected.logits) and torch.equal(found.decoder, expected.decoder)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- Maps and taps ----------------------------------------------------------------------------------------------------


def test_maps_are_causal_and_rows_sum_to_one(model):
    maps = model.forward_with_maps(IDS).decoder
    assert torch.equal(maps, maps.tril()) and bool((maps >= 0).all())
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, ROWS, 4, LENGTH), rtol=0, atol=1e-6)
    assert bool((maps[..., 0, 0] == 1).all())  # the first token sees itself alone
    assert maps[..., -1, :].std(-1).min() > 1e-3  # and nothing is spread evenly


def test_taps_that_ask_for_nothing_change_nothing(model):
    logits = model(IDS)
    assert torch.equal(model(IDS, {}), logits)
    assert torch.equal(model(IDS, {("decoder", layer): Tap() for layer in range(3)}), logits)
    assert torch.equal(model(IDS, {("encoder", 0): Tap(change_outputs=torch.zeros_like)}), logits)  # it has none


def test_watching_gives_what_runs_anyway(model):
    values, outputs = (torch.full((ROWS, 4, LENGTH, 4), torch.nan, dtype=torch.float64) for _ in range(2))
    found = model(IDS, {("decoder", 1): Tap(values=values, outputs=outputs)})
    torch.testing.assert_close(found, model(IDS), **FLOAT64)
    weights = model.forward_with_maps(IDS).decoder[1]
    torch.testing.assert_close(weights.double() @ values, outputs, **LOGPROBS32)


@pytest.mark.parametrize("layer", range(3))
def test_a_tap_reaches_its_layer_and_the_map_shows_what_was_used(model, layer):
    def first_only(weights: Tensor) -> Tensor:
        changed = torch.zeros_like(weights)
        changed[..., 0] = 1
        return changed

    taps = {("decoder", layer): Tap(change_weights=first_only)}
    plain, found = model.forward_with_maps(IDS), model.forward_with_maps(IDS, taps)
    assert bool((found.decoder[layer][..., 0] == 1).all()) and not found.decoder[layer][..., 1:].any()
    torch.testing.assert_close(found.decoder[:layer], plain.decoder[:layer], **MAPS32)  # layers before are as they were
    assert all((found.decoder[later] - plain.decoder[later]).abs().max() > 1e-2 for later in range(layer + 1, 3))
    torch.testing.assert_close(found.logits, model(IDS, taps), **LOGPROBS32)
    torch.testing.assert_close(found.logits[:, 0], plain.logits[:, 0], **LOGPROBS32)  # it looked at itself already
    assert (found.logits[:, 1:] - plain.logits[:, 1:]).abs().amax(-1).min() > 1e-3


# --- Step by step -----------------------------------------------------------------------------------------------------


def equal_states(one: GPTState, other: GPTState) -> None:
    assert one.length == other.length
    for mine, theirs in zip(one.layers, other.layers, strict=True):
        for part, expected in zip(mine, theirs, strict=True):
            torch.testing.assert_close(part, expected, **FLOAT64)


@pytest.mark.parametrize("read", [0, 1, 4, LENGTH - 1])
def test_steps_after_any_start_equal_the_whole(model, read):
    expected = model(IDS).log_softmax(-1)
    state = model.encode(IDS[:, :read])
    assert state.length == read
    for t in range(read, LENGTH):
        before, kept = state, [part.clone() for layer in state.layers for part in layer]
        logprobs, state = model.step(state, IDS[:, t])
        assert logprobs.dtype == torch.float32 and state.length == t + 1
        torch.testing.assert_close(logprobs.double(), expected[:, t], **LOGPROBS32)
        # a state is a value: the step left the one before it as it was
        assert before.length == t
        assert all(map(torch.equal, kept, (part for layer in before.layers for part in layer)))
    equal_states(state, model.encode(IDS))


def test_an_empty_start_is_the_start(model):
    empty = model.encode(torch.empty(2, 0, dtype=torch.long))
    equal_states(empty, model.start(2))
    assert all(part.shape == (2, 4, 0, 4) and part.dtype == torch.float64 for layer in empty.layers for part in layer)


def test_selected_rows_go_on_as_themselves(model):
    expected = model(IDS).log_softmax(-1)
    rows = torch.tensor([2, 0, 0, 1])
    state = model.encode(IDS[:, :-1])
    logprobs, after = model.step(state.select(rows), IDS[rows, -1])
    torch.testing.assert_close(logprobs.double(), expected[rows, -1], **LOGPROBS32)
    assert after.length == LENGTH and len(state.layers[0][0]) == ROWS


# --- Limits -----------------------------------------------------------------------------------------------------------


def test_a_full_context_is_read_and_one_token_more_is_refused(model):
    full = torch.arange(12)[None]
    logprobs, state = model.step(model.encode(full[:, :-1]), full[:, -1])
    torch.testing.assert_close(logprobs.double(), model(full)[:, -1].log_softmax(-1), **LOGPROBS32)
    longer = torch.arange(13)[None]
    for refused in (
        lambda: model(longer),
        lambda: model.forward_with_maps(longer),
        lambda: model.encode(longer),
        lambda: model.step(state, longer[:, -1]),
    ):
        with pytest.raises(InputTooLong, match=r"12 tokens at most, and the text has 13\. Shorten it"):
            refused()


def test_a_text_far_too_long_is_refused_before_its_maps_get_memory(model):
    """Maps of two million tokens would take 200 terabytes."""
    with pytest.raises(InputTooLong, match="12 tokens at most"):
        model.forward_with_maps(torch.zeros(1, 2_000_000, dtype=torch.long))


# --- Sizes and configurations -----------------------------------------------------------------------------------------


def test_weights_start_as_in_gpt2():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocabulary=500, width=64, heads=4, layers=8, feedforward=128, context=64))
    deep = 0
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert bool((parameter == (0 if name.endswith("bias") else 1)).all()), name
            continue
        residual = "out_proj" in name or "down" in name  # what writes into the residual stream: √(2 · 8) = 4 times less
        deep += residual
        expected = STANDARD_DEVIATION / 4 if residual else STANDARD_DEVIATION
        # the standard deviation of n normal numbers is known to 1/√(2n); n is 4096 at least: five of that
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.056), name
    assert deep == 16


def test_parameters_are_counted_by_hand():
    """One matrix serves for tokens read and predicted."""
    model = GPT(GPTConfig(vocabulary=6144))
    layer = 4 * 192 * 192 + 4 * 192 + 2 * 192 * 768 + 768 + 192 + 4 * 192  # attention, feed-forward, two norms
    assert sum(p.numel() for p in model.parameters()) == (6144 + 256) * 192 + 6 * layer + 2 * 192


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocabulary": 0}, "vocabulary 0: it must be at least 1"),
        ({"width": 0}, "width 0"),
        ({"heads": 0}, "heads 0"),
        ({"layers": -1}, "layers -1"),
        ({"feedforward": 0}, "feedforward 0"),
        ({"context": 0}, "context 0"),
        ({"heads": 5}, "width 16 must be even and divisible by heads 5"),
        ({"activation": "tanh"}, "activation 'tanh': choose one of relu, gelu, gelu_tanh"),
        ({"norm": "pre"}, "unknown key 'norm'"),
    ],
)
def test_impossible_configurations_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        from_json(GPTConfig, asdict(SMALL) | changes, "config.json")


def test_a_configuration_comes_back():
    assert from_json(GPTConfig, asdict(SMALL), "config.json") == SMALL
