"""The overview of a long text, block by block: equal to pooling whole maps, and never more than a block at a time."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.heads import Pattern
from engine.long_text.overview import CELLS, Overview, block_tokens, estimate, overview
from engine.long_text.pooled import BLOCK, TEMPORARIES, edges, pooled
from engine.models.query_key import QueryKey
from engine.models.taps import Taps
from engine.types import Kind, TraceRequest
from tests.engine.long_text.texts import bert_reading, changed, gpt_reading, transformer_reading
from viz.pool import block_starts, max_pool

TOLERANCE = 2e-6
"""Of a weight: the same products in another order, in float32."""
BITS = 2e-5
"""Of a mean entropy below 8 bits in float32."""


def entropies(weights: np.ndarray) -> np.ndarray:
    """−Σ w·log₂ w over keys."""
    exact = weights.astype(np.float64)
    return -(exact * np.log2(exact, out=np.zeros_like(exact), where=exact > 0)).sum(-1)


def distances(weights: np.ndarray) -> np.ndarray:
    """Σ w·|j − i| over keys."""
    far = np.abs(np.arange(weights.shape[-1]) - np.arange(weights.shape[-2])[:, None])
    return (weights.astype(np.float64) * far).sum(-1)


@pytest.mark.parametrize("length", [10, 64, 65, 130, 201])
@pytest.mark.parametrize("block", [BLOCK, 3_000, 1])
def test_a_causal_overview_is_the_pooled_maps(length: int, block: int) -> None:
    reading, whole = gpt_reading(length)
    found = overview(reading, block=block)
    weights = whole["decoder"]
    assert np.abs(found.pooled["decoder"] - max_pool(weights, CELLS)).max() < TOLERANCE
    later = np.triu(np.ones(found.pooled["decoder"].shape[2:], dtype=bool), k=1)
    assert (found.pooled["decoder"][:, :, later] == 0).all()
    assert (found.attention("decoder").masked() == later).all()
    np.testing.assert_allclose(found.first["decoder"], weights[..., 0].mean(-1), atol=TOLERANCE)
    np.testing.assert_allclose(found.entropy["decoder"], entropies(weights).mean(-1), atol=BITS)
    np.testing.assert_allclose(found.distance["decoder"], distances(weights).mean(-1), rtol=1e-5)


@pytest.mark.parametrize("length", [3, 100, 128])
def test_a_bidirectional_overview_is_the_pooled_maps(length: int) -> None:
    reading, whole = bert_reading(length)
    found = overview(reading, block=5_000)
    weights = whole["encoder"]
    assert np.abs(found.pooled["encoder"] - max_pool(weights, CELLS)).max() < TOLERANCE
    np.testing.assert_allclose(found.distance["encoder"], distances(weights).mean(-1), rtol=1e-5)


def test_an_overview_of_two_texts_has_all_three_kinds() -> None:
    reading, whole = transformer_reading(150, 70)
    found = overview(reading)
    assert set(found.pooled) == {"encoder", "decoder", "cross"}
    for kind, weights in whole.items():
        assert np.abs(found.pooled[kind] - max_pool(weights, CELLS)).max() < TOLERANCE
        np.testing.assert_allclose(found.entropy[kind], entropies(weights).mean(-1), atol=BITS)
    assert found.pooled["cross"].shape[2:] == (64, 64) and np.isnan(found.distance["cross"]).all()
    assert found.rows["cross"][-1] == 70 and found.columns["cross"][-1] == 150
    assert found.attention("cross").weights.dtype == np.float32


def test_each_head_is_reported_and_a_report_may_end_it() -> None:
    reading, _ = gpt_reading(40)
    told: list[int] = []
    overview(reading, told.append)
    assert sum(told) == estimate(reading).heads == 3 * 4

    class Gone(Exception):
        pass

    def stop(done: int) -> None:
        raise Gone

    with pytest.raises(Gone):
        overview(reading, stop)
    assert overview(reading).pooled["decoder"].shape == (3, 4, 40, 40)  # nothing is left behind


def test_a_sliding_window_stays_masked() -> None:
    torch.manual_seed(0)
    length, reach = 150, 20
    query, key = torch.randn(1, 2, length, 8), torch.randn(1, 2, length, 8)
    behind = torch.arange(length)[:, None] - torch.arange(length)
    mask = (behind >= 0) & (behind < reach)
    seen = QueryKey(query, key, 8**-0.5, mask[None, None])
    one = pooled(seen, [0, 1], CELLS, block=10_000)
    weights = seen.weights()[0].numpy()
    assert np.abs(one.cells - max_pool(weights[None], CELLS)[0]).max() < TOLERANCE
    starts = edges(length, CELLS)
    for i in range(64):
        for j in range(64):
            seen_at_all = mask[starts[i] : starts[i + 1], starts[j] : starts[j + 1]].any()
            assert bool((one.cells[:, i, j] > 0).all()) == bool(seen_at_all)
    assert (one.distance < reach).all() and (one.entropy <= np.log2(reach) + 1e-5).all()


def test_heads_that_share_keys_and_sinks_that_take_weight() -> None:
    torch.manual_seed(1)
    query, key = torch.randn(1, 6, 90, 8), torch.randn(1, 2, 90, 8)
    seen = QueryKey(query, key, 8**-0.5, causal=True, sinks=torch.randn(6))
    one = pooled(seen, [5, 1], CELLS, block=20_000)
    weights = seen.weights()[0].numpy()[[5, 1]]
    assert np.abs(one.cells - max_pool(weights[None], CELLS)[0]).max() < TOLERANCE
    np.testing.assert_allclose(one.first, weights[..., 0], atol=TOLERANCE)
    assert weights.sum(-1).max() < 1.0
    by_hand = QueryKey(query[:, [5]], key[:, [1]], 8**-0.5, causal=True, sinks=seen.sinks[[5]])  # type: ignore[index]
    assert np.abs(one.cells[:1] - pooled(by_hand, [0], CELLS).cells).max() < TOLERANCE


def test_closed_forms() -> None:
    """Queries of zeros look evenly; the sink, the entropy and the distance of even attention are known."""
    even = QueryKey(torch.zeros(1, 1, 5, 2), torch.zeros(1, 1, 5, 2), 1.0, causal=True)
    one = pooled(even, [0], CELLS)
    np.testing.assert_allclose(one.first[0], 1 / np.arange(1, 6), rtol=1e-6)
    np.testing.assert_allclose(one.entropy[0], np.log2(np.arange(1, 6)), atol=1e-6)
    np.testing.assert_allclose(one.distance[0], [0, 0.5, 1, 1.5, 2], atol=1e-6)
    two = pooled(even, [0], 2)
    np.testing.assert_allclose(two.cells[0], np.array([[1, 0], [1 / 3, 1 / 3]]), rtol=1e-6)  # positions 0–1 and 2–4
    last = pooled(even, [0], CELLS, rows=(3, 5))
    np.testing.assert_allclose(last.first[0], [1 / 4, 1 / 5], rtol=1e-6)
    assert np.isnan(pooled(even, [0], CELLS, own=False).distance).all()


def test_queries_stand_at_the_end_of_the_keys() -> None:
    """With keys from a cache in front the last query's own place is the last key."""
    seen = QueryKey(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 4, 2), 1.0, causal=True)
    np.testing.assert_allclose(pooled(seen, [0], CELLS).distance[0], [(3 + 2 + 1 + 0) / 4])


