"""What the grid of heads sends to the browser, read back from its bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.types import AttentionMap
from viz.components.grid import LEVELS, MANY_SIDE, SIDE, grid_data, shares, thumbnail_side
from viz.components.packing import unpack
from viz.pool import max_pool
from viz.theme import DARK, LIGHT


def patterns(attention: AttentionMap) -> list[list[str]]:
    return [[f"previous token 0.{layer}{head}" for head in range(attention.heads)] for layer in range(attention.layers)]


def words(count: int) -> list[str]:
    return [f"word{i}" for i in range(count)]


def test_weights_come_back_to_half_a_level_of_their_head(make_map: Callable[..., AttentionMap]) -> None:
    attention = make_map("encoder", words(100))
    header, arrays = unpack(grid_data(attention, patterns(attention), chosen=None))
    pooled = max_pool(attention.weights, SIDE)
    assert header["cells"] == [64, 64] and header["tokens"] == [100, 100]
    levels, peaks = shares(pooled)
    np.testing.assert_array_equal(arrays["weights"], levels.ravel())
    np.testing.assert_array_equal(arrays["peaks"], pooled.max(axis=(2, 3)).ravel())
    found = arrays["weights"].reshape(pooled.shape) / LEVELS * peaks[..., None, None]
    # half a level, and float32's rounding of a product
    assert np.abs(found - pooled).max() <= peaks.max() * (0.5 / LEVELS + 1e-6)
    assert arrays["weights"].reshape(2, 3, -1).max(axis=-1).tolist() == [[LEVELS] * 3] * 2


def test_a_small_map_is_not_pooled(cross: AttentionMap) -> None:
    header, arrays = unpack(grid_data(cross, patterns(cross), chosen=None))
    assert header["cells"] == header["tokens"] == [3, 5]
    assert arrays["weights"].size == cross.weights.size
    assert "masked" not in arrays


def test_masked_cells_are_told_apart_from_weights_of_zero(decoder: AttentionMap, encoder: AttentionMap) -> None:
    _, arrays = unpack(grid_data(decoder, patterns(decoder), chosen=None))
    np.testing.assert_array_equal(arrays["masked"].reshape(4, 4), np.triu(np.ones((4, 4)), k=1))
    _, arrays = unpack(grid_data(encoder, patterns(encoder), chosen=None))
    assert "masked" not in arrays


def test_a_pooled_causal_mask_leaves_the_diagonal(make_map: Callable[..., AttentionMap]) -> None:
    attention = make_map("decoder", words(128), layers=1, heads=1)
    _, arrays = unpack(grid_data(attention, [["x"]], chosen=None))
    np.testing.assert_array_equal(arrays["masked"].reshape(64, 64), np.triu(np.ones((64, 64)), k=1))


def test_names_patterns_and_choice_travel(decoder: AttentionMap) -> None:
    header, _ = unpack(grid_data(decoder, patterns(decoder), chosen=(1, 2), file_name="my heads"))
    assert header["layers"] == ["layer 1", "layer 2"] and header["heads"] == ["head 1", "head 2", "head 3"]
    assert header["patterns"][1][2] == "previous token 0.12"
    assert header["chosen"] == [1, 2] and header["file_name"] == "my heads"
    assert header["title"] == "Decoder attention"
    assert header["headings"] == ["token read", "looks at output so far"]


def test_first_head_can_be_chosen(encoder: AttentionMap) -> None:
    assert unpack(grid_data(encoder, patterns(encoder), chosen=(0, 0)))[0]["chosen"] == [0, 0]
    assert unpack(grid_data(encoder, patterns(encoder), chosen=None))[0]["chosen"] is None


def test_colours_are_those_of_the_theme(encoder: AttentionMap) -> None:
    for theme in (LIGHT, DARK):
        header, _ = unpack(grid_data(encoder, patterns(encoder), chosen=None, theme=theme))
        assert tuple(header["sequential"]) == theme.sequential and header["mask"] == theme.mask


def test_the_same_map_has_the_same_version_and_another_choice_another(encoder: AttentionMap) -> None:
    first, again, other = (
        unpack(grid_data(encoder, patterns(encoder), chosen=chosen))[0] for chosen in ((0, 1), (0, 1), (1, 0))
    )
    assert first["version"] == again["version"] != other["version"]


def test_many_heads_get_smaller_thumbnails(make_map: Callable[..., AttentionMap]) -> None:
    assert thumbnail_side(256) == SIDE and thumbnail_side(257) == MANY_SIDE
    attention = make_map("encoder", words(40), layers=32, heads=32)
    header, arrays = unpack(grid_data(attention, patterns(attention), chosen=None))
    assert header["cells"] == [32, 32] and arrays["weights"].size == 32**4


def test_a_page_of_twelve_by_twelve_heads_is_small(make_map: Callable[..., AttentionMap]) -> None:
    attention = make_map("encoder", words(128), layers=12, heads=12)
    assert len(grid_data(attention, patterns(attention), chosen=None)) < 700_000  # 144 × 64 × 64 and the header


def test_shares_of_an_empty_head_are_zero() -> None:
    weights = np.zeros((1, 2, 2, 2), np.float32)
    weights[0, 1] = [[0.25, 0.125], [np.nan, 0]]
    levels, peaks = shares(weights)
    assert levels.tolist() == [[[[0, 0], [0, 0]], [[255, 128], [0, 0]]]]  # 127.5 rounds to even
    assert peaks.tolist() == [[0, 0.25]]


@pytest.mark.parametrize("wrong", [[["one"]], [["a"] * 3], [["a"] * 3, ["b"] * 2]])
def test_patterns_of_another_map_are_refused(encoder: AttentionMap, wrong: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="2 layers × 3 heads"):
        grid_data(encoder, wrong, chosen=None)


@pytest.mark.parametrize("chosen", [(2, 0), (0, 3), (-1, 0)])
def test_a_head_that_is_not_there_cannot_be_chosen(encoder: AttentionMap, chosen: tuple[int, int]) -> None:
    with pytest.raises(IndexError, match="counted from 0"):
        grid_data(encoder, patterns(encoder), chosen=chosen)
