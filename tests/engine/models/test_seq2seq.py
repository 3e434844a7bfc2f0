"""The recurrent translator: parity with torch.nn, steps as the whole pass, its gradients, and its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.models.seq2seq import (
    CROSS,
    Seq2Seq,
    Seq2SeqMaps,
)  # fmt: skip
from engine.models.taps import UNTAPPED, Tap, Taps
from tests.engine.models.recurrent_cases import (
    BATCH,
    FLOAT64,
    KINDS,
    LOGPROBS32,
    SCORED,
    SMALL,
    SOURCE,
    SPAN,
    STEPS,
    TARGET,
    WEIGHTS32,
    build,
    sentences,
    stepwise,
    torch_encoder,
)

# --- The whole model --------------------------------------------------------------------------------------------------


def as_the_papers_say(model: Seq2Seq, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (T, V) and weights (T, S) of one sentence, from torch's cells and formulas, one token at a time."""
    annotations, final = torch_encoder(model, 2)(model.embedding(source))
    annotations, summary = annotations[0], torch.cat([final[-2, 0], final[-1, 0]])
    cell = nn.GRUCell(6 + 10, 7, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): v for name, v in model.decoder.network.state_dict().items()})
    matrix, state = model.embedding.tokens.weight, torch.tanh(model.bridge(summary))
    logits, weights = [], []
    for token in target[0]:
        vector, context = matrix[token] * math.sqrt(6), summary
        if model.score is not None:
            keys = [model.keys.weight.mv(annotation) for annotation in annotations]
            parameters = dict(model.score.named_parameters())
            score: dict[str, Callable[[Tensor], Tensor]] = {
                "additive": lambda key, s=state, p=parameters: p["direction"].dot(
                    torch.tanh(p["query.weight"].mv(s) + key)
                ),
                "dot": lambda key, s=state: s.dot(key),
                "general": lambda key, s=state, p=parameters: s.dot(p["weight"].mv(key)),
            }
            scores = torch.stack([score[model.config.attention](key) for key in keys])
            weights.append(scores.exp() / scores.exp().sum())
            context = weights[-1] @ annotations
        state = cell(torch.cat([vector, context])[None], state[None])[0]
        logits.append(matrix.mv(torch.tanh(model.readout(torch.cat([state, context, vector])))))
    return torch.stack(logits), torch.stack(weights) if weights else torch.empty(0)


@KINDS
@torch.no_grad()
def test_equals_the_papers_steps_with_cells_of_torch(kind):
    model = build(kind)
    maps = model.forward_with_maps(SOURCE, TARGET)
    assert maps.logits.shape == (BATCH, STEPS, 19) and maps.logits.std() > 0.5
    for row, source, target in sentences():
        logits, weights = as_the_papers_say(model, source, target)
        torch.testing.assert_close(maps.logits[row, : len(logits)], logits, **FLOAT64)
        if kind != "none":
            assert weights.max() > 3 * weights.min()  # uneven, or parity says little
            ours = maps.cross[0, row, 0, : len(logits), : source.shape[1]]
            torch.testing.assert_close(ours.double(), weights, **WEIGHTS32)


@SCORED
@torch.no_grad()
def test_maps_are_attention(kind):
    cross = build(kind).forward_with_maps(SOURCE, TARGET).cross
    assert cross.shape == (1, BATCH, 1, STEPS, SPAN) and cross.dtype == torch.float32
    # 6 terms, each rounded to 2^-25
    torch.testing.assert_close(cross.sum(-1), torch.ones(cross.shape[:-1]), rtol=0, atol=1e-6)
    padded = (SOURCE == 0)[None, :, None, None].expand_as(cross)
    assert (cross[padded] == 0).all() and (cross[~padded] > 0).all()


@KINDS
@torch.no_grad()
def test_a_padded_batch_gives_each_sentence_alone(kind):
    model = build(kind)
    together = model.forward_with_maps(SOURCE, TARGET)
    for row, source, target in sentences():
        assert model.source_mask(source) is None
        alone, (span, steps) = model.forward_with_maps(source, target), (source.shape[1], target.shape[1])
        torch.testing.assert_close(together.logits[row, :steps], alone.logits[0], **FLOAT64)
        torch.testing.assert_close(together.cross[:, row, :, :steps, :span], alone.cross[:, 0], **WEIGHTS32)


