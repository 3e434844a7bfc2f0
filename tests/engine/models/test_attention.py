"""Multi-head attention: closed forms, torch.nn with the same weights, and our paths against each other."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from engine.models.attention import MultiHeadAttention, attention_weights, causal_mask
from engine.models.taps import Tap

BATCH, HEADS, WIDTH, QUERIES, KEYS = 3, 4, 24, 5, 7
# Both sides compute the same sums in another order: a few rounding errors of 2^-24 (float32) or 2^-53 (float64) of
# numbers around 1, in sums of up to 24 terms. Anything wrong with a head, a mask or the scale is off by 1e-2 or more.
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-14}
MASKS = ("none", "padding", "causal")


def layer(dtype: torch.dtype = torch.float32, width: int = WIDTH, heads: int = HEADS) -> MultiHeadAttention:
    """A layer whose weights make attention uneven, biases included."""
    torch.manual_seed(3)
    attention = MultiHeadAttention(width, heads).to(dtype)
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.normal_(std=0.4)
    return attention


def sequences(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sequences (B, Q, d) and (B, K, d)."""
    torch.manual_seed(4)
    return torch.randn(BATCH, QUERIES, WIDTH, dtype=dtype), torch.randn(BATCH, KEYS, WIDTH, dtype=dtype)


def padding(length: int) -> torch.Tensor:
    """Bool (B, 1, 1, K): row 0 is full, the others are padded by 1 and 3."""
    lengths = torch.tensor([length, length - 1, length - 3])
    return (torch.arange(length) < lengths[:, None])[:, None, None, :]


def case(mask: str, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, dict[str, object]]:
    """Query and key sequences and the arguments of `attend` for one kind of mask."""
    x, memory = sequences(dtype)
    if mask == "causal":
        return x, x, {"causal": True}
    return x, memory, {"mask": padding(KEYS) if mask == "padding" else None}


