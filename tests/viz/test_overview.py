"""Figures of a long text: one head's map in cells with places to click, and what its rows do along the text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.types import AttentionMap, Kind, Tokens
from viz.overview import MARKERS, POINTS, colour_limit, overview_heatmap, row_profile
from viz.theme import DARK, LIGHT


def words(length: int, label: str = "w") -> Tokens:
    labels = tuple(f"{label}{place}" for place in range(1, length + 1))
    text = " ".join(labels)
    ends = np.cumsum([len(one) + 1 for one in labels]) - 1
    spans = tuple((int(end) - len(one), int(end)) for one, end in zip(labels, ends, strict=True))
    return Tokens(text, labels, (), tuple(range(length)), spans, (False,) * length)


def blocks(count: int) -> Tokens:
    return Tokens("", tuple(map(str, range(count))), (), tuple(range(count)), ((0, 0),) * count, (False,) * count)


def drawn(kind: Kind, weights: list[list[float]], rows: list[int], columns: list[int], **more: Any) -> go.Figure:
    """A map of these cells, whose blocks end there."""
    cells = np.array(weights, dtype=np.float32)[None, None]
    attention = AttentionMap(kind, cells, blocks(cells.shape[2]), blocks(cells.shape[3]))
    tokens = more.pop("tokens", None) or (words(rows[-1]), words(columns[-1]))
    return overview_heatmap(attention, np.array(rows), np.array(columns), tokens, **more)


SMALL: tuple[Kind, list[list[float]], list[int], list[int]] = (
    "decoder", [[1.0, 0.0], [0.7, 0.3]], [0, 2, 5], [0, 2, 5],
)  # fmt: skip


def test_cells_stand_at_the_numbers_of_their_tokens() -> None:
    figure = drawn(*SMALL)
    cells, places = figure.data
    assert (cells.type, cells.name, places.type, places.name) == ("heatmap", "weights", "scatter", "places")
    assert list(cells.x) == list(cells.y) == [0.5, 2.5, 5.5]  # tokens 1–2 and 3–5
    assert cells.z[0][0] == 1.0 and np.isnan(cells.z[0][1])  # masked
    np.testing.assert_allclose(cells.z[1], [0.7, 0.3], rtol=1e-6)
    assert list(figure.layout.xaxis.range) == [0.5, 5.5] and list(figure.layout.yaxis.range) == [5.5, 0.5]
    assert figure.layout.plot_bgcolor == LIGHT.mask
    assert figure.layout.title.text == "Decoder attention, layer 1, head 1"
    assert figure.layout.yaxis.title.text == "token read, number"


def test_what_rests_on_the_first_block_does_not_make_the_rest_pale() -> None:
    figure = drawn(*SMALL)
    cells = figure.data[0]
    assert (cells.zmin, cells.zmax) == (0, pytest.approx(0.3))
    assert list(cells.colorbar.ticktext) == ["0", "0.15", "≥ 0.3"]
    only = drawn("encoder", [[0.4, 0.5]], [0, 1], [0, 1, 2])
    assert list(only.data[0].colorbar.ticktext)[-1] == "0.5" and only.layout.plot_bgcolor == LIGHT.background
    assert colour_limit(np.array([[0.2], [0.6]], dtype=np.float32)) == pytest.approx(0.6)
    assert colour_limit(np.array([[0.4, 0.0]], dtype=np.float32)) == pytest.approx(0.4)
    assert colour_limit(np.zeros((2, 2), dtype=np.float32)) == 1.0


def test_places_can_be_clicked_where_looking_is_allowed() -> None:
    _, places = drawn(*SMALL).data
    assert list(zip(places.y.tolist(), places.x.tolist(), strict=True)) == [(1, 1), (4, 1), (4, 4)]
    assert places.marker.opacity == places.selected.marker.opacity == places.unselected.marker.opacity == 0
    assert places.text[1] == "3–5: w3 w4 w5<br>looks at 1–2: w1 w2<br>largest weight 0.700"
    assert places.hovertemplate == "%{text}<extra></extra>"


@pytest.mark.parametrize("cells", [1, 64, 65, 200, 256])
def test_no_more_places_than_can_be_hit(cells: int) -> None:
    weights = np.random.default_rng(0).random((cells, cells), dtype=np.float32)
    ends = (np.arange(cells + 1) * 1_000 // cells).tolist()
    _, places = drawn("encoder", weights.tolist(), ends, ends).data
    side = min(cells, MARKERS)
    assert len(places.x) == len(places.text) == side * side
    assert len(set(places.x.tolist())) == side and min(places.x) >= 1 and max(places.x) <= 1_000
    largest = max(float(text.rpartition(" ")[2]) for text in places.text)
    assert largest == pytest.approx(float(weights.max()), abs=6e-4)


def test_a_place_is_inside_its_own_block() -> None:
    ends = [0, 10, 11, 300]
    _, places = drawn("encoder", np.full((3, 3), 0.1).tolist(), ends, ends).data
    assert sorted(set(places.y.tolist())) == [5, 11, 156]


def test_windows_are_outlined_at_their_tokens() -> None:
    figure = drawn(*SMALL, windows=[((3, 5), (0, 2))])
    (shape,) = figure.layout.shapes
    assert (shape.x0, shape.x1, shape.y0, shape.y1) == (0.5, 2.5, 3.5, 5.5)
    assert not drawn(*SMALL).layout.shapes


def test_token_text_is_no_markup() -> None:
    labels = ("<b>x</b>", "$y$", "مرحبا")
    tokens = Tokens("", labels, (), (0, 1, 2), ((0, 0),) * 3, (True,) * 3)
    figure = drawn("encoder", [[0.1, 0.2, 0.3]], [0, 3], [0, 1, 2, 3], tokens=(tokens, tokens))
    texts = " ".join(figure.data[1].text)
    assert "<b>" not in texts and "&lt;b&gt;x&lt;/b&gt;" in texts and "$" not in texts and "مرحبا" in texts


def test_rows_and_columns_keep_the_shape_of_two_texts() -> None:
    figure = drawn("cross", np.full((2, 4), 0.2).tolist(), [0, 50, 100], [0, 100, 200, 300, 400])
    plot = figure.layout.width - figure.layout.margin.l - figure.layout.margin.r
    tall = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
    assert plot == pytest.approx(450, abs=1) and tall == pytest.approx(160, abs=1)  # its least
    assert figure.layout.xaxis.title.text == "looks at source, number"


def test_a_projector_has_larger_figures_and_a_dark_page_its_colours() -> None:
    small, large = drawn(*SMALL), drawn(*SMALL, scale=2.0, theme=DARK)
    assert large.layout.width == pytest.approx(2 * small.layout.width, abs=1)
    assert large.layout.title.font.size == 2 * small.layout.title.font.size
    assert large.layout.plot_bgcolor == DARK.mask and large.layout.paper_bgcolor == DARK.background


def test_json_round_trip() -> None:
    figure = drawn(*SMALL, windows=[((0, 2), (0, 2))])
    assert go.Figure(json.loads(figure.to_json())) == go.Figure(json.loads(figure.to_json()))
    assert json.loads(figure.to_json())["layout"]["shapes"][0]["name"] == "window"


@pytest.mark.parametrize(
    ("more", "said"),
    [({"scale": 0.0}, "positive number"), ({"scale": float("nan")}, "positive number"),
     ({"tokens": (words(4), words(5))}, "rows.*2 blocks of 4 tokens"),
     ({"tokens": (words(5), words(9))}, "columns.*2 blocks of 9 tokens")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        drawn(*SMALL, **more)


# ---- along the text ----


def lines(chart: Any) -> list[tuple[str, list[dict[str, Any]]]]:
    spec = chart.to_dict()
    return [(one["title"]["text"], spec["datasets"][one["data"]["name"]]) for one in spec["vconcat"]]


def test_a_short_text_has_a_point_for_each_row() -> None:
    chart = row_profile(np.array([1.0, 0.25]), np.array([0.0, 1.5]), np.array([0.0, 3.0]))
    (first, ones), (entropy, bits), (distance, far) = lines(chart)
    assert (first, entropy, distance) == ("weight on the first token", "entropy, bits", "mean distance, tokens")
    assert [one["value"] for one in ones] == [1.0, 0.25] and [one["row"] for one in ones] == [1.0, 2.0]
    assert [one["value"] for one in bits] == [0.0, 1.5] and [one["value"] for one in far] == [0.0, 3.0]
    assert [one["tokens"] for one in ones] == ["1", "2"]


def test_rows_of_a_long_text_share_points() -> None:
    rows = 4_096
    values = np.arange(rows, dtype=np.float64)
    chart = row_profile(values / rows, values, np.full(rows, np.nan))
    (_, first), (_, entropy) = lines(chart)  # no distance between two texts
    assert len(first) == len(entropy) == POINTS
    assert entropy[0] == {"row": 8.5, "value": 7.5, "tokens": "1–16"}
    assert entropy[-1]["tokens"] == "4,081–4,096" and entropy[-1]["value"] == pytest.approx(4_087.5)
    uneven = lines(row_profile(values[:300], values[:300], values[:300]))[1][1]
    assert len(uneven) == POINTS and sum("–" in one["tokens"] for one in uneven) == 300 - POINTS  # of one and two rows


def test_a_profile_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="same number"):
        row_profile(np.ones(3), np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="same number"):
        row_profile(np.ones(0), np.ones(0), np.ones(0))


def test_a_profile_in_the_dark_and_on_a_projector() -> None:
    spec = row_profile(np.ones(3), np.ones(3), np.ones(3), theme=DARK, scale=2.0, width=100).to_dict()
    assert spec["config"]["background"] == DARK.background
    assert spec["vconcat"][0]["width"] == 200 and spec["config"]["axis"]["labelFontSize"] == 2 * DARK.small_size
