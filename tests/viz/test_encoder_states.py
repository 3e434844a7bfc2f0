"""An encoder's states over a source, by their traces, numbers and ranges."""

from __future__ import annotations

import json
from typing import Any

import altair as alt
import numpy as np
import plotly.io as pio
import pytest
import vl_convert

from engine.types import EncoderStates, Tokens
from viz import DARK, LIGHT, Theme, encoder_overview, encoder_state_heatmap, head_colour, overview_text
from viz.encoder_states import Direction, overview_numbers, unit_order

WORDS = ("The", "<b>cat</b>", "sleeps", "</s>")


def tokens(words: tuple[str, ...] = WORDS) -> Tokens:
    length = len(words)
    special = tuple(word == "</s>" for word in words)
    return Tokens(" ".join(words), words, (), tuple(range(length)), ((0, 0),) * length, special)


def waves(length: int, units: int) -> np.ndarray:
    return np.sin(np.arange(length)[:, None] * (1 + np.arange(units)[None]) / 7)


def encoder(forwards: list[Any], backwards: list[Any], words: tuple[str, ...] = WORDS) -> EncoderStates:
    both = (np.array(values, dtype=np.float32) for values in (forwards, backwards))
    return EncoderStates(tokens(words), *both)


# --- The heatmap ------------------------------------------------------------------------------------------------------


def test_units_are_rows_and_tokens_columns() -> None:
    values = waves(4, 3)
    figure = encoder_state_heatmap(values, tokens(), "Layer 1", by_change=False)
    (cells,) = figure.data
    np.testing.assert_array_equal(np.array(cells.z), values.T.astype(np.float32))
    assert figure.layout.xaxis.ticktext == ("The", "&lt;b&gt;cat&lt;/b&gt;", "sleeps", "<i>&lt;/s&gt;</i>")
    assert figure.layout.xaxis.labelalias["2"] == "“sleeps” (token 3)"
    assert figure.layout.yaxis.labelalias["0"] == "unit 1" and tuple(figure.layout.yaxis.range) == (2.5, -0.5)
    assert figure.layout.title.text == "Layer 1 → reads forwards"
    other = encoder_state_heatmap(values, tokens(), "Layer 1", direction="backwards")
    assert other.layout.title.text == "Layer 1 ← reads backwards"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_reach_as_far_below_0_as_above(theme: Theme) -> None:
    trace = encoder_state_heatmap(np.array([[0.25, -0.5]]), tokens(("a",)), "", theme=theme).data[0]
    assert (trace.zmin, trace.zmax) == (-0.5, 0.5) and trace.colorscale[0][1] == theme.diverging[0]
    assert trace.colorbar.ticktext == ("−0.5", "−0.25", "0", "0.25", "0.5")
    fixed = encoder_state_heatmap(np.array([[0.25, -0.5]]), tokens(("a",)), "", limit=1.0).data[0]
    assert (fixed.zmin, fixed.zmax) == (-1, 1)
    zero = encoder_state_heatmap(np.zeros((1, 2)), tokens(("a",)), "").data[0]
    assert (zero.zmin, zero.zmax) == (-1, 1)


def test_units_stand_by_the_token_that_moves_them_most() -> None:
    forwards = np.array([[0.0, 0.9, 0.1, -0.9], [0.0, 0.9, 0.1, -0.9], [0.8, 0.8, 0.1, -0.9]])
    # Unit 1 moves at token 3; units 2, 3 and 4 at token 1, by 0.9, 0.1 and −0.9.
    assert unit_order(forwards, "forwards").tolist() == [1, 2, 3, 0]
    # From the end units 2, 3 and 4 move most at token 3, which is read first: by 0.8, 0.1 and −0.9.
    assert unit_order(forwards[:, 1:], "backwards").tolist() == [0, 1, 2]
    assert unit_order(np.array([[0.5, -0.1], [0.1, 0.9]]), "backwards").tolist() == [0, 1]
    figure = encoder_state_heatmap(forwards, tokens(("a", "b", "c")), "")
    np.testing.assert_array_equal(np.array(figure.data[0].z)[-1], np.float32([0, 0, 0.8]))
    assert figure.layout.yaxis.labelalias["3"] == "unit 1"
    assert figure.layout.yaxis.title.text == "4 units, by largest change"


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_an_order_has_every_unit_once(direction: Direction) -> None:
    assert sorted(unit_order(waves(9, 50), direction)) == list(range(50))


