"""One sublayer of a long text, near: its cells and windows are those of the whole map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import InputError
from engine.heads import head_patterns
from engine.long_text import detail as module
from engine.long_text.detail import SIDE, Range, Window, sublayer
from engine.long_text.passages import WINDOW, around, centred
from engine.long_text.pooled import edges
from engine.models.query_key import QueryKey
from engine.models.taps import Taps
from engine.reading import Reading
from engine.record import load_trace
from engine.tables import trace_bytes
from engine.types import Kind
from tests.engine.long_text.texts import bert_reading, changed, gpt_reading, transformer_reading
from viz.pool import max_pool

TOLERANCE = 2e-6
"""Of a weight: the same products in another order, in float32."""


def detail(reading: Reading, kind: Kind, layer: int, heads: list[int], rows: Range, columns: Range) -> Window:
    """The exact weights of a window of some heads of a layer."""
    return sublayer(reading, kind, layer, heads[0]).window(rows, columns, heads)


@pytest.mark.parametrize("length", [20, 256, 300])
def test_a_head_near_is_its_pooled_map(length: int) -> None:
    reading, whole = gpt_reading(length)
    found = sublayer(reading, "decoder", 1, 2).zoomed(2)
    weights = whole["decoder"][1, 2]
    assert found.cells.shape == (min(length, SIDE),) * 2
    assert np.abs(found.cells - max_pool(weights[None, None], SIDE)[0, 0]).max() < TOLERANCE
    np.testing.assert_allclose(found.first, weights[:, 0], atol=TOLERANCE)
    assert found.first.shape == found.entropy.shape == found.distance.shape == (length,)
    assert (found.rows == edges(length, SIDE)).all() and found.columns[-1] == length
    assert sublayer(reading, "decoder", 1, 2).zoomed(2, 10).cells.shape == (10, 10)


def test_a_causal_window_on_the_diagonal() -> None:
    reading, whole = gpt_reading(200)
    found = detail(reading, "decoder", 2, [3, 0], (50, 90), (50, 90))
    weights = whole["decoder"][2]
    assert np.abs(found.attention.weights[0] - weights[[3, 0], 50:90, 50:90]).max() < TOLERANCE
    assert found.attention.query_tokens.labels[0] == "50" and found.attention.row_title(0) == "reads 50 → predicts 51"
    assert found.attention.layer_names == ("layer 3",) and found.attention.head_names == ("head 4", "head 1")
    np.testing.assert_allclose(found.outside, weights[[3, 0], 50:90, :50].sum(-1), atol=1e-5)
    assert (found.attention.weights[0][:, found.attention.masked()] == 0).all()


def test_a_causal_window_of_two_passages_has_both_on_either_side() -> None:
    reading, whole = gpt_reading(200)
    found = detail(reading, "decoder", 0, [1], (150, 170), (10, 40))
    places = [*range(10, 40), *range(150, 170)]
    weights = whole["decoder"][0, 1][places]
    assert np.abs(found.attention.weights[0, 0] - weights[:, places]).max() < TOLERANCE
    assert found.attention.query_tokens == found.attention.key_tokens
    assert found.attention.key_tokens.labels == tuple(map(str, places))
    others = [place for place in range(200) if place not in places]
    np.testing.assert_allclose(found.outside[0], weights[:, others].sum(-1), atol=1e-5)
    # Masked is only what is really later: every weight that a passage gives to the other is there to be seen.
    later = np.array(places)[:, None] < np.array(places)
    assert (found.attention.masked() == later).all()
    assert (found.rows, found.columns) == ((150, 170), (10, 40))


def test_a_window_of_a_whole_short_text_is_the_map() -> None:
    reading, whole = bert_reading(30)
    found = detail(reading, "encoder", 1, [0, 1], (0, 30), (0, 30))
    assert np.abs(found.attention.weights[0] - whole["encoder"][1]).max() < TOLERANCE
    assert found.outside.max() < 1e-6 and found.attention.predicted_tokens is None
    assert head_patterns(found.attention)


def test_windows_of_other_kinds() -> None:
    reading, whole = transformer_reading(150, 70)
    cross = detail(reading, "cross", 2, [2], (5, 60), (100, 150))
    assert np.abs(cross.attention.weights[0, 0] - whole["cross"][2, 2][5:60, 100:150]).max() < TOLERANCE
    np.testing.assert_allclose(cross.outside[0], whole["cross"][2, 2][5:60, :100].sum(-1), atol=1e-5)
    assert cross.attention.row_labels[0] == "6" and cross.attention.key_tokens.labels[0] == "100"
    encoder = detail(reading, "encoder", 0, [0], (0, 10), (140, 150))
    places = [*range(10), *range(140, 150)]
    assert np.abs(encoder.attention.weights[0, 0] - whole["encoder"][0, 0][places][:, places]).max() < TOLERANCE
    assert encoder.attention.query_tokens == encoder.attention.key_tokens


def test_of_a_large_layer_one_head_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, whole = gpt_reading(100)
    assert sublayer(reading, "decoder", 0, 2).heads == (0, 1, 2, 3)
    monkeypatch.setattr(module, "KEPT", 1)
    one = sublayer(reading, "decoder", 0, 2)
    assert one.heads == (2,) and one.names == ("head 3",) and one.seen.query.shape[1] == 1
    with pytest.raises(InputError, match=r"Head 1 is not there.*another head"):
        one.window((0, 5), (0, 5), [0])
    alone = one.window((0, 50), (0, 50))
    assert np.abs(alone.attention.weights[0] - whole["decoder"][0, [2], :50, :50]).max() < TOLERANCE
    assert alone.attention.head_names == ("head 3",) and alone.outside.shape == (1, 50)


@pytest.mark.parametrize("kept", [1, 1 << 30])
def test_heads_that_share_keys_with_all_that_is_added_to_them(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(module, "KEPT", kept)
    torch.manual_seed(3)
    reading, _ = gpt_reading(60)
    allowed = torch.rand(1, 1, 60, 60) > 0.3
    allowed[..., 0] = True
    seen = QueryKey(
        torch.randn(1, 4, 60, 8), torch.randn(1, 2, 60, 8), 0.4, mask=allowed.expand(1, 4, 60, 60),
        bias=torch.randn(1, 4, 60, 60), cap=5.0, sinks=torch.randn(4),
    )  # fmt: skip

    def run(taps: Taps) -> None:
        look = taps["decoder", 1].look
        assert look is not None
        look(seen)

    found = sublayer(changed(reading, run=run), "decoder", 1, 3)
    window = found.window((0, 60), (0, 60), [3])
    assert np.abs(window.attention.weights[0, 0] - seen.weights()[0, 3].numpy()).max() < TOLERANCE
    assert window.outside.max() == 0  # what a sink took is nowhere in the text
    assert found.seen.mask is not None and found.seen.mask.shape[1] == 1  # not four copies of one mask
    assert found.seen.query.data_ptr() != seen.query.data_ptr()


def test_the_forward_ends_behind_the_sublayer() -> None:
    reading, _ = gpt_reading(20)
    ended: list[bool] = []

    def run(taps: Taps) -> None:
        reading.run(taps)
        ended.append(True)

    sublayer(changed(reading, run=run), "decoder", 0, 0)
    assert not ended


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encoder", 0, [0], (0, 5), (0, 5)), "no encoder layer 1"),
        (("decoder", 3, [0], (0, 5), (0, 5)), "3 layers of 4 heads"),
        (("decoder", 0, [4], (0, 5), (0, 5)), "3 layers of 4 heads"),
        (("decoder", 0, [0, 7], (0, 5), (0, 5)), "Head 8 is not there"),
        (("decoder", 0, [0], (0, 201), (0, 5)), "no rows 1 to 201"),
        (("decoder", 0, [0], (0, 5), (-1, 5)), "no columns 0 to 5"),
        (("decoder", 0, [0], (5, 5), (0, 5)), "no rows 6 to 5"),
        (("decoder", 0, [0], (0, 129), (0, 5)), "at most 128 rows"),
    ],
)
def test_what_is_not_there_is_said(arguments: tuple[Kind, int, list[int], tuple[int, int], tuple[int, int]],
                                   said: str) -> None:  # fmt: skip
    reading, _ = gpt_reading(200)
    with pytest.raises(InputError, match=said):
        detail(reading, *arguments)


@pytest.mark.parametrize(
    ("kind", "sizes", "place", "rows", "columns"),
    [
        ("encoder", (500, 500), (0, 300), (0, 64), (300, 364)),
        ("encoder", (500, 500), (300, 340), (300, 428), (300, 428)),
        ("encoder", (500, 500), (499, 9_000), (372, 500), (372, 500)),
        ("encoder", (50, 50), (20, 0), (0, 50), (0, 50)),
        ("cross", (70, 500), (10, 100), (0, 70), (100, 228)),
        ("decoder", (500, 500), (300, 300), (300, 428), (300, 428)),
        ("decoder", (500, 500), (300, 250), (250, 378), (250, 378)),
        ("decoder", (500, 500), (300, 100), (300, 364), (100, 164)),
        ("decoder", (500, 500), (164, 100), (100, 228), (100, 228)),  # touch: one passage
        ("decoder", (500, 500), (165, 100), (165, 229), (100, 164)),
        ("decoder", (500, 500), (100, 300), (100, 228), (100, 228)),  # nothing may be looked at there
        ("decoder", (500, 500), (499, 0), (436, 500), (0, 64)),
        ("decoder", (100, 100), (99, 0), (0, 100), (0, 100)),
        ("decoder", (1, 1), (0, 0), (0, 1), (0, 1)),
    ],
)
def test_where_a_window_is(
    kind: Kind, sizes: tuple[int, int], place: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    assert around(kind, *sizes, *place) == (rows, columns)
    assert around(kind, *sizes, rows[0], columns[0]) == (rows, columns)  # its own beginning gives it again


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_a_centred_window_has_its_place_inside(kind: Kind) -> None:
    for row in range(0, 400, 13):
        for column in range(0, row + 1 if kind == "decoder" else 400, 17):
            rows, columns = around(kind, 400, 400, *centred(kind, 400, 400, row, column))
            assert rows[0] <= row < rows[1] and columns[0] <= column < columns[1]
            assert len({*range(*rows), *range(*columns)}) <= WINDOW


def test_a_centred_window_over_what_is_masked_is_on_the_diagonal() -> None:
    assert centred("decoder", 400, 400, 100, 300) == centred("decoder", 400, 400, 100, 100) == (36, 36)


def test_a_window_is_a_trace_that_can_be_saved_and_read_again(tmp_path: Path) -> None:
    reading, _ = transformer_reading(150, 140)
    for kind, rows, columns in (("encoder", (0, 20), (100, 120)), ("decoder", (90, 120), (10, 20)),
                                ("cross", (5, 60), (100, 150))):  # fmt: skip
        window = detail(reading, kind, 1, [0, 2], rows, columns)  # type: ignore[arg-type]
        trace = window.trace(reading.request)
        path = tmp_path / f"{kind}.npz"
        path.write_bytes(trace_bytes(trace))
        again = load_trace(path).maps[kind]  # type: ignore[index]
        assert (again.weights == window.attention.weights).all()
        assert (again.query_tokens, again.key_tokens) == (window.attention.query_tokens, window.attention.key_tokens)
        assert again.predicted_tokens == window.attention.predicted_tokens


def test_what_a_window_leaves_out_is_said() -> None:
    reading, whole = gpt_reading(200)
    found = detail(reading, "decoder", 0, [1], (150, 190), (150, 190))
    share = whole["decoder"][0, 1, 150:190, :150].sum(-1).mean()
    assert found.statement([0]) == f"In these rows head 2 puts {share:.0%} of its attention outside the window."
    early = detail(reading, "decoder", 0, [1, 2], (0, 100), (0, 100))
    assert early.statement([1]) == "In these rows head 3 puts next to nothing of its attention outside the window."
    assert not early.whole


def test_what_is_said_of_several_heads_is_their_mean() -> None:
    reading, whole = gpt_reading(200)
    found = detail(reading, "decoder", 0, [0, 1, 3], (150, 190), (150, 190))
    share = whole["decoder"][0, [0, 3], 150:190, :150].sum(-1).mean()
    said = f"In these rows 2 heads put {share:.0%} of their attention outside the window, on average over heads."
    assert found.statement([0, 2]) == said


@pytest.mark.parametrize(("kind", "whole"), [("encoder", True), ("decoder", True), ("cross", True), ("cross", False)])
def test_a_window_of_all_rows_and_columns_is_the_whole(kind: Kind, whole: bool) -> None:
    reading, _ = transformer_reading(60, 40)
    found = sublayer(reading, kind, 0, 0)
    sizes = (len(found.query_tokens), len(found.key_tokens))
    window = found.window((0, sizes[0]), (0 if whole else 5, sizes[1]))
    assert window.sizes == sizes and window.whole is whole
    assert float(window.outside.max()) == 0 if whole else window.outside.max() > 0.01
