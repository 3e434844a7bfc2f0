"""Queries and keys: weights of any heads and rows, with every mask, bias and sharing of keys."""

from __future__ import annotations

import math

import pytest
import torch

from engine.models.attention import attention_weights
from engine.models.query_key import QueryKey

B, H, Q, K, D = 2, 4, 5, 7, 8
torch.manual_seed(1)
QUERY, KEY = torch.randn(B, H, Q, D), torch.randn(B, H, K, D)
SHARED = torch.randn(B, 2, K, D)
MASK = torch.rand(B, 1, Q, K) > 0.3
MASK[..., 0] = True
BIAS = torch.randn(1, H, Q, K)
KINDS = {
    "plain": QueryKey(QUERY, KEY, 0.3),
    "masked": QueryKey(QUERY, KEY, 0.3, MASK),
    "float mask": QueryKey(QUERY, KEY, 0.3, torch.where(MASK, 0.0, -torch.inf)),
    "causal": QueryKey(QUERY, KEY, 0.3, causal=True),
    "biased": QueryKey(QUERY, KEY, 1.0, MASK, bias=BIAS),
    "biased, causal": QueryKey(QUERY, KEY, 1.0, causal=True, bias=BIAS),
    "capped": QueryKey(QUERY, KEY, 1.0, MASK, cap=1.5),
    "sinks": QueryKey(QUERY, KEY, 0.3, MASK, sinks=torch.randn(H)),
    "grouped": QueryKey(QUERY, SHARED, 0.3, MASK),
}
every_kind = pytest.mark.parametrize("seen", KINDS.values(), ids=KINDS)


def by_hand(seen: QueryKey) -> torch.Tensor:
    """The weights, number by number."""
    weights = torch.zeros(B, H, Q, K)
    groups = H // seen.key.shape[1]
    for b in range(B):
        for h in range(H):
            for q in range(Q):
                logits = []
                for k in range(K):
                    logit = float(seen.query[b, h, q] @ seen.key[b, h // groups, k]) * seen.scaling
                    if seen.bias is not None:
                        logit += float(seen.bias[0, h, q, k])
                    if seen.cap is not None:
                        logit = seen.cap * math.tanh(logit / seen.cap)
                    if seen.mask is not None:
                        allowed = seen.mask[b, 0, q, k]
                        logit = (
                            logit if (bool(allowed) if seen.mask.dtype == torch.bool else allowed == 0) else -math.inf
                        )
                    if seen.causal and k > q + K - Q:
                        logit = -math.inf
                    logits.append(math.exp(logit))
                beside = math.exp(float(seen.sinks[h])) if seen.sinks is not None else 0.0
                weights[b, h, q] = torch.tensor([value / (sum(logits) + beside) for value in logits])
    return weights


@every_kind
def test_weights_by_hand(seen):
    torch.testing.assert_close(seen.weights(), by_hand(seen), atol=1e-6, rtol=1e-5)


@every_kind
def test_some_heads_and_rows_are_a_part_of_all(seen):
    whole = seen.weights()
    torch.testing.assert_close(seen.weights([3, 1], (1, 4)), whole[:, [3, 1], 1:4])
    torch.testing.assert_close(seen.weights(None, (4, 5)), whole[:, :, 4:])
    torch.testing.assert_close(seen.weights([2]), whole[:, [2]])


@every_kind
def test_some_heads_by_themselves_are_those_of_all(seen):
    few = seen.of_heads([3, 0])
    assert few.groups == 1 and few.heads == few.key.shape[1] == 2
    torch.testing.assert_close(few.weights(), by_hand(seen)[:, [3, 0]])
    torch.testing.assert_close(few.weights([1], (1, 4)), by_hand(seen)[:, [0], 1:4])


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_into_a_buffer(seen, dtype):
    """In place where that is possible; whatever was in the buffer, and whatever its type."""
    out = torch.full((B, H, Q, K), torch.nan, dtype=dtype)
    assert seen.weights_into(out) is out
    torch.testing.assert_close(out.float(), seen.weights(), atol=1e-6, rtol=1e-5)
    forbidden = seen.weights() == 0
    assert not out[forbidden].any(), "masked keys are exactly 0"


def test_it_agrees_with_native_attention():
    torch.testing.assert_close(QueryKey(QUERY, KEY, D**-0.5, MASK).weights(), attention_weights(QUERY, KEY, MASK))


def test_logits_of_shared_keys():
    """Query heads 2 and 3 meet the second key head."""
    seen = QueryKey(QUERY, SHARED, 0.5)
    assert (seen.heads, seen.groups) == (H, 2)
    torch.testing.assert_close(seen.logits([2, 3])[0, 1], 0.5 * QUERY[0, 3] @ SHARED[0, 1].T)


def test_double_precision_stays():
    seen = QueryKey(QUERY.double(), KEY.double(), 0.3)
    assert seen.weights().dtype == torch.float64
    assert QueryKey(QUERY.bfloat16(), KEY.bfloat16(), 0.3).weights().dtype == torch.float32
