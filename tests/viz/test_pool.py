"""Pooling: blocks by hand, and what no pooling may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from viz.pool import block_starts, max_pool, pooled_mask

MAPS = arrays(
    np.float32,
    array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=9),
    elements=st.floats(0, 1, width=32),
)


def test_each_cell_is_the_largest_weight_of_its_block() -> None:
    weights = np.array(
        [
            [0.1, 0.2, 0.3, 0.0],
            [0.4, 0.0, 0.0, 0.9],
            [0.0, 0.5, 0.6, 0.0],
            [0.7, 0.0, 0.0, 0.8],
        ],
        dtype=np.float32,
    )
    pooled = max_pool(weights[None, None], 2)
    assert pooled.dtype == np.float32
    np.testing.assert_array_equal(pooled[0, 0], np.array([[0.4, 0.9], [0.7, 0.8]], dtype=np.float32))


def test_blocks_that_cannot_be_equal_differ_by_one() -> None:
    weights = np.arange(5, dtype=np.float32).reshape(1, 1, 1, 5)
    np.testing.assert_array_equal(max_pool(weights, 3)[0, 0], [[0, 2, 4]])  # 1 + 2 + 2 columns


def test_small_maps_stay_as_they_are() -> None:
    weights = np.random.default_rng(1).random((2, 3, 4, 5), dtype=np.float32)
    np.testing.assert_array_equal(max_pool(weights, 5), weights)
    assert max_pool(weights, 4).shape == (2, 3, 4, 4)


def test_a_thumbnail_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        max_pool(np.zeros((1, 1, 2, 2), np.float32), 0)


@given(MAPS, st.integers(1, 9))
@settings(deadline=None)
def test_pooling_keeps_the_maximum_and_the_size_below_the_limit(weights: np.ndarray, most: int) -> None:
    pooled = max_pool(weights, most)
    assert pooled.shape == (*weights.shape[:2], min(weights.shape[2], most), min(weights.shape[3], most))
    np.testing.assert_array_equal(pooled.max(axis=(2, 3)), weights.max(axis=(2, 3)))


@given(MAPS, st.integers(1, 9))
@settings(deadline=None)
def test_pooling_is_the_maximum_of_slices(weights: np.ndarray, most: int) -> None:
    pooled = max_pool(weights, most)
    starts = block_starts(weights.shape[2], pooled.shape[2])
    lengths = np.diff([*starts, weights.shape[2]])
    assert lengths.min() >= 1 and lengths.max() - lengths.min() <= 1
    columns = [*block_starts(weights.shape[3], pooled.shape[3]), weights.shape[3]]
    edges = [*starts, weights.shape[2]]
    for i in range(pooled.shape[2]):
        for j in range(pooled.shape[3]):
            block = weights[:, :, edges[i] : edges[i + 1], columns[j] : columns[j + 1]]
            np.testing.assert_array_equal(pooled[:, :, i, j], block.max(axis=(2, 3)))


def test_a_block_is_masked_where_all_of_it_is() -> None:
    masked = np.triu(np.ones((4, 4), dtype=bool), k=1)
    np.testing.assert_array_equal(pooled_mask(masked, 2), [[False, True], [False, False]])
    np.testing.assert_array_equal(pooled_mask(masked, 4), masked)
