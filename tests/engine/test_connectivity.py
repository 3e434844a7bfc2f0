"""Connectivity: every method against finite differences and against one backward for each target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from engine.connectivity import Connectivity, connectivity, gradients, plan, read, top_words, two_sided
from engine.connectivity_blocks import MASKED, MODES, Block, basis_of, norm
from engine.connectivity_generic import generic
from engine.errors import ConfigError, EmptyInput, InputTooLong, Unsupported
from engine.gradients import Objective, input_gradients
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.models.transformer import EncoderLayer, Transformer, TransformerConfig

CELLS = ("rnn", "gru", "lstm", "nlstm", "transformer")
FAST = {cell: "causal" if cell == "transformer" else "recurrent" for cell in CELLS}
IDS, WORDS = (3, 0, 17, 5, 5, 9, 21), (4, 12, 0, MASKED, 7, 4, 9)
# float32 sums of some tens of products, backward through at most 20 steps or 3 layers; a wrong term is far larger
SAME = 1e-5


def build(
    cell: str, *, layers: int = 2, width: int | None = None, scale: float = 1.5, words: int = 13, seed: int = 0
) -> Autocomplete:
    """A tiny model in evaluation mode with weights that leave nothing near zero or near equal."""
    if cell == "transformer":
        width = 12 if width is None else 4 * width
        shape = {"embedding": width, "width": width, "heads": 4, "feedforward": width + 3, "max_length": 20}
    else:
        shape = {"embedding": 5, "width": width or 7}
    model = Autocomplete(AutocompleteConfig(cell, words=words, layers=layers, **shape)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * (scale if "embedding" not in name else 1) / parameter.shape[1] ** 0.5)
        else:
            parameter.copy_(noise * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0))
    return model


def whole(model: Autocomplete, vectors: Tensor, words: tuple[int, ...], method: str) -> Tensor:
    """All gradients, (T, T, d)."""
    found = torch.zeros(len(words), *vectors.shape, dtype=vectors.dtype)
    for block in gradients(model, vectors, words, None, method):
        found[list(block.rows), block.columns] = block.gradients
    return found


@torch.no_grad()
def differences(model: Autocomplete, vectors: Tensor, words: tuple[int, ...], step: float = 1e-5) -> Tensor:
    """The same by central differences."""
    found = torch.zeros(len(words), *vectors.shape, dtype=vectors.dtype)
    rows = [row for row, word in enumerate(words) if word != MASKED]
    for index in np.ndindex(*vectors.shape):
        sides = []
        for sign in (1, -1):
            moved = vectors.clone()
            moved[index] += sign * step
            logits = model.forward_from_embeddings(moved[None])[0]
            sides.append(logits[rows, [words[row] for row in rows]])
        found[(rows, *index)] = (sides[0] - sides[1]) / (2 * step)
    return found


def assert_same(found: Connectivity, expected: Connectivity, times: float = 1) -> None:
    """Equal up to rounding of each row's largest, or `times` as much."""
    assert (found.mode, found.words) == (expected.mode, expected.words)
    scale = np.maximum(expected.peaks, 1e-300)[:, None]
    apart = np.abs(found.relative * found.peaks[:, None] - expected.relative * expected.peaks[:, None]) / scale
    assert apart.max() <= (2 if found.mode == "squared" else 1) * times * SAME


# --- Against finite differences, and against each other ---------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_every_method_gives_the_finite_differences(cell):
    model = build(cell, layers=3).double()
    vectors = model.embedding(torch.tensor(IDS))
    expected = differences(model, vectors, WORDS)
    for method in ("naive", "generic", FAST[cell]):
        found = whole(model, vectors, WORDS, method)
        # step² of a third derivative near 10, and 1e-16 / step of rounding: 1e-9 and 1e-11; gradients are 5e-4 at least
        apart = (found - expected).abs().amax((1, 2)) / expected.abs().amax((1, 2)).clamp(min=1e-4)
        assert apart.max() < 1e-6, method
    assert expected.abs().amax((1, 2))[[0, 1, 2, 4, 5, 6]].min() > 1e-4


