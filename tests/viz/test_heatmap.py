"""The heatmap by its traces, axes and texts."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from engine.types import AttentionMap
from viz import DARK, LIGHT, Theme, heatmap


def trace(figure: go.Figure, name: str) -> go.Heatmap:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


def test_cells_are_the_weights_on_a_fixed_range(encoder: AttentionMap) -> None:
    figure = heatmap(encoder, 1, 2)
    cells = trace(figure, "weights")
    # Seven decimals are kept: half a unit of the last.
    np.testing.assert_allclose(np.array(cells.z, dtype=float), encoder.weights[1, 2], rtol=0, atol=5.1e-8)
    assert (cells.zmin, cells.zmax) == (0, 1)
    assert cells.colorbar.title.text == "attention weight"
    assert len(figure.data) == 1  # no mask, no mask trace


def test_rows_run_down_and_columns_are_named_on_top(cross: AttentionMap) -> None:
    layout = heatmap(cross, 0, 0).layout
    assert tuple(layout.yaxis.range) == (2.5, -0.5)
    assert tuple(layout.xaxis.range) == (-0.5, 4.5)
    assert layout.xaxis.side == "top"
    assert layout.yaxis.ticktext == ("L'animal", "était", "<i>&lt;/s&gt;</i>")  # what each row predicts
    assert layout.xaxis.ticktext == ("The", "animal", "was", "tired", "<i>&lt;/s&gt;</i>")
    assert layout.yaxis.title.text == "token predicted"
    assert layout.title.text == "Cross attention, layer 1, head 1"


def test_hover_texts(cross: AttentionMap, encoder: AttentionMap) -> None:
    text = trace(heatmap(cross, 0, 1), "weights").hovertext[0][1]
    assert text == f"reads &lt;s&gt; → predicts L'animal looks at animal: {cross.weights[0, 1, 0, 1]:.3f}"
    assert trace(heatmap(encoder, 0, 0), "weights").hovertext[1][3].startswith("animal looks at tired: 0.")


def test_masked_cells_are_marked_and_are_no_zeros(decoder: AttentionMap) -> None:
    figure = heatmap(decoder, 0, 0)
    cells, mask = trace(figure, "weights"), trace(figure, "masked")
    for query in range(4):
        for key in range(4):
            hidden = key > query
            assert (cells.z[query][key] is None) == hidden
            assert (mask.z[query][key] is None) != hidden
            assert mask.text[query][key] == ("╱" if hidden else "")
    assert "masked" in mask.hovertext[0][1]
    assert cells.hoverongaps is False and mask.hoverongaps is False  # each answers for its own cells only
    assert mask.colorscale[0][1] == LIGHT.mask and mask.showscale is False
    assert LIGHT.mask not in LIGHT.sequential and DARK.mask not in DARK.sequential


def test_equal_tokens_keep_their_rows(make_map: Callable[..., AttentionMap]) -> None:
    layout = heatmap(make_map("encoder", ["the"] * 5), 0, 0).layout
    assert layout.xaxis.tickvals == layout.yaxis.tickvals == (0, 1, 2, 3, 4)
    assert layout.yaxis.ticktext == ("the",) * 5


def test_any_token_survives_as_text(strange: AttentionMap) -> None:
    figure = heatmap(strange, 0, 0)
    assert figure.layout.xaxis.ticktext == (
        "<i>&lt;s&gt;</i>", "&lt;b&gt;x&lt;/b&gt;", "שלום", "👩🏽‍🚀", "e\u0301te\u0301", "&#36;5&#36;", "⏎", "␣",
        "same", "same", "antidisestabl…",
    )  # fmt: skip
    assert "looks at antidisestablishment: " in trace(figure, "weights").hovertext[0][-1]


@pytest.mark.parametrize(("length", "expected"), [(5, True), (40, False)])
def test_numbers_where_there_is_room(length: int, expected: bool, make_map: Callable[..., AttentionMap]) -> None:
    attention = make_map("encoder", ["a"] * length)
    assert (trace(heatmap(attention, 0, 0), "weights").texttemplate is not None) == expected
    assert trace(heatmap(attention, 0, 0, numbers=not expected), "weights").texttemplate == (
        None if expected else "%{z:.2f}"
    )


def test_size_grows_up_to_a_limit_and_labels_thin_out(make_map: Callable[..., AttentionMap]) -> None:
    heights = [heatmap(make_map("encoder", ["a"] * n, heads=1, layers=1), 0, 0).layout.height for n in (4, 12, 40, 110)]
    assert heights == sorted(heights) and heights[-1] < 1000
    layout = heatmap(make_map("encoder", ["a"] * 110, heads=1, layers=1), 0, 0).layout
    assert len(layout.xaxis.ticktext) == len(layout.xaxis.tickvals) < 110


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_theme(theme: Theme, encoder: AttentionMap) -> None:
    figure = heatmap(encoder, 0, 0, theme=theme)
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == theme.background
    assert tuple(colour for _, colour in figure.data[0].colorscale) == theme.sequential


def test_json_round_trip_and_no_address(strange: AttentionMap, decoder: AttentionMap) -> None:
    for attention in (strange, decoder):
        figure = heatmap(attention, 0, 0)
        assert json.loads(pio.from_json(figure.to_json()).to_json()) == json.loads(figure.to_json())
        assert "http" not in figure.to_json()


def test_missing_layer_or_head(encoder: AttentionMap) -> None:
    with pytest.raises(IndexError, match="layer 7: this map has layers 0 to 1"):
        heatmap(encoder, 7, 0)
    with pytest.raises(IndexError, match="head 3: this map has heads 0 to 2"):
        heatmap(encoder, 0, 3)