@pytest.mark.parametrize("length", [1, 5, 63, 64, 65, 100, 4096])
def test_edges_are_those_of_thumbnails(length: int) -> None:
    found = edges(length, 64)
    assert found[0] == 0 and found[-1] == length and (np.diff(found) > 0).all()
    assert (found[:-1] == block_starts(length, min(length, 64))).all()


def test_blocks_are_named_by_their_places() -> None:
    assert block_tokens(np.array([0, 64, 65, 1_065])).labels == ("1–64", "65", "66–1,065")


# ---- memory ----


class Watched(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation gives, and the most that are alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.most = 0, 0
        self._alive: list[tuple[weakref.ref[Tensor], int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {one.untyped_storage().data_ptr() for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        given = func(*args, **(kwargs or {}))
        for one in tree_leaves(given):
            storage = one.untyped_storage()
            if storage.data_ptr() not in before:  # no view, and not written in place
                self.largest = max(self.largest, storage.nbytes())
                self._alive.append((weakref.ref(one), storage.data_ptr(), storage.nbytes()))
        self._alive = [kept for kept in self._alive if kept[0]() is not None]
        self.most = max(self.most, sum({place: size for _, place, size in self._alive}.values()))
        return given


def test_no_more_than_a_block_is_asked_for() -> None:
    length, block = 700, 64 << 10
    seen = QueryKey(torch.randn(1, 4, length, 8), torch.randn(1, 2, length, 8), 8**-0.5, causal=True)
    with Watched() as watched:
        pooled(seen, range(4), CELLS, block=block)
    assert block / 2 < watched.largest <= block < 4 * length * length
    assert 2 * block < watched.most <= TEMPORARIES * block
    with Watched() as watched:
        seen.weights([0])
    assert watched.largest == 4 * length * length  # the wrapper sees what is too large


def test_a_whole_overview_never_has_a_whole_map() -> None:
    reading, _ = gpt_reading(500)
    with Watched() as watched:
        overview(reading, block=16 << 10)
    assert 4 * 500 * 96 <= watched.largest < 4 * 500 * 500  # the largest are the forward's queries, keys and values


# ---- before it is made ----


def test_an_estimate_counts_bytes_and_measures_one_layer() -> None:
    reading, _ = transformer_reading(150, 70)
    runs: list[Taps] = []

    def run(taps: Taps) -> None:
        runs.append(taps)
        reading.run(taps)

    found = estimate(changed(reading, run=run))
    assert found.positions == {"encoder": (150, 150), "decoder": (70, 70), "cross": (70, 150)}
    heads = {"encoder": 2 * 4, "decoder": 3 * 4, "cross": 3 * 4}
    assert found.heads == sum(heads.values())
    assert found.all_maps == 4 * (8 * 150 * 150 + 12 * 70 * 70 + 12 * 70 * 150)
    assert found.kept == 4 * (8 * (64 * 64 + 3) + 12 * (64 * 64 + 3) + 12 * (64 * 64 + 3))
    assert found.at_once == TEMPORARIES * 4 * 150 * 150 < TEMPORARIES * BLOCK
    assert 0 < found.seconds < 60
    assert len(runs) == 1


def test_an_estimate_ends_its_forward_at_the_second_sublayer() -> None:
    reading, _ = gpt_reading(40)
    looked: list[tuple[Kind, int]] = []

    def run(taps: Taps) -> None:
        for place, tap in taps.items():
            looked.append(place)
            assert tap.look is not None
            tap.look(QueryKey(torch.zeros(1, 4, 40, 8), torch.zeros(1, 4, 40, 8), 1.0, causal=True))

    assert estimate(changed(reading, run=run)).heads == 12
    assert looked == [("decoder", 0), ("decoder", 1)]


def test_a_model_of_one_sublayer_can_be_estimated() -> None:
    reading, _ = bert_reading(30, layers=1)
    assert estimate(reading).heads == 2 and estimate(reading).seconds > 0


# ---- what is said of it ----


def made(first: float, entropy: float, distance: float, kind: Kind = "encoder", keys: int = 256) -> Overview:
    """An overview of one head with these means."""
    ends = {kind: edges(keys, CELLS)}
    one, two, three = ({kind: np.array([[value]], dtype=np.float32)} for value in (first, entropy, distance))
    cells = {kind: np.zeros((1, 1, 64, 64), dtype=np.float32)}
    return Overview(
        TraceRequest("m@1", "", None, 0), cells, ends, ends, one, two, three, head_names={kind: ("head 1",)}
    )


@pytest.mark.parametrize(
    ("numbers", "kind", "name"),
    [
        ((0.5, 2.0, 3.0), "encoder", Pattern("first token", 0.5)),
        ((0.1, 2.0, 3.0), "encoder", Pattern("near", 3.0)),
        ((0.1, 7.0, 60.0), "encoder", Pattern("broad", 7 / 8)),
        ((0.1, 4.0, 60.0), "encoder", Pattern("mixed", 0.0)),
        ((0.1, 7.0, float("nan")), "cross", Pattern("broad", 7 / 8)),
        ((0.1, 5.2, 60.0), "decoder", Pattern("broad", 5.2 / (np.log2(np.arange(1, 257)).mean()))),
    ],
)
def test_patterns(numbers: tuple[float, float, float], kind: Kind, name: Pattern) -> None:
    (((found,),),) = (made(*numbers, kind=kind).patterns(kind),)
    assert found.name == name.name and found.score == pytest.approx(name.score, abs=1e-6)


def test_heads_that_share_a_key_head_say_so() -> None:
    reading, _ = gpt_reading(20)
    names = tuple(f"head {head + 1} (key head {head // 2 + 1})" for head in range(4))
    found = overview(changed(reading, head_names={"decoder": names}, notes=("The text was cut.",)))
    assert found.attention("decoder").head_names == found.head_names["decoder"] == names
    assert overview(reading).attention("decoder").head_names == ("head 1", "head 2", "head 3", "head 4")
    assert found.notes == ("The text was cut.",)


def test_results_cannot_be_written_into() -> None:
    reading, _ = gpt_reading(20)
    found = overview(reading)
    for array in (found.pooled, found.rows, found.columns, found.first, found.entropy, found.distance):
        with pytest.raises(ValueError, match="read-only"):
            array["decoder"][0] = 0


def test_the_sharpest_head_points_and_does_not_rest() -> None:
    one = made(0.5, 1.0, 3.0)
    first = np.array([[0.9, 0.1], [0.1, 0.3]], dtype=np.float32)
    entropy = np.array([[0.1, 6.0], [2.0, 1.0]], dtype=np.float32)
    found = replace(one, first={"encoder": first}, entropy={"encoder": entropy})
    assert found.sharpest("encoder") == (1, 0)  # 0.1 + 2/8, before 0.3 + 1/8, 0.1 + 6/8 and 0.9 + 0.1/8