@torch.no_grad()
def test_without_attention_each_step_reads_the_same():
    model = build("none")
    seen = model.read_source(model.embedding(SOURCE), model.source_mask(SOURCE))
    states, contexts = model.unroll(model.embedding(TARGET), seen)
    assert torch.equal(contexts, seen.summary[:, None].expand(BATCH, STEPS, 10))
    assert states.shape == (BATCH, STEPS, 7) and (states[:, 1:] - states[:, :-1]).abs().amax(-1).min() > 1e-3
    maps = model.forward_with_maps(SOURCE, TARGET)
    assert maps.cross.shape == (0, BATCH, 0, STEPS, SPAN) and maps.by_kind == {}
    assert seen.keys is None and model.keys is None and model.score is None


@KINDS
@torch.no_grad()
def test_all_forwards_agree(kind):
    model = build(kind)
    logits, mask = model(SOURCE, TARGET), model.source_mask(SOURCE)
    vectors = model.embedding(SOURCE), model.embedding(TARGET)
    assert torch.equal(model.forward_from_embeddings(*vectors, mask), logits)
    assert torch.equal(model.forward_with_maps(SOURCE, TARGET).logits, logits)  # watching is not changing
    changed = TARGET.clone()
    changed[:, 3] = 11
    later = model(SOURCE, changed)
    assert torch.equal(later[:, :3], logits[:, :3])
    assert (later[:, 3:] - logits[:, 3:]).abs().amax(-1).min() > 1e-2


@SCORED
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@torch.no_grad()
def test_weights_are_never_rounded_below_float32(kind, dtype):
    model = build(kind).to(dtype)
    seen = model.read_source(model.embedding(SOURCE), model.source_mask(SOURCE))
    scores, weights = model.attend(model.start(seen), seen)
    wanted = torch.float64 if dtype == torch.float64 else torch.float32
    assert scores.dtype == weights.dtype == wanted
    assert (scores[SOURCE == 0] == -math.inf).all() and (weights[SOURCE == 0] == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, dtype=wanted), rtol=0, atol=1e-6)
    logprobs, _, cross = model.step_with_cross(model.encode(SOURCE), TARGET[:, 0])
    assert model(SOURCE, TARGET).dtype == dtype and logprobs.dtype == cross.dtype == torch.float32


# --- Step by step -----------------------------------------------------------------------------------------------------


@KINDS
@torch.no_grad()
def test_steps_equal_the_full_pass(kind):
    model = build(kind)
    full = model.forward_with_maps(SOURCE, TARGET)
    found, last = stepwise(model, model.encode(SOURCE), TARGET)
    assert found.dtype == torch.float32 and last.length == STEPS
    torch.testing.assert_close(found.double(), full.logits.log_softmax(-1), **LOGPROBS32)
    state = model.encode(SOURCE)
    for position, tokens in enumerate(TARGET.unbind(1)):
        assert state.length == position
        before = state.hidden.clone()
        logprobs, after, cross = model.step_with_cross(state, tokens)
        assert torch.equal(logprobs, found[:, position]) and torch.equal(state.hidden, before)
        layers = model.config.attention_layers("cross")
        assert cross.shape == (BATCH, layers, model.config.heads, SPAN) and cross.dtype == torch.float32
        torch.testing.assert_close(cross, full.cross[..., position, :].transpose(0, 1), **WEIGHTS32)
        state = after


@KINDS
@pytest.mark.parametrize("padded", [True, False])
@torch.no_grad()
def test_a_state_follows_selected_rows(kind, padded):
    """Rows kept, dropped and repeated continue as if they had always been there."""
    model, rows = build(kind), torch.tensor([2, 0, 2, 2])
    source = SOURCE if padded else SOURCE[:, :3].clamp(min=3)
    _, state = stepwise(model, model.encode(source), TARGET[:, :2])
    chosen = state.select(rows)
    assert chosen.length == 2 and (chosen.source.mask is None) == (not padded)
    found, after = stepwise(model, chosen, TARGET[rows, 2:4])
    expected = model(source[rows], TARGET[rows, :4]).log_softmax(-1)[:, 2:]
    torch.testing.assert_close(found.double(), expected, **LOGPROBS32)
    assert after.length == 4 and state.length == 2 and len(state.hidden) == BATCH  # the old state still stands


