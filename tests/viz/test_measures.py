"""Rows of measures and their agreement, by the figures' cells, names and texts."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from engine.types import AttentionMap
from viz import DARK, LIGHT, agreement_table, measure_rows
from viz.labels import label_width
from viz.theme import colour_scale

WORDS = ("The", "animal", "it", "</s>")
SPECIAL = (False, False, False, True)
ROWS = {
    "attention": np.array([0.1, 0.5, 0.25, 0.15]),
    "gradient × attention": np.array([0.5, -2.0, 0.02, 1.0]),
}
NAMES = ("attention", "rollout", "gradient × attention")
TABLE = np.array([[1.0, -0.314, np.nan], [-0.314, 1.0, 0.0], [np.nan, 0.0, 1.0]])
HOSTILE = '<script>alert("x")</script>'


def cells(figure: go.Figure) -> go.Heatmap:
    (found,) = figure.data
    return found


def survives_json(figure: go.Figure) -> bool:
    text = figure.to_json()
    return json.loads(pio.from_json(text).to_json()) == json.loads(text) and "http" not in text and "NaN" not in text


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_each_row_is_coloured_by_its_own_largest_size() -> None:
    found = cells(measure_rows(WORDS, ROWS, SPECIAL))
    # a quotient of float64: 2^-53
    np.testing.assert_allclose(found.z, [[0.2, 1.0, 0.5, 0.3], [0.25, -1.0, 0.01, 0.5]], rtol=1e-15)
    assert (found.zmin, found.zmax, found.showscale) == (-1, 1, False)
    assert found.colorscale == tuple((step, colour) for step, colour in colour_scale(LIGHT.diverging))


def test_colours_do_not_depend_on_the_unit() -> None:
    found = [cells(measure_rows(WORDS, {"a": ROWS["attention"] * unit})).z for unit in (1, 1e-6, -1e9)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-15)
    np.testing.assert_allclose(found[2], -np.array(found[0]), rtol=1e-15)


def test_numbers_are_the_measures_own_and_small_ones_are_left_out() -> None:
    """Less than a twentieth of the row's largest."""
    found = cells(measure_rows(WORDS, ROWS, SPECIAL))
    assert found.text == ([".10", ".50", ".25", ".15"], [".50", "−2.0", "", "1.0"])
    assert found.texttemplate == "%{text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0"), (0.996, "1.0"), (0.994, ".99"), (-0.05, "−.05"), (-0.314, "−.31"), (12.34, "12.3"), (-1.5, "−1.5"),
     (0.004, ""), (-0.004, ""), (0.0, "")],
)  # fmt: skip
def test_numbers_in_little_room(value: float, text: str) -> None:
    assert cells(measure_rows(["a"], {"row": np.array([value])})).text == ([text],)


def test_a_row_of_zeros_has_no_colour_and_no_number() -> None:
    figure = measure_rows(WORDS, {"nothing": np.zeros(4), **ROWS})
    assert cells(figure).z[0] == [0, 0, 0, 0] and cells(figure).text[0] == ["", "", "", ""]
    assert cells(figure).hovertext[0][1] == "nothing, animal: 0.0000"
    assert figure.layout.yaxis.ticktext[0] == "nothing, up to 0"


def test_names_and_words() -> None:
    layout = measure_rows(WORDS, ROWS, SPECIAL, title="Sentence 1").layout
    assert layout.yaxis.ticktext == ("attention, up to 0.5", "gradient × attention, up to 2")
    assert layout.yaxis.autorange == "reversed"  # the first row on top
    assert layout.xaxis.ticktext == ("The", "animal", "it", "<i>&lt;/s&gt;</i>") and layout.xaxis.side == "top"
    assert layout.xaxis.tickvals == (0, 1, 2, 3) and layout.yaxis.tickvals == (0, 1)
    assert layout.title.text == "Sentence 1"
    assert measure_rows(WORDS, ROWS).layout.xaxis.ticktext[3] == "&lt;/s&gt;"  # none is special, unless said


def test_hover_texts_are_exact_and_markup() -> None:
    found = cells(measure_rows(WORDS, ROWS, SPECIAL)).hovertext
    assert found[1][1] == "gradient × attention, animal: −2.0000"
    assert found[0][3] == "attention, &lt;/s&gt;: 0.1500"  # Plotly would read "</s>" as the end of a strikethrough
    tiny = cells(measure_rows(["a", "b"], {"row": np.array([-1e-6, 1.0])}))
    assert tiny.hovertext[0][0] == "row, a: 0.0000"  # no "−0.0000"


def test_hostile_text_stays_text() -> None:
    for figure in (
        measure_rows([HOSTILE], {HOSTILE: np.array([0.5])}, [True], title=HOSTILE),
        agreement_table([HOSTILE], np.array([[np.nan]]), title=HOSTILE),
    ):
        axes = (
            figure.layout.xaxis.ticktext[0].removeprefix("<i>").removesuffix("</i>"),
            figure.layout.yaxis.ticktext[0],
        )
        texts = (figure.layout.title.text, *axes, cells(figure).hovertext[0][0])
        assert not any("<" in text or ">" in text for text in texts)
        assert all(html.unescape(text).startswith("<script>") for text in texts)
        assert html.unescape(texts[0]) == HOSTILE and HOSTILE in html.unescape(texts[2])