shapes = st.tuples(
    st.sampled_from(CELLS), st.integers(1, 20), st.integers(1, 3), st.sampled_from([1, 3, 5]), st.integers(0, 2**20)
)


@settings(max_examples=100, deadline=None)
@given(shapes, st.sampled_from(MODES), st.sampled_from([0.3, 1.0, 2.0]))
def test_fast_and_generic_equal_one_backward_for_each_target(shape, mode, scale):
    cell, length, layers, width, seed = shape
    model = build(cell, layers=layers, width=width, scale=scale, seed=seed)
    rng = np.random.default_rng(seed)
    ids, words = rng.integers(0, 28, length).tolist(), rng.integers(-1, 13, length).tolist()
    expected = connectivity(model, ids, words, mode, method="naive")
    # where large weights saturate a tanh, 1 − h² keeps few of float32's digits: 1e-7 of 1e-4; where small ones let a
    # gradient vanish (1e-10), it is a product of some hundred factors, each rounded by up to 6e-8
    times = 100 if scale > 1 else 3
    assert_same(connectivity(model, ids, words, mode), expected, times)
    assert_same(connectivity(model, ids, words, mode, method="generic"), expected, times)


@settings(max_examples=15, deadline=None)
@given(shapes)
def test_sharp_weights_in_float64(shape):
    """Saturated gates and attention to one position: float32 forwards would differ by more than their roundings."""
    cell, length, layers, width, seed = shape
    model = build(cell, layers=layers, width=width, scale=6, seed=seed).double()
    rng = np.random.default_rng(seed)
    ids, words = rng.integers(0, 28, length).tolist(), rng.integers(0, 13, length).tolist()
    assert_same(connectivity(model, ids, words), connectivity(model, ids, words, method="naive"))


