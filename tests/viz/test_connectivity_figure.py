"""The heatmap of a connectivity, by its traces, shapes, axes and size."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from engine.types import MASKED, ConnectedText, Connectivity
from viz import DARK, LIGHT, Theme, connectivity_heatmap
from viz.connectivity import Scaling

SENTENCE = " the animal did not cross the street because it was too tired to go on"


def connected(
    text: str, exact: np.ndarray | None = None, mode: str = "one-hot", without: Sequence[int] = ()
) -> ConnectedText:
    """Influence that halves with each character back, unless given; rows `without` have no target."""
    length = len(text)
    back = np.arange(length)[:, None] - np.arange(length)[None]
    exact = np.where(back >= 0, 0.5 ** np.abs(back) * 10.0, 0.0) if exact is None else exact.copy()
    exact[list(without)] = 0
    targets = tuple("" if place in without else "word" for place in range(length))
    words = [MASKED if place in without else 3 for place in range(length)]
    suggestions = ((("<b>", 0.25), ("of", 0.125), ("a", 0.0625)),) * length
    return ConnectedText("GRU", text, targets, suggestions, targets, Connectivity.of(exact, mode, words))


def influence(figure: go.Figure) -> go.Heatmap:
    return figure.data[0]


def shape(figure: go.Figure, name: str) -> go.layout.Shape:
    (found,) = [shape for shape in figure.layout.shapes if shape.name == name]
    return found


def test_rows_are_divided_by_their_largest_and_later_cells_are_gaps() -> None:
    figure = connectivity_heatmap(connected(" abc"), "row")
    cells = influence(figure)
    z = np.array(cells.z)
    np.testing.assert_array_equal(np.isnan(z), np.triu(np.ones((4, 4), dtype=bool), k=1))
    assert z[3].tolist() == [0.125, 0.25, 0.5, 1.0]
    assert (cells.zmin, cells.zmax) == (0, 1)
    assert cells.colorscale[-1][1] == LIGHT.sequential[-1]
    assert np.array(cells.customdata)[3].tolist() == [1.25, 2.5, 5.0, 10.0]
    assert len(figure.data) == 1


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_what_is_not_read_yet_has_the_colour_of_a_mask(theme: Theme) -> None:
    figure = connectivity_heatmap(connected(" ab"), "row", theme=theme)
    grey = shape(figure, "not read yet")
    assert grey.fillcolor == theme.mask and grey.layer == "below"
    # Along the top and right edges, then from the lowest row up: 3, 2 and 1 cells of each row are read.
    assert grey.path == "M-0.5,-0.5H2.5V2.5H2.5V1.5H1.5V0.5H0.5V-0.5Z"
    assert influence(figure).hoverongaps is False


def test_absolute_numbers_have_logarithmic_colours_and_real_numbers_beside_them() -> None:
    exact = np.array([[20.0, 0.0, 0.0], [0.5, 0.02, 0.0], [0.0, 1e-30, 3.0]])
    cells = influence(connectivity_heatmap(connected("abc", exact), "absolute"))
    assert (cells.zmin, cells.zmax) == (-4, 2)  # six decades down from 100, the first power of ten above 20
    z = np.array(cells.z)
    # float32 keeps seven digits.
    assert z[0, 0] == pytest.approx(math.log10(20), rel=1e-6) and z[1, 1] == pytest.approx(math.log10(0.02), rel=1e-6)
    assert z[2, 0] == z[2, 1] == -4  # zero and what is too small
    assert cells.colorbar.tickvals == (-4, -3, -2, -1, 0, 1, 2)
    assert cells.colorbar.ticktext == ("≤ 0.0001", "0.001", "0.01", "0.1", "1", "10", "100")
    assert np.array(cells.text)[1].tolist() == [100, 4, 0]  # per cent of the row's largest


def test_colours_reach_no_further_than_the_numbers() -> None:
    exact = np.array([[200.0, 0.0], [30.0, 40.0]])
    bar = influence(connectivity_heatmap(connected("ab", exact), "absolute")).colorbar
    assert bar.ticktext == ("10", "100", "1,000")
    nothing = influence(connectivity_heatmap(connected("ab", np.zeros((2, 2))), "absolute"))
    assert (nothing.zmin, nothing.zmax) == (-1, 0) and np.nanmax(nothing.z) == -1


def test_numbers_below_the_range_of_float32_still_differ() -> None:
    exact = np.array([[1e-50, 0.0], [1e-52, 1e-51]])
    cells = influence(connectivity_heatmap(connected("ab", exact, mode="squared"), "absolute"))
    assert np.array(cells.z)[1].tolist() == [-52, -51]
    assert cells.colorbar.ticktext[0] == "1e−52"


def test_signed_numbers_have_diverging_colours() -> None:
    exact = np.array([[-2.0, 0.0], [1.0, -4.0]])
    figure = connectivity_heatmap(connected("ab", exact, mode="gradient × input"), "row")
    cells = influence(figure)
    assert (cells.zmin, cells.zmax) == (-1, 1) and cells.colorscale[0][1] == LIGHT.diverging[0]
    assert np.array(cells.z)[1].tolist() == [0.25, -1.0]
    assert cells.colorbar.ticktext[0] == "−100%"
    assert figure.layout.title.subtitle.text.startswith("gradient × input; ")
    sizes = influence(connectivity_heatmap(connected("ab", exact), "absolute"))
    assert np.nanmax(sizes.z) == pytest.approx(math.log10(4)) and np.array(sizes.text)[1].tolist() == [25, -100]


def test_rows_without_a_target_are_grey_and_say_why() -> None:
    figure = connectivity_heatmap(connected(" abc", without=(1, 3)), "row")
    assert np.isnan(np.array(influence(figure).z)[[1, 3]]).all()
    masked = figure.data[1]
    assert masked.name == "masked" and masked.colorscale[0][1] == LIGHT.mask
    assert [row[0] for row in masked.z] == [None, 1, None, 1]
    assert tuple(masked.x) == (-0.5, 3.5)
    assert "no target word" in masked.hovertext[1][0] and "“a” (character 2)" in masked.hovertext[1][0]


def test_hover_texts_say_what_is_read_predicted_and_meant() -> None:
    figure = connectivity_heatmap(connected(" a", without=(0,)), "row")
    rows, columns = figure.layout.yaxis.labelalias, figure.layout.xaxis.labelalias
    assert rows["0"] == "reads “␣” (character 1) → predicts “&lt;b&gt;”, 25%"
    assert rows["1"] == "reads “a” (character 2) → predicts “&lt;b&gt;”, 25%<br>target word “word”"
    assert columns["1"] == "“a” (character 2)"
    template = influence(figure).hovertemplate
    assert all(part in template for part in ("%{y}", "%{x}", "%{customdata", "%{z:.1%} of the row's largest"))
    assert "%{text}%" in influence(connectivity_heatmap(connected(" a"), "absolute")).hovertemplate


def test_axes_show_each_character_of_a_short_text_and_each_word_once() -> None:
    layout = connectivity_heatmap(connected(SENTENCE), "row").layout
    assert layout.xaxis.ticktext[:6] == ("·", "t", "h", "e", "·", "a")
    assert layout.yaxis.ticktext[:6] == ("the  ·", "t", "h", "e", "animal  ·", "a")
    assert tuple(layout.yaxis.range) == (len(SENTENCE) - 0.5, -0.5)  # time runs down


@pytest.mark.parametrize("length", [2, 40, 80, 81, 250, 1000])
def test_cells_are_square_and_labels_do_not_overlap(length: int) -> None:
    layout = connectivity_heatmap(connected((SENTENCE * 15)[:length]), "row").layout
    wide = layout.width - layout.margin.l - layout.margin.r
    tall = layout.height - layout.margin.t - layout.margin.b
    assert wide == pytest.approx(tall, abs=2) and 159 <= tall <= 801  # each size is rounded
    cell = wide / min(length, 300)
    for axis in (layout.xaxis, layout.yaxis):
        if length > 80:
            assert (np.diff(axis.tickvals) * cell >= axis.tickfont.size).all()
        else:  # letters are lower than their type size
            assert axis.tickfont.size <= cell + 1.01


def test_a_long_text_is_pooled_and_small() -> None:
    text = (SENTENCE * 15)[:1000]
    exact = np.tril(np.full((1000, 1000), 1e-3))
    exact[123, 77] = 7.0  # characters 124 and 78
    exact[500, 500] = -9.0
    for scaling in ("row", "absolute"):
        figure = connectivity_heatmap(connected(text, exact), scaling, marked=999)
        cells = influence(figure)
        z = np.array(cells.z)
        assert z.shape == (300, 300)
        assert np.array(cells.customdata)[37, 23] == 7.0  # blocks 123–125 and 76–79
        assert np.array(cells.customdata)[150, 150] == -9.0
        assert np.isnan(z[10, 11]) and not np.isnan(z[10, 10])
        assert figure.layout.xaxis.labelalias["37"].startswith("characters 124–126 (“")
        assert len(figure.to_json().encode()) <= 1_500_000
        assert (shape(figure, "marked").y0 + shape(figure, "marked").y1) / 2 == pytest.approx(299)


def test_the_marked_row_has_an_outline() -> None:
    figure = connectivity_heatmap(connected(SENTENCE), "row", marked=5)
    outline = shape(figure, "marked")
    assert (outline.x0, outline.x1) == (-0.5, len(SENTENCE) - 0.5)
    assert 4.0 < outline.y0 <= 4.5 and 5.5 <= outline.y1 < 6.0
    assert [one.name for one in connectivity_heatmap(connected(SENTENCE), "row").layout.shapes] == ["not read yet"]


def test_one_character() -> None:
    for scaling in ("row", "absolute"):
        figure = connectivity_heatmap(connected("a"), scaling, marked=0)
        assert np.array(influence(figure).z).shape == (1, 1) and not np.isnan(influence(figure).z).any()


@pytest.mark.parametrize("scaling", ["row", "absolute"])
def test_the_figure_survives_json_and_is_the_same_each_time(scaling: Scaling) -> None:
    text = connected(SENTENCE, without=(3,))
    written = connectivity_heatmap(text, scaling, marked=2).to_json()
    assert json.loads(pio.from_json(written).to_json()) == json.loads(written)
    assert connectivity_heatmap(text, scaling, marked=2).to_json() == written


def test_a_projector_gets_larger_cells_and_type() -> None:
    plain, large = (connectivity_heatmap(connected(SENTENCE), "row", scale=scale).layout for scale in (1.0, 2.0))
    assert large.width == pytest.approx(2 * plain.width, rel=0.02)
    assert large.title.font.size == 2 * plain.title.font.size
    assert large.xaxis.tickfont.size == pytest.approx(2 * plain.xaxis.tickfont.size)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="row, absolute"):
        connectivity_heatmap(connected("ab"), "log")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positions 0 to 1"):
        connectivity_heatmap(connected("ab"), "row", marked=2)
    with pytest.raises(ValueError, match="positive"):
        connectivity_heatmap(connected("ab"), "row", scale=0)
