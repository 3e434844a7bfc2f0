"""Heatmaps of one head, of two and of their difference, by their traces, axes and texts."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from engine.types import AttentionMap
from viz import DARK, LIGHT, Theme, heatmap
from viz.axes import HeadOf
from viz.heatmap import heatmap_difference, heatmap_pair
from viz.labels import label_width, shorten


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


def reduced(attention: AttentionMap) -> AttentionMap:
    """The mean over heads, with the name that says so."""
    return replace(
        attention,
        weights=attention.weights.mean(axis=1, keepdims=True),
        head_names=(f"mean of {attention.heads} heads",),
    )


def every_figure(attention: AttentionMap, **options: float) -> list[go.Figure]:
    """One head, two heads, and the difference of two."""
    first, second = HeadOf(attention, 0, 1), HeadOf(attention, 1, 0)
    return [
        heatmap(attention, 0, 1, **options),
        heatmap_pair(first, second, **options),
        heatmap_difference(first, second, **options),
    ]


def test_titles_have_the_names_of_the_map(encoder: AttentionMap) -> None:
    mean = reduced(encoder)
    assert heatmap(mean, 1, 0).layout.title.text == "Encoder attention, layer 2, mean of 3 heads"
    named = replace(mean, head_names=("<i>$x$</i>",))
    assert heatmap(named, 1, 0).layout.title.text == "Encoder attention, layer 2, &lt;i&gt;&#36;x&#36;&lt;/i&gt;"


# --- Two heads side by side -------------------------------------------------------------------------------------------


def test_a_pair_has_both_heads_on_one_range(encoder: AttentionMap) -> None:
    figure = heatmap_pair(HeadOf(encoder, 0, 1), HeadOf(encoder, 1, 2))
    assert [cells.name for cells in figure.data] == ["first weights", "second weights"]
    first, second = figure.data
    for cells, (layer, head) in ((first, (0, 1)), (second, (1, 2))):
        np.testing.assert_allclose(np.array(cells.z, float), encoder.weights[layer, head], rtol=0, atol=5.1e-8)
        assert (cells.zmin, cells.zmax) == (0, 1)
    assert (first.showscale, second.showscale) == (False, True)  # one colour bar
    assert (first.xaxis, second.xaxis) == ("x", "x2")


def test_panels_share_rows_and_zoom_and_have_their_names(cross: AttentionMap) -> None:
    layout = heatmap_pair(HeadOf(cross, 0, 1), HeadOf(reduced(cross), 1, 0)).layout
    assert "yaxis2" not in layout and layout.yaxis.ticktext == ("L'animal", "était", "<i>&lt;/s&gt;</i>")
    assert layout.xaxis2.matches == "x" and layout.xaxis2.anchor == layout.xaxis.anchor == "y"
    for axis in (layout.xaxis, layout.xaxis2):
        assert axis.ticktext == ("The", "animal", "was", "tired", "<i>&lt;/s&gt;</i>")
        assert axis.title.text == "looks at source" and axis.side == "top"
    assert layout.title.text == "Cross attention"
    assert [note.text for note in layout.annotations] == ["layer 1, head 2", "layer 2, mean of 3 heads"]
    assert [note.x for note in layout.annotations] == [layout.xaxis.domain[0], layout.xaxis2.domain[0]]


@pytest.mark.parametrize("length", [2, 5, 30, 110])
def test_panels_are_equally_wide_and_leave_room_for_their_names(
    length: int, make_map: Callable[..., AttentionMap]
) -> None:
    attention = replace(
        make_map("encoder", ["a"] * length), head_names=("maximum of the better half of the heads",) * 3
    )
    layout = heatmap_pair(HeadOf(attention, 0, 0), HeadOf(attention, 0, 1)).layout
    wide = layout.width - layout.margin.l - layout.margin.r
    (a, b), (c, d) = layout.xaxis.domain, layout.xaxis2.domain
    assert (a, d) == (0, pytest.approx(1)) and b < c and b - a == pytest.approx(d - c)
    name = label_width("layer 1, maximum of the better half of the heads", LIGHT.font_size)
    assert (c - a) * wide > name and (d - c) * wide + layout.margin.r > name


def test_both_panels_of_a_pair_are_hatched(decoder: AttentionMap) -> None:
    figure = heatmap_pair(HeadOf(decoder, 0, 0), HeadOf(decoder, 0, 1))
    for name, axis in (("first", "x"), ("second", "x2")):
        mask = trace(figure, f"{name} masked")
        assert mask.xaxis == axis
        assert [[cell is not None for cell in row] for row in mask.z] == decoder.masked().tolist()
        assert [
            [cell is None for cell in row] for row in trace(figure, f"{name} weights").z
        ] == decoder.masked().tolist()


# --- The difference ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_a_difference_is_first_minus_second_on_a_symmetric_range(theme: Theme, encoder: AttentionMap) -> None:
    figure = heatmap_difference(HeadOf(encoder, 0, 1), HeadOf(encoder, 1, 2), theme=theme)
    (cells,) = figure.data
    expected = encoder.weights[0, 1] - encoder.weights[1, 2]
    # Seven decimals are kept; the float32 difference here has an error of 6e-8 of its own.
    np.testing.assert_allclose(np.array(cells.z, float), expected, rtol=0, atol=1.2e-7)
    assert cells.zmax == -cells.zmin == pytest.approx(np.abs(expected).max(), abs=1e-6)
    assert tuple(colour for _, colour in cells.colorscale) == theme.diverging
    assert cells.colorbar.title.text == "difference in weight"
    assert figure.layout.title.text == "Encoder attention, layer 1, head 2 − layer 2, head 3"


def test_the_difference_on_hover_has_both_weights(encoder: AttentionMap) -> None:
    weights = np.zeros_like(encoder.weights)
    weights[0, 0, 1, 3], weights[0, 1, 1, 3], weights[0, 1, 1, 2] = 0.25, 0.75, 0.25
    attention = replace(encoder, weights=weights)
    cells = heatmap_difference(HeadOf(attention, 0, 0), HeadOf(attention, 0, 1)).data[0]
    assert cells.hovertext[1][3] == "animal looks at tired: 0.250 − 0.750 = −0.500"
    assert cells.hovertext[1][0] == "animal looks at The: 0.000 − 0.000 = 0.000"
    assert list(cells.text[1]) == ["0.00", "0.00", "−0.25", "−0.50", "0.00"]
    assert cells.colorbar.ticktext == ("−0.5", "−0.25", "0", "+0.25", "+0.5")
    backwards = heatmap_difference(HeadOf(attention, 0, 1), HeadOf(attention, 0, 0)).data[0]
    assert backwards.hovertext[1][3] == "animal looks at tired: 0.750 − 0.250 = +0.500"


def test_a_head_minus_itself_has_a_range_still(encoder: AttentionMap) -> None:
    cells = heatmap_difference(HeadOf(encoder, 0, 1), HeadOf(encoder, 0, 1)).data[0]
    assert cells.zmax == -cells.zmin > 0
    assert not np.array(cells.z, float).any()


def test_masked_cells_of_a_difference_are_hatched(decoder: AttentionMap) -> None:
    figure = heatmap_difference(HeadOf(decoder, 0, 0), HeadOf(decoder, 1, 0))
    hidden = decoder.masked().tolist()
    cells = trace(figure, "difference")
    assert [[cell is None for cell in row] for row in cells.z] == hidden
    assert [[text == "" for text in row] for row in cells.text] == hidden
    assert [[cell is not None for cell in row] for row in trace(figure, "masked").z] == hidden


@pytest.mark.parametrize("draw", [heatmap_pair, heatmap_difference])
def test_heads_of_other_tokens_are_refused(
    draw: Callable[..., go.Figure],
    encoder: AttentionMap,
    decoder: AttentionMap,
    cross: AttentionMap,
    make_map: Callable[..., AttentionMap],
) -> None:
    with pytest.raises(ValueError, match="encoder and decoder attention have other axes: choose one kind for both"):
        draw(HeadOf(encoder, 0, 0), HeadOf(decoder, 0, 0))
    wide = make_map("encoder", ("The", "animal", "was", "wide", "</s>"))
    with pytest.raises(
        ValueError, match=r"different tokens in their rows: 'tired' and 'wide' are number 4; choose two"
    ):
        draw(HeadOf(encoder, 0, 0), HeadOf(wide, 0, 0))
    with pytest.raises(ValueError, match="have 5 and 2 rows: choose two of the same texts"):
        draw(HeadOf(encoder, 0, 0), HeadOf(make_map("encoder", ("a", "b")), 0, 0))
    with pytest.raises(ValueError, match="have 5 and 4 columns"):
        draw(HeadOf(cross, 0, 0), HeadOf(make_map("cross", ("<s>", "L'animal", "était"), ("a", "b", "c", "d")), 0, 0))


def test_a_head_that_a_map_lacks_is_refused_at_once(encoder: AttentionMap) -> None:
    with pytest.raises(IndexError, match="layer 2: this map has layers 0 to 1"):
        HeadOf(encoder, 2, 0)
    with pytest.raises(IndexError, match="head -1"):
        HeadOf(encoder, 0, -1)


# --- All three --------------------------------------------------------------------------------------------------------


def test_any_token_survives_as_text_in_every_figure(strange: AttentionMap) -> None:
    one, *others = every_figure(strange)
    for figure in others:
        assert figure.layout.xaxis.ticktext == figure.layout.yaxis.ticktext == one.layout.xaxis.ticktext
        for cells in figure.data:
            said = [text for row in cells.hovertext for text in row]
            assert not any(mark in text for text in said for mark in "<>$\n")
            assert any("<b>x</b> looks at" in html.unescape(text) for text in said)
            assert all(text.count("\u2068") == text.count("\u2069") for text in said)  # Hebrew turns nothing around


def test_every_figure_survives_json(strange: AttentionMap, decoder: AttentionMap) -> None:
    for figure in every_figure(strange) + every_figure(decoder):
        assert json.loads(pio.from_json(figure.to_json()).to_json()) == json.loads(figure.to_json())
        assert "http" not in figure.to_json()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_scale_enlarges_everything_alike(which: int, decoder: AttentionMap) -> None:
    small, large = every_figure(decoder)[which], every_figure(decoder, scale=2)[which]
    # Tick labels are one pixel larger than small type, at every scale: twice as large is one pixel less than twice.
    for side in ("width", "height"):
        assert large.layout[side] == pytest.approx(2 * small.layout[side], rel=0.02)
    for edge in "lrtb":
        assert large.layout.margin[edge] == pytest.approx(2 * small.layout.margin[edge], rel=0.05)
    assert large.layout.font.size == 2 * small.layout.font.size
    assert large.layout.title.font.size == 2 * small.layout.title.font.size
    assert large.layout.hoverlabel.font.size == 2 * small.layout.hoverlabel.font.size
    assert large.layout.xaxis.tickangle == small.layout.xaxis.tickangle
    assert len(large.layout.xaxis.tickvals) == len(small.layout.xaxis.tickvals)
    assert [cells.texttemplate for cells in large.data] == [cells.texttemplate for cells in small.data]
    for before, after in zip(small.data, large.data, strict=True):
        assert after.textfont.size == pytest.approx(2 * before.textfont.size)


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf])
def test_a_scale_that_is_no_size_is_refused(scale: float, encoder: AttentionMap) -> None:
    with pytest.raises(ValueError, match="it should be a positive number"):
        heatmap(encoder, 0, 0, scale=scale)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("label", ["a", "WWWWWWWWWWWWWWWW", "日本語の長い長い長い長い文"])
@pytest.mark.parametrize("length", [3, 12, 60])
def test_rotated_labels_and_titles_have_room(
    which: int, scale: float, label: str, length: int, make_map: Callable[..., AttentionMap]
) -> None:
    attention = make_map("encoder", [label] * length)
    layout = every_figure(attention, scale=scale)[which].layout
    size = layout.xaxis.tickfont.size
    across, turned = label_width(shorten(label), size), math.radians(-layout.xaxis.tickangle)
    above = [layout.title.font.size, *(note.font.size for note in layout.annotations[:1]), layout.font.size]
    assert layout.margin.t > across * math.sin(turned) + size * math.cos(turned) + sum(above)
    assert layout.margin.r > across * math.cos(turned) * (turned > 0)
    assert layout.margin.l > across + layout.font.size  # the row labels and the name of their axis
    assert layout.width > label_width(layout.title.text, layout.title.font.size)