@pytest.mark.parametrize("norm_place", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("rows", [1, 40, 10_000])
def test_the_written_out_backward_takes_any_layer_and_any_portion(norm_place, activation, rows):
    from engine.connectivity_causal import CausalParts, causal

    length, width = 70, 8  # over one strip of queries
    config = TransformerConfig(5, width, 2, 3, 0, 11, norm=norm_place, activation=activation)
    layers = [EncoderLayer(config).double().requires_grad_(False) for _ in range(3)]
    for layer in layers:
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    vectors, output = (torch.randn(n, width, dtype=torch.float64) for n in (length, 5))
    words = tuple(time % 6 - 1 for time in range(length))
    leaf = vectors.clone().requires_grad_()
    x, mask = leaf[None], torch.ones(length, length, dtype=torch.bool).tril()
    for layer in layers:
        x = layer(x, mask)
    logits = x[0] @ output.T
    for block in causal(CausalParts(tuple(layers), None, output), vectors, words, rows=rows):
        for row, found in zip(block.rows, block.gradients, strict=True):
            (expected,) = torch.autograd.grad(logits[row, words[row]], leaf, retain_graph=True)
            torch.testing.assert_close(found, expected[block.columns], rtol=1e-9, atol=1e-12)  # float64, three layers


# --- What the numbers are ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("method", ["naive", "generic", "auto"])
def test_nothing_depends_on_what_comes_later_and_masked_rows_are_empty(cell, method):
    found = connectivity(build(cell), IDS, WORDS, method=method)
    assert (np.triu(found.values, 1) == 0).all()
    assert found.masked.tolist() == [False, False, False, True, False, False, False]
    assert (found.values[3] == 0).all() and found.peaks[3] == 0
    lower = np.tril(np.ones((7, 7), dtype=bool)) & ~found.masked[:, None]
    assert (found.values[lower] > 0).all()
    assert (found.relative.max(1) == np.where(found.masked, 0, 1)).all()


@pytest.mark.parametrize("cell", CELLS)
def test_the_zeros_are_the_gradients_own(cell):
    model = build(cell)
    _, vectors = read(model, IDS, WORDS)
    for block in generic(model, vectors, WORDS, None, 3):
        for row, gradient in zip(block.rows, block.gradients, strict=True):
            assert (gradient[row + 1 :] == 0).all()


def test_no_targets_no_numbers():
    for cell in CELLS:
        assert (connectivity(build(cell), IDS, (MASKED,) * 7).values == 0).all()


@pytest.mark.parametrize("cell", CELLS)
def test_modes_by_hand(cell):
    model = build(cell).double()
    table = model.embedding.weight
    gradient = whole(model, model.embedding(torch.tensor(IDS)), WORDS, "naive")
    onehot = gradient @ table.T  # (T, T, symbols): with respect to the one-hot input
    by_hand = {"embedding": gradient.norm(dim=-1), "one-hot": onehot.norm(dim=-1), "squared": (onehot**2).sum(-1)}
    for mode in MODES:
        np.testing.assert_allclose(connectivity(model, IDS, WORDS, mode).values, by_hand[mode], rtol=1e-6)  # float32


@pytest.mark.parametrize("symbols", [3, 40])
def test_the_basis_keeps_the_norm_and_is_the_smaller_of_two(symbols):
    table = torch.randn(symbols, 11)
    basis = basis_of(table, "one-hot")
    assert basis.shape == (min(symbols, 11), 11)
    vector = torch.randn(11)
    torch.testing.assert_close((basis @ vector).norm(), (table @ vector).norm())


@pytest.mark.parametrize("exponent", [-44, -40, -30, -23, -10, 0, 15, 30, 37])
def test_norms_do_not_underflow(exponent):
    few = torch.randn(3, 4, 9, generator=torch.Generator().manual_seed(0)).clamp(-2, 2) * 10.0**exponent
    few[1, 2] = 0
    found = norm(Block((0, 1, 2), slice(0, 4), few))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, few.double().norm(dim=-1), rtol=1e-6, atol=0)  # float32, nine squares


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mode", MODES)
def test_influences_near_1e_minus_30_are_seen(cell, mode):
    model = build(cell)
    usual = connectivity(model, IDS, WORDS, mode)
    model.output.weight.mul_(2.0**-100)  # exact
    faint = connectivity(model, IDS, WORDS, mode)
    np.testing.assert_allclose(faint.relative, usual.relative, rtol=0, atol=SAME)
    np.testing.assert_allclose(faint.peaks, usual.peaks * 2.0 ** (-200 if mode == "squared" else -100), rtol=SAME)
    if mode != "squared":
        assert (faint.values > 0).sum() == (usual.values > 0).sum()


def test_top_words_are_ranked():
    model = build("gru")
    logits = model(torch.tensor([IDS]))[0]
    assert top_words(model, IDS) == tuple(logits.argmax(-1).tolist())
    assert top_words(model, IDS, 2) == tuple(logits.sort(-1, descending=True).indices[:, 2].tolist())


# --- Encoder and decoder ----------------------------------------------------------------------------------------------


def test_an_encoder_decoder_has_a_source_and_a_target_part():
    config = TransformerConfig(23, 12, 3, 2, 2, 20)
    torch.manual_seed(0)
    model = Transformer(config).double().eval().requires_grad_(False)
    source, target, words = (5, 9, 4, 3), (2, 7, 6, 8, 11), (7, MASKED, 8, 11, 3)
    found = two_sided(model, source, target, words, "embedding", chunk=2)
    onehot = two_sided(model, source, target, words)
    assert found.source.values.shape == (5, 4) and found.target.values.shape == (5, 5)
    table = model.embedding(torch.arange(23)[None])[0]
    for row, word in enumerate(words):
        if word == MASKED:
            assert (found.source.values[row] == 0).all() and (found.target.values[row] == 0).all()
            continue
        expected = input_gradients(model, source, Objective(target[: row + 1], word))
        np.testing.assert_allclose(found.source.values[row], expected.source.norm(dim=1), rtol=1e-6)  # float32
        np.testing.assert_allclose(found.target.values[row, : row + 1], expected.target.norm(dim=1), rtol=1e-6)
        np.testing.assert_allclose(onehot.source.values[row], (expected.source @ table.T).norm(dim=1), rtol=1e-6)
    assert (np.triu(found.target.values, 1) == 0).all()