@KINDS
@torch.no_grad()
def test_hypotheses_share_one_source(kind):
    """As a beam has them: one sentence is encoded once, its rows multiply, and the source is never copied."""
    model, source = build(kind), SOURCE[1:2]  # with its padding, as part of a batch may have it
    state = model.encode(source)
    logprobs, state = model.step(state, torch.tensor([2]))
    state = state.select(torch.tensor([0, 0, 0]))
    assert len(state.hidden) == 3 and len(state.source.summary) == 1
    first, state = model.step(state, torch.tensor([7, 4, 11]))
    second, state, cross = model.step_with_cross(state.select(torch.tensor([2, 0])), torch.tensor([5, 9]))
    assert len(state.source.summary) == 1 and len(state.hidden) == 2

    prefixes = torch.tensor([[2, 11, 5], [2, 7, 9]])
    full = model.forward_with_maps(source.expand(2, -1), prefixes)
    expected = full.logits.log_softmax(-1)
    torch.testing.assert_close(logprobs[0].double(), expected[0, 0], **LOGPROBS32)
    torch.testing.assert_close(first[[2, 0]].double(), expected[:, 1], **LOGPROBS32)
    torch.testing.assert_close(second.double(), expected[:, 2], **LOGPROBS32)
    torch.testing.assert_close(cross, full.cross[..., 2, :].transpose(0, 1), **WEIGHTS32)
    # and rows may branch off at the first step already
    several, _ = model.step(model.encode(source), torch.tensor([2, 7]))
    expected = model(source.expand(2, -1), torch.tensor([[2], [7]])).log_softmax(-1)[:, 0]
    torch.testing.assert_close(several.double(), expected, **LOGPROBS32)


# --- Gradients --------------------------------------------------------------------------------------------------------


@KINDS
def test_gradients_by_finite_differences(kind):
    """d logit / d token vector of every source and target entry; central differences by torch, at steps of 1e-6."""
    model = build(kind, vocabulary=7, embedding=4, encoder_width=3, width=4)
    source, target = torch.tensor([[5, 4, 3], [6, 3, 0]]), torch.tensor([[2, 4], [2, 6]])
    mask = model.source_mask(source)
    mixed = torch.linspace(-1, 1, 2 * 2 * 7, dtype=torch.float64).reshape(2, 2, 7)
    vectors = [model.embedding(ids).requires_grad_() for ids in (source, target)]

    def score(source: Tensor, target: Tensor) -> Tensor:
        return (model.forward_from_embeddings(source, target, mask) * mixed).sum()

    # rounding of the score, 1e-14 / step, is 1e-8; step² x third derivative is less
    assert torch.autograd.gradcheck(score, vectors, eps=1e-6, atol=1e-7, rtol=1e-6)
    gradients = torch.autograd.grad(score(*vectors), vectors)
    assert (gradients[0][1, 2] == 0).all() and (gradients[0][mask] != 0).all() and (gradients[1] != 0).all()


@KINDS
def test_gradients_reach_every_parameter(kind):
    model = build(kind).requires_grad_()
    logits = model(SOURCE, TARGET)
    logits.log_softmax(-1)[..., :10].sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad != 0).all(), name


# --- Sharing, files, errors -------------------------------------------------------------------------------------------


@KINDS
def test_two_threads_share_one_model(kind):
    """One has taps, the other none; each gets what it gets alone."""
    model = build(kind)
    tap = Tap(change_weights=lambda weights: weights.flip(-1), change_outputs=torch.neg)
    jobs: list[Taps] = [{CROSS: tap}, {}]

    def run(taps: Taps) -> list[Seq2SeqMaps]:
        with torch.no_grad():
            return [model.forward_with_maps(SOURCE, TARGET, taps) for _ in range(15)]

    alone = [run(taps)[0] for taps in jobs]
    if kind != "none":
        assert (alone[0].logits - alone[1].logits).abs().max() > 1e-2
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, jobs))
    for expected, found in zip(alone, together, strict=True):
        for maps in found:
            # a thread count of the pool's own may change the order of a sum
            torch.testing.assert_close(maps.logits, expected.logits, **FLOAT64)
            torch.testing.assert_close(maps.cross, expected.cross, **WEIGHTS32)