def test_any_word_survives_as_text(strange: AttentionMap) -> None:
    figure = measure_rows(strange.key_tokens.labels, {"row": np.linspace(0, 1, 11)})
    assert figure.layout.xaxis.ticktext[:3] == ("&lt;s&gt;", "&lt;b&gt;x&lt;/b&gt;", "שלום")
    assert figure.layout.xaxis.ticktext[5:8] == ("&#36;5&#36;", "⏎", "␣")
    assert cells(figure).hovertext[0][2] == "row, \u2068שלום\u2069: 0.2000"
    assert survives_json(figure)


@pytest.mark.parametrize("rows", [{"a": np.ones(1)}, {"a": np.array([-3.0]), "b": np.zeros(1)}])
def test_one_word_only(rows: dict[str, np.ndarray]) -> None:
    figure = measure_rows(["word"], rows)
    assert cells(figure).z[0] == [math.copysign(1, rows["a"][0])]
    assert figure.layout.xaxis.tickvals == (0,) and survives_json(figure)


def test_no_words() -> None:
    figure = measure_rows([], {"attention": np.zeros(0)})
    assert cells(figure).z == ([],) and figure.layout.xaxis.ticktext == ()
    assert figure.layout.width > 0 and survives_json(figure)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="give at least one measure"):
        measure_rows(WORDS, {})
    with pytest.raises(ValueError, match="rollout has 3 numbers for 4 words: give one for each"):
        measure_rows(WORDS, {**ROWS, "rollout": np.zeros(3)})


# --- Agreement --------------------------------------------------------------------------------------------------------


def test_agreement_from_minus_one_to_one() -> None:
    figure = agreement_table(NAMES, TABLE, title="Do they agree?")
    found = cells(figure)
    np.testing.assert_array_equal(found.z, TABLE)  # not divided by anything
    assert (found.zmin, found.zmax) == (-1, 1)
    assert found.text == (["1.0", "−.31", "–"], ["−.31", "1.0", ""], ["–", "", "1.0"])
    assert figure.layout.yaxis.ticktext == figure.layout.xaxis.ticktext == NAMES
    assert figure.layout.title.text == "Do they agree?"


def test_where_there_is_no_order_a_cell_says_so() -> None:
    """It has no colour and can be pointed at."""
    figure = agreement_table(NAMES, TABLE)
    found = cells(figure)
    assert found.hovertext[0] == [
        "attention and attention: 1.00",
        "attention and rollout: −0.31",
        "attention and gradient × attention: no order to compare",
    ]
    assert found.hoverongaps is not False  # Plotly's own choice is to answer
    assert json.loads(figure.to_json())["data"][0]["z"][0] == [1.0, -0.314, None] and survives_json(figure)


def test_long_names_have_room() -> None:
    """Names at 50° are cut nowhere: they rise by sin 50° of their length, and lean to the right by cos 50°."""
    layout = agreement_table(NAMES, TABLE).layout
    length = label_width(NAMES[-1], layout.xaxis.tickfont.size)
    assert layout.xaxis.tickangle == -50
    assert layout.margin.t >= length * math.sin(math.radians(50))
    assert layout.margin.l >= length
    column = (layout.width - layout.margin.l - layout.margin.r) / len(NAMES)
    assert layout.margin.r + column / 2 >= length * math.cos(math.radians(50))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (3,), (0, 0)])
def test_a_table_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="for 3 names: give one row and one column for each"):
        agreement_table(NAMES, np.zeros(shape))


def test_no_measures() -> None:
    assert survives_json(agreement_table([], np.zeros((0, 0))))


# --- Both -------------------------------------------------------------------------------------------------------------


def test_themes_and_scale() -> None:
    for draw, one, other in ((measure_rows, WORDS, ROWS), (agreement_table, NAMES, TABLE)):
        small, large, dark = draw(one, other), draw(one, other, scale=2), draw(one, other, theme=DARK)
        assert large.layout.width > 1.7 * small.layout.width and large.layout.height > 1.7 * small.layout.height
        assert large.layout.xaxis.tickfont.size == 2 * small.layout.xaxis.tickfont.size
        np.testing.assert_array_equal(cells(large).z, cells(small).z)
        assert dark.layout.paper_bgcolor == DARK.background
        assert cells(dark).colorscale[0][1] == DARK.diverging[0]
        assert survives_json(small) and survives_json(dark)


def test_short_words_stand_upright() -> None:
    assert measure_rows(["it", "is"], {"a": np.ones(2)}).layout.xaxis.tickangle == 0
    assert measure_rows(["it", "animal"], {"a": np.ones(2)}).layout.xaxis.tickangle == -50