def test_many_units_share_rows_and_keep_their_signs() -> None:
    values = np.full((4, 192), 0.25)
    values[3, 191], values[0, 1] = -0.75, 0.5
    figure = encoder_state_heatmap(values, tokens(), "", by_change=False, marked=3)
    z = np.array(figure.data[0].z)
    assert z.shape == (96, 4) and z[-1, -1] == -0.75 and z[0, 0] == 0.5 and z[1, 1] == 0.25
    assert figure.layout.yaxis.labelalias["0"] == "units 1, 2"
    assert figure.layout.yaxis.title.text == "192 units"
    outline = figure.layout.shapes[0]
    assert (outline.x0 + outline.x1) / 2 == 3 and (outline.y0, outline.y1) == (-0.5, 95.5)
    assert np.array(encoder_state_heatmap(values[:, :128], tokens(), "").data[0].z).shape == (128, 4)


def test_a_long_source_leaves_out_labels_and_nothing_else() -> None:
    words = tuple(f"word{number}" for number in range(120))
    figure = encoder_state_heatmap(waves(120, 200), tokens(words), "Layer 2")
    assert np.array(figure.data[0].z).shape == (100, 120)
    cell = 840 / 120
    assert len(figure.layout.xaxis.ticktext) < 120
    assert (np.diff(figure.layout.xaxis.tickvals) * cell >= figure.layout.xaxis.tickfont.size).all()
    assert figure.layout.width < 1100 and len(figure.to_json()) < 300_000


def test_the_heatmap_survives_json_and_no_token_is_markup() -> None:
    written = encoder_state_heatmap(waves(4, 5), tokens(), "<u>x</u>", marked=1).to_json()
    assert json.loads(pio.from_json(written).to_json()) == json.loads(written)
    assert "<b>" not in written and "<u>" not in written


# --- The overview -----------------------------------------------------------------------------------------------------


def test_the_change_of_a_state_is_a_root_mean_square_in_reading_order() -> None:
    states = encoder([[[0.3, 0.4], [0.3, 0.4], [0.0, 0.0]]], [[[0.3, 0.4], [0.3, 0.4], [0.0, 0.0]]], ("a", "b", "c"))
    found = overview_numbers(states)
    far = 0.5 / np.sqrt(2)  # the length of (0.3, 0.4), over two units
    np.testing.assert_allclose(found[0, "forwards"], [far, 0, far], atol=1e-7)  # float32 states
    np.testing.assert_allclose(found[0, "backwards"], [0, far, 0], atol=1e-7)


def test_likeness_is_a_cosine_with_the_state_read_last() -> None:
    states = encoder([[[1.0, 0.0], [0.0, 0.0], [0.5, 0.5]]], [[[1.0, 0.0], [-0.5, 0.0], [0.5, 0.5]]], ("a", "b", "c"))
    found = overview_numbers(states, "end")
    np.testing.assert_allclose(found[0, "forwards"], [np.sqrt(0.5), 0, 1], atol=1e-12)
    np.testing.assert_allclose(found[0, "backwards"], [1, -1, np.sqrt(0.5)], atol=1e-12)