def test_a_run_leaves_nothing_on_the_model():
    def contents() -> dict[str, object]:
        return {
            f"{name}.{key}": value if not isinstance(value, dict) else tuple(value.items())
            for name, module in model.named_modules()
            for key, value in vars(module).items()
        }

    model = build("additive").requires_grad_()
    before, weights = contents(), {name: value.clone() for name, value in model.state_dict().items()}
    model.forward_with_maps(SOURCE, TARGET, {CROSS: UNTAPPED})
    stepwise(model, model.encode(SOURCE), TARGET)
    after = contents()
    assert before.keys() == after.keys() and "score.query._parameters" in before
    for name, value in before.items():
        assert value is after[name] or str(value) == str(after[name]), name
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


SHAPES = {
    "embedding.tokens.weight": (19, 6),
    **{
        f"encoder.{layer}.{way}.network.{name}_l0": shape
        for layer, wide in enumerate((6, 10))
        for way in ("forwards", "backwards")
        for name, shape in (("weight_ih", (15, wide)), ("weight_hh", (15, 5)), ("bias_ih", (15,)), ("bias_hh", (15,)))
    },
    "bridge.weight": (7, 10),
    "bridge.bias": (7,),
    "decoder.network.weight_ih_l0": (21, 16),
    "decoder.network.weight_hh_l0": (21, 7),
    "decoder.network.bias_ih_l0": (21,),
    "decoder.network.bias_hh_l0": (21,),
    "readout.weight": (6, 23),
    "readout.bias": (6,),
}
SCORES = {
    "none": {},
    "additive": {"keys.weight": (7, 10), "score.query.weight": (7, 7), "score.direction": (7,)},
    "dot": {"keys.weight": (7, 10)},
    "general": {"keys.weight": (7, 10), "score.weight": (7, 7)},
}


@KINDS
@torch.no_grad()
def test_weights_go_to_a_file_and_back(kind):
    """Under the names and shapes of the files that ship; the kinds differ in their scores alone."""
    model = build(kind)
    weights = model.state_dict()
    assert {name: tuple(value.shape) for name, value in weights.items()} == SHAPES | SCORES[kind]
    other = Seq2Seq(model.config).double().eval()
    assert (other(SOURCE, TARGET) - model(SOURCE, TARGET)).abs().max() > 1e-2
    other.load_state_dict(weights)
    torch.testing.assert_close(other(SOURCE, TARGET), model(SOURCE, TARGET), **FLOAT64)


@torch.no_grad()
def test_fresh_token_vectors_are_of_size_one():
    torch.manual_seed(3)
    model = Seq2Seq(replace(SMALL, vocabulary=500, embedding=64))
    vectors = model.embedding(torch.arange(500)[None])
    # the standard deviation of 32,000 draws is off by 0.4 % of itself
    assert vectors.shape == (1, 500, 64) and float(vectors.std()) == pytest.approx(1.0, rel=0.02)
    assert torch.equal(vectors[0, 7], model.embedding.tokens.weight[7] * 8)


@KINDS
def test_what_a_shape_says_of_its_attention(kind):
    config = replace(SMALL, attention=kind)
    heads = 0 if kind == "none" else 1
    assert (config.heads, config.context) == (heads, 10)
    assert [config.attention_layers(one) for one in ("encoder", "decoder", "cross")] == [0, 0, heads]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"attention": "concat"}, "'concat'.*none, additive, dot, general"),
        ({"attention": ""}, "choose one of"),
        *(({name: 0}, name) for name in ("vocabulary", "embedding", "layers", "encoder_width", "width")),
        ({"width": -1}, "at least 1"),
    ],
)
def test_impossible_configurations_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        replace(SMALL, **changes)
