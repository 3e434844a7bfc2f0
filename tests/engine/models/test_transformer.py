"""The Transformer: parity with torch.nn and Marian, its step protocol, its gradients, and that it keeps nothing."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import ConfigError
from engine.models.attention import MultiHeadAttention
from engine.models.transformer import Transformer, TransformerConfig, TransformerMaps, sinusoids

SMALL = TransformerConfig(19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, max_length=12)
# Source rows end with </s>, then padding; target rows start with <s>.
SOURCE = torch.tensor([[5, 9, 14, 7, 11, 3], [8, 6, 3, 0, 0, 0], [12, 4, 18, 15, 3, 0]])
TARGET = torch.tensor([[2, 7, 13, 5, 16], [2, 10, 4, 4, 17], [2, 18, 9, 0, 0]])
SOURCE_LENGTHS, TARGET_LENGTHS = (6, 3, 5), (5, 5, 3)
# Logits here are around 1 to 10. Two float32 ways to the same sums of 16 or 24 products, through 5 layers, differ by
# some ten roundings of 2^-24 of that; in float64 of 2^-53. A wrong mask, norm, head or position changes them by 1e-2.
FLOAT32, FLOAT64 = 2e-5, 1e-12
# Weights of attention are at most 1 and take over the error of their scores, which are around 1.
WEIGHTS32 = 5e-6


def randomise(module: nn.Module, seed: int = 1) -> None:
    """Weights of trained size, biases and norms too, so that attention is uneven and every parameter matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(noise * 1.5 / math.sqrt(parameter.shape[1]))
            else:
                parameter.copy_(noise * 0.2 + (1 if "norm" in name and name.endswith("weight") else 0))


def build(config: TransformerConfig = SMALL, **changes: object) -> Transformer:
    values = {name: getattr(config, name) for name in config.__slots__} | changes
    model = Transformer(TransformerConfig(**values)).eval()
    randomise(model)
    return model


# --- Parity -----------------------------------------------------------------------------------------------------------


def copy(into: nn.Module, source: nn.Module) -> None:
    into.load_state_dict(source.state_dict())