def two_layers() -> EncoderStates:
    forwards = np.stack([waves(4, 6), waves(4, 6) / 2])
    return encoder(forwards.tolist(), (-forwards).tolist())


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("summary", ["change", "end"])
def test_the_overview_has_a_panel_for_each_layer_and_direction(summary: Any, theme: Theme) -> None:
    chart = encoder_overview(two_layers(), summary=summary, theme=theme, marked=2)
    text = chart.to_json()
    found = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    titles = [panel["title"]["text"] for panel in found["concat"]]
    assert titles == [f"Layer {layer} {way}" for layer in (1, 2) for way in ("→ reads forwards", "← reads backwards")]
    assert found["columns"] == 2 and found["config"]["background"] == theme.background
    bars = [panel["layer"][0] for panel in found["concat"]]
    assert [bar["mark"]["color"] for bar in bars] == [head_colour(0), head_colour(1)] * 2
    assert len({json.dumps(bar["encoding"]["y"]) for bar in bars}) == 1, "all panels have the same axis"
    assert [bar["encoding"]["x"]["axis"]["labels"] for bar in bars] == [False, False, True, True]
    rows = found["datasets"][bars[0]["data"]["name"]]
    assert [row["token"] for row in rows] == list(WORDS)
    expected = overview_numbers(two_layers(), summary)[0, "forwards"]
    assert [row["value"] for row in rows] == pytest.approx(expected.tolist(), abs=1e-6)  # six decimals
    rule = found["concat"][3]["layer"][1]
    assert rule["mark"]["type"] == "rule" and found["datasets"][rule["data"]["name"]] == [{"left": 2}]
    assert alt.ConcatChart.from_json(text).to_dict()["concat"] == found["concat"]
    drawn = vl_convert.vegalite_to_svg(text)
    assert "NaN" not in drawn and "&lt;b&gt;cat" in drawn


def test_states_of_zeros_have_an_axis_too() -> None:
    zeros = encoder([[[0.0]] * 4], [[[0.0]] * 4])
    assert encoder_overview(zeros).to_dict()["concat"][0]["layer"][0]["encoding"]["y"]["scale"]["domain"] == [0, 1]
    assert encoder_overview(zeros, summary="end").to_dict()["datasets"]


def test_the_overview_in_words() -> None:
    states = encoder([[[0.5], [0.5], [-0.25]]], [[[0.0], [0.75], [0.5]]], ("a", "b", "c"))
    assert overview_text(states) == (
        "Change of state, at each token. Layer 1 forwards: most at “c” (token 3), 0.75; least at “b” (token 2), 0.00. "
        "Layer 1 backwards: most at “a” (token 1), 0.75; least at “b” (token 2), 0.25."
    )
    assert overview_text(states, "end") == (
        "Cosine with its end, at each token. Layer 1 forwards: read first: “a” (token 1), −1.00; "
        "least at “a” (token 1), −1.00. Layer 1 backwards: read first: “c” (token 3), 0.00; "
        "least at “a” (token 1), 0.00."
    )


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens, units"):
        encoder_state_heatmap(waves(3, 2), tokens(), "")
    with pytest.raises(ValueError, match="tokens, units"):
        encoder_state_heatmap(np.zeros((4, 0)), tokens(), "")
    with pytest.raises(ValueError, match="finite"):
        encoder_state_heatmap(np.full((4, 2), np.inf), tokens(), "")
    with pytest.raises(ValueError, match="forwards, backwards"):
        encoder_state_heatmap(waves(4, 2), tokens(), "", direction="up")  # type: ignore[arg-type]
    for marked in (-1, 4):
        with pytest.raises(ValueError, match="tokens 0 to 3"):
            encoder_state_heatmap(waves(4, 2), tokens(), "", marked=marked)
        with pytest.raises(ValueError, match="tokens 0 to 3"):
            encoder_overview(two_layers(), marked=marked)
    for limit in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="above 0"):
            encoder_state_heatmap(waves(4, 2), tokens(), "", limit=limit)
    with pytest.raises(ValueError, match="change, end"):
        encoder_overview(two_layers(), summary="norm")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="finite"):
        encoder_overview(encoder([[[np.nan]] * 4], [[[0.0]] * 4]))