def explicit(attention: MultiHeadAttention, x, memory, **masks) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and weights of the explicit path. The buffer starts as NaN, so that a cell left unwritten shows."""
    query, (key, value) = attention.project_query(x), attention.project_memory(memory)
    weights = torch.full((*query.shape[:3], key.shape[2]), math.nan, dtype=x.dtype)
    return attention.attend(query, key, value, tap=Tap(weights=weights), **masks), weights


def fused(attention: MultiHeadAttention, x, memory, **masks) -> torch.Tensor:
    return attention.attend(attention.project_query(x), *attention.project_memory(memory), **masks)


def test_two_by_two_by_hand():
    # Scores divided by √4 are [[0, 0], [0, ln 3]]: rows softmax to [1/2, 1/2] and [1/4, 3/4].
    query = torch.tensor([[0.0, 0, 0, 0], [2 * math.log(3), 0, 0, 0]])[None, None]
    key = torch.tensor([[0.0, 0, 0, 0], [1, 0, 0, 0]])[None, None]
    value = torch.tensor([[4.0, 0, 0, 0], [8, 0, 0, 1]])[None, None]
    expected = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    assert torch.allclose(attention_weights(query, key, None)[0, 0], expected, atol=1e-7)  # one ulp at 0.75 is 6e-8

    attention = MultiHeadAttention(4, 1)
    with torch.no_grad():
        attention.out_proj.weight.copy_(torch.eye(4))
        attention.out_proj.bias.copy_(torch.tensor([0.0, 10, 0, 0]))
        weights = torch.empty(1, 1, 2, 2)
        output = attention.attend(query, key, value, tap=Tap(weights=weights))
        first = attention.attend(query, key, value, causal=True)[0, 0]
    assert torch.allclose(weights[0, 0], expected, atol=1e-7)
    # one ulp at 8 is 1e-6
    assert torch.allclose(output[0], torch.tensor([[6.0, 10, 0, 0.5], [7, 10, 0, 0.75]]), atol=2e-6)
    assert torch.allclose(first, torch.tensor([4.0, 10, 0, 0]), atol=2e-6)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_torch(mask, dtype):
    """Output and weights of each head equal `torch.nn.functional.multi_head_attention_forward`."""
    attention = layer(dtype)
    x, memory, masks = case(mask, dtype)
    with torch.no_grad():
        output, weights = explicit(attention, x, memory, **masks)
        theirs, their_weights = F.multi_head_attention_forward(
            x.transpose(0, 1), memory.transpose(0, 1), memory.transpose(0, 1), WIDTH, HEADS,
            attention.in_proj.weight, attention.in_proj.bias, None, None, False, 0.0,
            attention.out_proj.weight, attention.out_proj.bias, training=False,
            key_padding_mask=~padding(KEYS)[:, 0, 0] if mask == "padding" else None,
            attn_mask=torch.ones(QUERIES, QUERIES, dtype=torch.bool).triu(1) if mask == "causal" else None,
            need_weights=True, average_attn_weights=False,
        )  # fmt: skip
    assert weights.shape == (BATCH, HEADS, QUERIES, memory.shape[1]) == their_weights.shape
    # outputs sum 24 products of numbers around 1; weights are at most 1
    torch.testing.assert_close(output, theirs.transpose(0, 1), rtol=0, atol=5 * ROUNDING[dtype])
    torch.testing.assert_close(weights, their_weights, rtol=0, atol=ROUNDING[dtype])
    assert (weights[:, 0] - weights[:, 1]).abs().max() > 0.05  # the heads differ: a mix-up would have shown


@pytest.mark.parametrize("mask", MASKS)
def test_rows_sum_to_one_and_masked_keys_are_zero(mask):
    x, memory, masks = case(mask)
    with torch.no_grad():
        _, weights = explicit(layer(), x, memory, **masks)
    # 7 terms, each rounded to 2^-25 of itself at most
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, QUERIES), rtol=0, atol=1e-6)
    allowed = torch.ones_like(weights, dtype=torch.bool)
    if mask == "causal":
        allowed = allowed.tril()
    elif mask == "padding":
        allowed = allowed & padding(KEYS)
    assert (weights[~allowed] == 0).all() and (weights[allowed] > 0).all()
    assert (~allowed).any() == (mask != "none")


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_paths_agree(mask, dtype):
    """Fused, explicit, and both ways of the CPU path that keeps a gradient."""
    attention = layer(dtype)
    x, memory, masks = case(mask, dtype)
    with torch.no_grad():
        reference = fused(attention, x, memory, **masks)
        shown, weights = explicit(attention, x, memory, **masks)
    trained = fused(attention, x, memory, **masks)
    trained_shown, trained_weights = explicit(attention, x, memory, **masks)
    assert trained.requires_grad and trained_shown.requires_grad and not trained_weights.requires_grad
    for other in (shown, trained, trained_shown):
        torch.testing.assert_close(other, reference, rtol=0, atol=5 * ROUNDING[dtype], check_layout=False)
    torch.testing.assert_close(trained_weights, weights, rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("mask", MASKS)
def test_gradient_equals_that_of_the_fused_kernel(mask):
    attention = layer(torch.float64)
    x, memory, masks = case(mask, torch.float64)
    x.requires_grad_()
    torch.manual_seed(5)
    direction = torch.randn(BATCH, QUERIES, WIDTH, dtype=torch.float64)
    inputs = [x, *attention.parameters()]
    ours = torch.autograd.grad((fused(attention, x, memory, **masks) * direction).sum(), inputs)
    shown = torch.autograd.grad((explicit(attention, x, memory, **masks)[0] * direction).sum(), inputs)
    query, (key, value) = attention.project_query(x), attention.project_memory(memory)
    mixed = F.scaled_dot_product_attention(query, key, value, masks.get("mask"), is_causal=mask == "causal")
    theirs = torch.autograd.grad((attention.out_proj(mixed.transpose(1, 2).flatten(2)) * direction).sum(), inputs)
    for a, b, c in zip(ours, shown, theirs, strict=True):
        # float64 rounding, summed over 3 x 7 positions and gradients of up to about 100
        torch.testing.assert_close(a, c, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(b, c, rtol=1e-11, atol=1e-11)


def test_self_projection_is_query_and_memory_projection():
    attention = layer()
    x, _ = sequences()
    query, key, value = attention.project_self(x)
    assert query.shape == key.shape == value.shape == (BATCH, HEADS, QUERIES, WIDTH // HEADS)
    # one product of (3d, d) against two: another blocking of the same sums
    torch.testing.assert_close(query, attention.project_query(x), rtol=0, atol=5e-6)
    for ours, theirs in zip((key, value), attention.project_memory(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)


def test_causal_mask_with_and_without_a_cache_in_front():
    def rows(queries: int, keys: int) -> list[str]:
        mask = causal_mask(torch.zeros(1, 1, queries, 2), torch.zeros(1, 1, keys, 2))
        assert mask.dtype == torch.bool
        return ["".join("x" if cell else "." for cell in row) for row in mask.tolist()]

    assert rows(3, 3) == ["x..", "xx.", "xxx"]
    assert rows(2, 5) == ["xxxx.", "xxxxx"]
    assert rows(1, 4) == ["xxxx"]


def test_causal_attention_with_a_cache_in_front():
    """The last two queries over all keys see what they see in the whole sequence, on every path."""
    attention = layer()
    x, _ = sequences()
    with torch.no_grad():
        query, key, value = attention.project_self(x)
        whole = attention.attend(query, key, value, causal=True)[:, -2:]
        late = query[:, :, -2:]
        weights = torch.empty(BATCH, HEADS, 2, QUERIES)
        shown = attention.attend(late, key, value, causal=True, tap=Tap(weights=weights))
        quick = attention.attend(late, key, value, causal=True)
    # as in `ROUNDING`: the same sums in another order
    torch.testing.assert_close(shown, whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(quick, whole, rtol=0, atol=1e-5)
    assert (weights[:, :, 0, -1] == 0).all() and (weights[:, :, 0, :-1] > 0).all()


def test_bfloat16_weights_are_kept_in_float32():
    """The buffer's type rules: rows of a bfloat16 layer still sum to 1 in float32."""
    attention = layer().to(torch.bfloat16)
    x, memory = sequences(torch.bfloat16)
    with torch.no_grad():
        query, (key, value) = attention.project_query(x), attention.project_memory(memory)
        weights = torch.empty(BATCH, HEADS, QUERIES, KEYS)
        output = attention.attend(query, key, value, tap=Tap(weights=weights))
        reference = fused(attention.float(), x.float(), memory.float())
    assert output.dtype == torch.bfloat16 and weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, QUERIES), rtol=0, atol=1e-6)
    # bfloat16 keeps 8 bits: scores of about 5 are off by 2^-8 x 5, so weights by 2 %, and outputs of about 10 by 0.2
    torch.testing.assert_close(output.float(), reference, rtol=0, atol=0.2)


