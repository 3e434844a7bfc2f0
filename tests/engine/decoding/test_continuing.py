"""Texts longer than a context: which tokens are seen, and that a state carried on is the same as reading anew."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.decoding.continuing import Continuing, dropped, windows
from tests.engine.generators import CONTEXT, tiny_gpt


@pytest.mark.parametrize(
    ("length", "context", "gone"),
    [(0, 8, 0), (8, 8, 0), (9, 8, 4), (12, 8, 4), (13, 8, 8), (10, 9, 4), (3, 1, 2), (99, 0, 0), (4, 3, 1), (5, 3, 2)],
)
def test_half_a_context_falls_out_at_a_time(length, context, gone):
    assert dropped(length, context) == gone


@given(st.integers(1, 200), st.integers(1, 40))
def test_what_is_seen_fits_and_is_more_than_half_a_context(length, context):
    seen = length - dropped(length, context)
    assert seen <= context
    assert seen == length or seen > context - max(1, context // 2)


@given(st.integers(2, 200), st.integers(1, 40))
def test_windows_predict_each_token_once_from_what_is_seen_there(length, context):
    found = windows(length, context)
    assert [first for _, first, _ in found] == [0, *(end for *_, end in found[:-1])] and found[-1][2] == length - 1
    for start, first, end in found:
        assert 0 < end - start <= context
        assert all(dropped(place + 1, context) == start for place in range(first, end))


def test_a_state_carried_on_is_the_same_as_reading_anew():
    generator = tiny_gpt()
    steps = Continuing(generator.model, CONTEXT)
    ids = torch.randint(8, 70, (2, 3 * CONTEXT), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        state = steps.encode(ids[:, :0])
        for length in range(1, ids.shape[1] + 1):
            full = steps.full(state)
            logprobs, state = steps.step(state, ids[:, length - 1])
            seen = ids[:, dropped(length, CONTEXT) : length]
            anew = generator.model(seen)[:, -1].log_softmax(-1)
            # float32: the cache sums in another order
            assert torch.allclose(logprobs, anew, atol=1e-4)
            jumped, _ = steps.step(steps.encode(ids[:, : length - 1]), ids[:, length - 1])
            assert torch.allclose(logprobs, jumped, atol=1e-4)
            assert full == (length > CONTEXT and dropped(length, CONTEXT) > dropped(length - 1, CONTEXT))


def test_rows_are_chosen_and_there_is_no_source_to_look_at():
    generator = tiny_gpt()
    steps = Continuing(generator.model, CONTEXT)
    ids = torch.tensor([[8, 9, 10], [11, 12, 13]])
    with torch.inference_mode():
        state = steps.encode(ids)
        both, after, cross = steps.step_with_cross(state, torch.tensor([20, 21]))
        alone, _ = steps.step(state.select(torch.tensor([1])), torch.tensor([21]))
    assert torch.allclose(both[1:], alone, atol=1e-5) and cross.shape == (2, 0, 0, 0)
    assert after.seen.tolist() == [[8, 9, 10, 20], [11, 12, 13, 21]]