def copy_attention(theirs: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    theirs.in_proj_weight.copy_(ours.in_proj.weight)
    theirs.in_proj_bias.copy_(ours.in_proj.bias)
    copy(theirs.out_proj, ours.out_proj)


@torch.no_grad()
def as_torch(model: Transformer) -> nn.Transformer:
    """`torch.nn.Transformer` with our weights."""
    config = model.config
    theirs = nn.Transformer(
        config.width, config.heads, config.encoder_layers, config.decoder_layers, config.feedforward, dropout=0.0,
        activation=config.activation, norm_first=config.norm == "pre", batch_first=True, dtype=torch.float64,
    )  # fmt: skip
    layers = [*theirs.encoder.layers, *theirs.decoder.layers]
    for their, our in zip(layers, [*model.encoder, *model.decoder], strict=True):
        copy_attention(their.self_attn, our.attention)
        copy(their.norm1, our.attention_norm)
        if hasattr(our, "cross"):
            copy_attention(their.multihead_attn, our.cross)
            copy(their.norm2, our.cross_norm)
        copy(their.norm3 if hasattr(our, "cross") else their.norm2, our.feedforward_norm)
        copy(their.linear1, our.feedforward.up)
        copy(their.linear2, our.feedforward.down)
    copy(theirs.encoder.norm, model.encoder_norm)
    copy(theirs.decoder.norm, model.decoder_norm)
    return theirs  # in training mode without dropout: evaluation mode would take another kernel that drops padding


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_equals_torch(norm, activation):
    model = build(norm=norm, activation=activation, final_norm=True).double()
    theirs = as_torch(model)
    with torch.no_grad():
        ours = model(SOURCE, TARGET)
        place, embed = model.embedding.place, model.embedding
        later = torch.ones(TARGET.shape[1], TARGET.shape[1], dtype=torch.bool).triu(1)
        hidden = theirs(
            place(embed(SOURCE)), place(embed(TARGET)),
            tgt_mask=later, src_key_padding_mask=SOURCE == 0, memory_key_padding_mask=SOURCE == 0,
        )  # fmt: skip
        expected = hidden @ embed.tokens.weight.T
    assert ours.shape == (3, 5, 19) and ours.std() > 0.5
    torch.testing.assert_close(ours, expected, rtol=0, atol=FLOAT64)


@pytest.fixture(scope="module")
def marian():
    """A small MarianMTModel in float64; it numbers </s> 0 and starts decoding with <pad>, the last id."""
    from transformers import MarianConfig, MarianMTModel

    config = MarianConfig(
        vocab_size=19, d_model=16, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=24, decoder_ffn_dim=24,
        encoder_attention_heads=4, decoder_attention_heads=4, max_position_embeddings=12, activation_function="swish",
        scale_embedding=True, pad_token_id=18, decoder_start_token_id=18, eos_token_id=0, forced_eos_token_id=0,
        dropout=0.1, attn_implementation="eager",
    )  # fmt: skip
    model = MarianMTModel(config).double().eval()
    positions = {name: p.clone() for name, p in model.named_parameters() if "embed_positions" in name}
    assert positions
    randomise(model, seed=2)
    with torch.no_grad():
        for name, value in positions.items():
            model.get_parameter(name).copy_(value)
        model.final_logits_bias.copy_(torch.linspace(-1, 1, 19, dtype=torch.float64)[None])
    return model


def copy_marian_attention(ours: MultiHeadAttention, theirs: nn.Module) -> None:
    parts = (theirs.q_proj, theirs.k_proj, theirs.v_proj)
    ours.in_proj.weight.copy_(torch.cat([part.weight for part in parts]))
    ours.in_proj.bias.copy_(torch.cat([part.bias for part in parts]))
    copy(ours.out_proj, theirs.out_proj)


@torch.no_grad()
def from_marian(marian: nn.Module) -> Transformer:
    """Our model with a Marian model's weights."""
    config = TransformerConfig(
        vocabulary=19, width=16, heads=4, encoder_layers=2, decoder_layers=3, feedforward=24, norm="post",
        activation="silu", positions="concatenated", scale_embedding=True, output_bias=True, max_length=12,
        pad=18, unknown=1, start=18, end=0,
    )  # fmt: skip
    ours = Transformer(config).double().eval()
    copy(ours.embedding.tokens, marian.model.shared)
    ours.output_bias.copy_(marian.final_logits_bias[0])
    layers = [*marian.model.encoder.layers, *marian.model.decoder.layers]
    for our, their in zip([*ours.encoder, *ours.decoder], layers, strict=True):
        copy_marian_attention(our.attention, their.self_attn)
        if hasattr(our, "cross"):
            copy_marian_attention(our.cross, their.encoder_attn)
            copy(our.cross_norm, their.encoder_attn_layer_norm)
        copy(our.attention_norm, their.self_attn_layer_norm)
        copy(our.feedforward.up, their.fc1)
        copy(our.feedforward.down, their.fc2)
        copy(our.feedforward_norm, their.final_layer_norm)
    return ours


def test_equals_marian(marian):
    """Logits of every path and all three kinds of maps equal those of transformers, padding included."""
    model = from_marian(marian)
    source = torch.tensor([[5, 9, 14, 7, 11, 0], [8, 6, 0, 18, 18, 18]])
    target = torch.tensor([[18, 7, 13, 5], [18, 10, 4, 17]])
    with torch.no_grad():
        theirs = marian(source, (source != 18).long(), decoder_input_ids=target, output_attentions=True)
        maps = model.forward_with_maps(source, target)
        fused = model(source, target)
    assert theirs.logits.std() > 0.5
    # Sinusoids are float32, from angles computed in another order: 6e-8 apart at most, ten times that in logits.
    table = marian.model.encoder.embed_positions.weight
    torch.testing.assert_close(model.embedding.positions, table, rtol=0, atol=6.1e-8)
    torch.testing.assert_close(fused, theirs.logits, rtol=0, atol=1e-6)
    for kind in ("encoder", "decoder", "cross"):
        ours, expected = getattr(maps, kind), theirs[f"{kind}_attentions"]
        assert ours.dtype == torch.float32 and expected[0].max() > 0.4, kind  # uneven maps, or parity says little
        torch.testing.assert_close(ours.double(), torch.stack(expected), rtol=0, atol=1e-6)
    # Weights passed through the float32 buffer on the way to these: 3e-8 each.
    torch.testing.assert_close(maps.logits, theirs.logits, rtol=0, atol=1e-5)


def test_steps_equal_marian(marian):
    """Decoding with our cache gives the log-probabilities of Marian's full pass."""
    model = from_marian(marian)
    source, target = torch.tensor([[5, 9, 14, 0, 18]]), torch.tensor([[18, 7, 13, 5, 5]])
    with torch.no_grad():
        theirs = marian(input_ids=source, attention_mask=(source != 18).long(), decoder_input_ids=target).logits
        # float32, as `step` returns: half an ulp at 8 is 5e-7, beside the sinusoids'
        torch.testing.assert_close(stepwise(model, source, target).double(), theirs.log_softmax(-1), rtol=0, atol=2e-6)


# --- Equivalences -----------------------------------------------------------------------------------------------------


def stepwise(model: Transformer, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Log-probabilities (B, T, V), one step at a time."""
    state, found = model.encode(source), []
    for position in range(target.shape[1]):
        assert state.length == position
        logprobs, state = model.step(state, target[:, position])
        found.append(logprobs)
    return torch.stack(found, dim=1)


KINDS = pytest.mark.parametrize(
    "changes",
    [{}, {"norm": "post", "activation": "silu", "positions": "concatenated", "output_bias": True}],
    ids=["pre", "post"],
)


@KINDS
def test_steps_equal_the_full_pass(changes):
    model = build(**changes)
    with torch.no_grad():
        full = model(SOURCE, TARGET).log_softmax(-1)
        steps = stepwise(model, SOURCE, TARGET)
    assert steps.dtype == torch.float32
    torch.testing.assert_close(steps, full, rtol=0, atol=FLOAT32)
    # 19 exponentials, each rounded to 2^-24 of itself
    torch.testing.assert_close(steps.exp().sum(-1), torch.ones(3, 5), rtol=0, atol=2e-6)


@KINDS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT32), (torch.float64, FLOAT64)])
def test_all_forwards_agree(changes, dtype, tolerance):
    model = build(**changes).to(dtype)
    mask = model.source_mask(SOURCE)
    assert mask is not None and mask.shape == (3, 1, 1, 6) and mask.sum() == sum(SOURCE_LENGTHS)
    with torch.no_grad():
        fused = model(SOURCE, TARGET)
        vectors = model.embedding(SOURCE), model.embedding(TARGET)
        assert torch.equal(model.forward_from_embeddings(*vectors, mask), fused)
        # Without a gradient the float32 buffer of weights is what multiplies the values.
        maps = model.forward_with_maps(SOURCE, TARGET)
        torch.testing.assert_close(maps.logits, fused, rtol=0, atol=FLOAT32)
    trained = model.forward_with_maps(SOURCE, TARGET)
    torch.testing.assert_close(model(SOURCE, TARGET).detach(), fused, rtol=0, atol=tolerance)
    torch.testing.assert_close(trained.logits.detach(), fused, rtol=0, atol=tolerance)
    for kind in ("encoder", "decoder", "cross"):
        assert not getattr(trained, kind).requires_grad
        torch.testing.assert_close(getattr(trained, kind), getattr(maps, kind), rtol=0, atol=WEIGHTS32)


def test_maps_are_attention():
    maps = build().forward_with_maps(SOURCE, TARGET)
    assert maps.encoder.shape == (2, 3, 4, 6, 6)
    assert maps.decoder.shape == (3, 3, 4, 5, 5)
    assert maps.cross.shape == (3, 3, 4, 5, 6)
    for weights in (maps.encoder, maps.decoder, maps.cross):
        # 6 terms, each rounded to 2^-25
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]), rtol=0, atol=1e-6)
    assert (maps.decoder.triu(1) == 0).all() and (maps.decoder[..., 2, :3] > 0).all()
    padded = (SOURCE == 0)[None, :, None, None, :]
    for weights in (maps.encoder, maps.cross):
        where = padded.expand_as(weights)
        assert (weights[where] == 0).all() and (weights[~where] > 0).all()


@KINDS
def test_a_padded_batch_gives_each_sentence_alone(changes):
    model = build(**changes)
    with torch.no_grad():
        together, logits = model.forward_with_maps(SOURCE, TARGET), model(SOURCE, TARGET)
        steps = stepwise(model, SOURCE, TARGET)
        for row, (long, wide) in enumerate(zip(SOURCE_LENGTHS, TARGET_LENGTHS, strict=True)):
            source, target = SOURCE[row : row + 1, :long], TARGET[row : row + 1, :wide]
            alone = model.forward_with_maps(source, target)
            assert model.source_mask(source) is None
            close = {"rtol": 0, "atol": FLOAT32}
            torch.testing.assert_close(logits[row, :wide], model(source, target)[0], **close)
            torch.testing.assert_close(together.logits[row, :wide], alone.logits[0], **close)
            torch.testing.assert_close(steps[row, :wide], stepwise(model, source, target)[0], **close)
            close = {"rtol": 0, "atol": WEIGHTS32}
            torch.testing.assert_close(together.encoder[:, row, :, :long, :long], alone.encoder[:, 0], **close)
            torch.testing.assert_close(together.decoder[:, row, :, :wide, :wide], alone.decoder[:, 0], **close)
            torch.testing.assert_close(together.cross[:, row, :, :wide, :long], alone.cross[:, 0], **close)


def test_later_target_tokens_change_nothing_before():
    model = build()
    changed = TARGET.clone()
    changed[:, 3] = 11
    with torch.no_grad():
        before, after = model(SOURCE, TARGET), model(SOURCE, changed)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=FLOAT32)
    assert (after[:, 3:] - before[:, 3:]).abs().amax(-1).min() > 1e-2


@pytest.mark.parametrize("source", [SOURCE, SOURCE[:, :3]], ids=["padded", "full"])
def test_a_state_follows_selected_rows(source):
    """Rows kept, dropped and repeated continue as if they had always been there."""
    model, rows = build(), torch.tensor([2, 0, 2, 2])
    if source is not SOURCE:
        source = source.clamp(min=3)
    with torch.no_grad():
        state = model.encode(source)
        for position in range(2):
            _, state = model.step(state, TARGET[:, position])
        chosen = state.select(rows)
        ours, after = model.step(chosen, TARGET[rows, 2])
        expected = stepwise(model, source[rows], TARGET[rows, :3])[:, 2]
    assert chosen.length == 2 and after.length == 3
    assert (chosen.memory_mask is None) == (state.memory_mask is None) == (source is not SOURCE)
    torch.testing.assert_close(ours, expected, rtol=0, atol=FLOAT32)
    assert state.length == 2 and state.layers[0].key.shape[0] == 3  # the old state still stands


# --- Parts ------------------------------------------------------------------------------------------------------------


def test_sinusoids_closed_form():
    # width 4: frequencies 1 and 10000^(-1/2) = 1/100
    rows = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in range(7)]
    interleaved = torch.tensor(rows, dtype=torch.float64)
    ours = sinusoids(7, 4)
    assert ours.dtype == torch.float32 and ours.shape == (7, 4)
    # float32 rounds numbers up to 1 by 3e-8
    torch.testing.assert_close(ours.double(), interleaved, rtol=0, atol=6.1e-8)
    ours = sinusoids(7, 4, "concatenated").double()
    torch.testing.assert_close(ours, interleaved[:, [0, 2, 1, 3]], rtol=0, atol=6.1e-8)


def test_positions_start_where_they_are_told():
    model = build()
    vectors = torch.zeros(1, 2, 16)
    assert torch.equal(model.embedding.place(vectors, 3)[0], sinusoids(12, 16)[3:5])
    assert torch.equal(model.embedding(torch.tensor([[4]]))[0, 0], model.embedding.tokens.weight[4] * 4)  # √16
    plain = build(scale_embedding=False)
    assert torch.equal(plain.embedding(torch.tensor([[4]]))[0, 0], plain.embedding.tokens.weight[4])


@pytest.mark.parametrize(("norm", "activation"), [("pre", "gelu"), ("post", "silu")])
def test_gradients_by_finite_differences(norm, activation):
    """d logit / d token vector of every source and target entry, against central differences of the fused path."""
    model = build(
        vocabulary=7, width=8, heads=2, encoder_layers=1, decoder_layers=2, feedforward=10, norm=norm,
        activation=activation
    ).double()  # fmt: skip
    source, target = torch.tensor([[5, 4, 3], [6, 3, 0]]), torch.tensor([[2, 4], [2, 6]])
    mask = model.source_mask(source)
    with torch.no_grad():
        inputs = [model.embedding(source), model.embedding(target)]
        weights = torch.linspace(-1, 1, 2 * 2 * 7, dtype=torch.float64).reshape(2, 2, 7)

        def score(vectors: list[torch.Tensor]) -> float:
            return float((model.forward_from_embeddings(*vectors, mask) * weights).sum())

        step, differences = 1e-5, [torch.zeros_like(vectors) for vectors in inputs]
        for which, vectors in enumerate(inputs):
            for index in np.ndindex(*vectors.shape):
                for sign in (1, -1):
                    moved = [tensor.clone() for tensor in inputs]
                    moved[which][index] += sign * step
                    differences[which][index] += sign * score(moved) / (2 * step)
    leaves = [vectors.requires_grad_() for vectors in inputs]
    gradients = torch.autograd.grad((model.forward_from_embeddings(*leaves, mask) * weights).sum(), leaves)
    for ours, expected in zip(gradients, differences, strict=True):
        # step² x third derivative (about 10) is 1e-9; rounding of the score, 1e-15 / step, is 1e-10
        torch.testing.assert_close(ours, expected, rtol=1e-7, atol=2e-8)
        assert ours.abs().max() > 0.1
    assert (gradients[0][1, 2] == 0).all()  # padding


# --- Errors, and what stays -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 18}, "18"),
        ({"width": 15, "heads": 3}, "15"),
        ({"heads": 0}, "heads"),
        ({"activation": "tanh"}, "tanh"),
        ({"norm": "mid"}, "mid"),
        ({"positions": "learned"}, "learned"),
    ],
)
def test_impossible_configurations_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        TransformerConfig(**({"vocabulary": 19, "width": 16, "heads": 4} | changes))


def test_final_norm_follows_the_norm_order_unless_told():
    def has(**changes: object) -> bool:
        return isinstance(build(**changes).encoder_norm, nn.LayerNorm)

    assert has(norm="pre") and not has(norm="post")
    assert has(norm="post", final_norm=True) and not has(norm="pre", final_norm=False)


def contents(model: nn.Module) -> dict[str, object]:
    """Everything on a model and its parts, by name; dictionaries one level deep."""
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            found |= {f"{name}.{key}": type(value)} | {f"{name}.{key}.{k}": v for k, v in inner}
    return found


def test_a_run_leaves_nothing_on_the_model():
    model = build()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before, positions = contents(model), model.embedding.positions.clone()
    with torch.no_grad():
        model.forward_with_maps(SOURCE, TARGET)
        stepwise(model, SOURCE, TARGET)
    model.forward_with_maps(SOURCE, TARGET)  # with a graph
    after = contents(model)
    assert before.keys() == after.keys() and "encoder.0.attention.in_proj._parameters.weight" in before
    assert [name for name in before if before[name] is not after[name]] == []
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(model.embedding.positions, positions)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_two_threads_share_one_model():
    model = build()
    jobs = [(SOURCE[:1], TARGET[:1]), (SOURCE[1:, :5], TARGET[1:, :3])]

    def run(job: tuple[torch.Tensor, torch.Tensor]) -> list[TransformerMaps]:
        with torch.no_grad():
            return [model.forward_with_maps(*job) for _ in range(30)]

    alone = [run(job)[0] for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, jobs))
    for expected, found in zip(alone, together, strict=True):
        for maps in found:
            for kind in ("logits", "encoder", "decoder", "cross"):
                # the same kernels on the same numbers; a thread count of the pool's own may change the order of a sum
                torch.testing.assert_close(getattr(maps, kind), getattr(expected, kind), rtol=0, atol=WEIGHTS32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@KINDS
def test_cpu_and_cuda_agree(changes):
    model = build(**changes)
    with torch.no_grad():
        maps, steps = model.forward_with_maps(SOURCE, TARGET), stepwise(model, SOURCE, TARGET)
        model.cuda()
        source, target = SOURCE.cuda(), TARGET.cuda()
        cuda = model.forward_with_maps(source, target)
        # float32 matrix products in full precision (TF32 is off by default), summed in another order, with the
        # device's own exp: some tens of roundings of 2^-24 of logits around 5
        close = {"rtol": 0, "atol": 1e-4}
        torch.testing.assert_close(cuda.logits.cpu(), maps.logits, **close)
        torch.testing.assert_close(model(source, target).cpu(), maps.logits, **close)
        torch.testing.assert_close(stepwise(model, source, target).cpu(), steps, **close)
        for kind in ("encoder", "decoder", "cross"):
            torch.testing.assert_close(getattr(cuda, kind).cpu(), getattr(maps, kind), rtol=0, atol=2e-5)