def test_a_masked_position_has_no_influence():
    attention = layer()
    x, memory, masks = case("padding")
    changed = memory.clone()
    changed[1, -1:], changed[2, -3:] = 1e3, -1e3
    with torch.no_grad():
        assert torch.equal(explicit(attention, x, changed, **masks)[0], explicit(attention, x, memory, **masks)[0])
        # exactly, since the weight is exactly 0
        assert torch.equal(fused(attention, x, changed, **masks), fused(attention, x, memory, **masks))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("long", [1, 33, 517])
def test_weights_written_over_their_scores_are_the_weights(mask, long):
    """A buffer is mask, scores and weights in turn; rows of any length come out as without one."""
    torch.manual_seed(6)
    # (B, H, T, D) seen through (B, T, H, D), as the projections give them
    query, key = (torch.randn(2, long, 3, 8).transpose(1, 2) for _ in range(2))
    query = query * 3
    allowed = {
        "none": None,
        "padding": (torch.arange(long) < torch.tensor([[long], [max(1, long - 5)]]))[:, None, None, :],
        "causal": causal_mask(query, key),
    }[mask]
    expected = attention_weights(query, key, allowed)
    buffer = torch.full(expected.shape, math.nan)
    assert attention_weights(query, key, allowed, out=buffer) is buffer
    apart = torch.full((*expected.shape[:3], 2 * long), math.nan)[..., ::2]  # memory with gaps
    attention_weights(query, key, allowed, out=apart)
    for found in (buffer, apart):
        # the scale enters before the product or after it: scores up to 30, rounded to 2^-24 of themselves, a few times
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    if allowed is not None:
        assert (buffer[~allowed.expand_as(buffer)] == 0).all()