class Summing(nn.Module):
    """A model of no known kind: logits are a matrix times the sum of all vectors so far."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 3)
        self.output = nn.Linear(3, 4)

    def forward_from_embeddings(self, vectors: Tensor) -> Tensor:
        return self.output(vectors.cumsum(1))


def test_any_model_that_reads_vectors_will_do():
    model = Summing().eval()
    found = connectivity(model, (1, 2, 0, 5), (3, 0, 1, 3), "embedding")
    expected = model.output.weight.detach().norm(dim=1)[[3, 0, 1, 3]]
    for row in range(4):
        np.testing.assert_allclose(found.values[row, : row + 1], float(expected[row]), rtol=1e-6)  # float32
    assert plan(model, 4).method == "generic"


# --- Work: portions, reports, memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("method", ["naive", "generic", "auto"])
def test_progress_is_reported_and_can_be_stopped(cell, method):
    model, seen = build(cell), []

    def tell(share: float) -> None:
        assert torch.is_grad_enabled(), "the callback runs in the caller's mode"
        seen.append(share)

    connectivity(model, IDS, WORDS, method=method, report=tell)
    assert seen == sorted(seen) and seen[0] > 0 and seen[-1] == 1

    def stop(share: float) -> None:
        seen.append(share)
        raise InterruptedError

    seen.clear()
    with pytest.raises(InterruptedError):
        connectivity(model, IDS, WORDS, method=method, report=stop)
    assert len(seen) == 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("method", ["auto", "generic"])
def test_memory_grows_with_the_text_and_a_budget_bounds_the_portion(cell, method):
    model = build(cell)
    sizes = [plan(model, length, method=method).memory for length in (1, 5, 20, 80, 320)]
    assert sizes == sorted(sizes) and sizes[0] > 0 and len(set(sizes)) == 5
    small, large = (plan(model, 20, method=method, budget=budget) for budget in (1, 2**30))
    assert small.memory <= large.memory and small.chunk <= large.chunk
    found = connectivity(model, IDS, WORDS, method=method, budget=1)
    assert_same(found, connectivity(model, IDS, WORDS, method="naive"))


def test_the_forward_and_the_model_stay_as_they_are():
    model = build("lstm").requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    connectivity(model, IDS, WORDS)
    connectivity(model, IDS, WORDS, method="generic")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- What cannot be asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ConfigError, {"mode": "cosine"}),
        (ConfigError, {"method": "fast"}),
        (Unsupported, {"method": "causal"}),
        (ConfigError, {"words": (1, 2)}),
        (ConfigError, {"words": (1,) * 6 + (-2,)}),
        (EmptyInput, {"ids": (), "words": ()}),
    ],
)
def test_impossible_requests_say_what_to_do(error, arguments):
    with pytest.raises(error, match=r"\. |: "):
        connectivity(build("gru"), **({"ids": IDS, "words": WORDS} | arguments))


def test_more_impossible_requests():
    model = build("transformer")
    with pytest.raises(Unsupported, match="not recurrent"):
        connectivity(model, IDS, WORDS, method="recurrent")
    for method in ("auto", "generic"):
        with pytest.raises(InputTooLong, match="20 characters at most"):
            connectivity(model, (1,) * 21, (1,) * 21, method=method)
    with pytest.raises(ConfigError, match="13 words"):
        top_words(model, IDS, 13)
    with pytest.raises(AssertionError):
        connectivity(model.train(), IDS, WORDS)


# --- On a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("method", ["naive", "generic", "auto"])
def test_a_gpu_gives_what_the_cpu_gives(cell, method):
    model = build(cell, layers=3)
    expected = connectivity(model, IDS, WORDS, method="naive")
    assert_same(connectivity(model.cuda(), IDS, WORDS, method=method), expected)
