"""Hidden units over a text, by their traces, marks and ranges."""

from __future__ import annotations

import json

import altair as alt
import numpy as np
import plotly.io as pio
import pytest

from viz import DARK, LIGHT, Theme, head_colour, state_heatmap, unit_lines

TEXT = " the animal"


def states(length: int, units: int) -> np.ndarray:
    return np.sin(np.arange(length)[:, None] * (1 + np.arange(units)[None]) / 7)


def test_units_are_rows_and_characters_columns() -> None:
    values = states(len(TEXT), 3)
    figure = state_heatmap(values, TEXT, "GRU, layer 1", kind="state")
    (cells,) = figure.data
    np.testing.assert_array_equal(np.array(cells.z), values.T.astype(np.float32))
    assert figure.layout.xaxis.ticktext[:3] == ("·", "t", "h")
    assert figure.layout.yaxis.ticktext == ("unit 1", "unit 2", "unit 3")
    assert tuple(figure.layout.yaxis.range) == (2.5, -0.5)
    assert figure.layout.xaxis.labelalias["1"] == "“t” (character 2)"
    assert figure.layout.title.text == "GRU, layer 1"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_gates_go_from_0_to_1_and_states_as_far_below_0_as_above(theme: Theme) -> None:
    gate = state_heatmap(np.array([[0.25, 0.5]]), "a", "", kind="gate", theme=theme).data[0]
    assert (gate.zmin, gate.zmax) == (0, 1) and gate.colorscale[-1][1] == theme.sequential[-1]
    state = state_heatmap(np.array([[0.25, -4.0]]), "a", "", kind="state", theme=theme).data[0]
    assert (state.zmin, state.zmax) == (-4, 4) and state.colorscale[0][1] == theme.diverging[0]
    assert state.colorbar.ticktext == ("−4", "−2", "0", "2", "4")
    zero = state_heatmap(np.zeros((1, 2)), "a", "", kind="state", theme=theme).data[0]
    assert (zero.zmin, zero.zmax) == (-1, 1)


def test_chosen_units_keep_their_order_and_numbers() -> None:
    values = states(len(TEXT), 20)
    figure = state_heatmap(values, TEXT, "", kind="state", units=(17, 3))
    np.testing.assert_array_equal(np.array(figure.data[0].z), values[:, [17, 3]].T.astype(np.float32))
    assert figure.layout.yaxis.ticktext == ("unit 18", "unit 4")


def test_many_units_and_a_long_text_are_pooled_with_their_signs() -> None:
    values = np.full((1000, 512), 0.5)
    values[999, 511], values[0, 1] = -3.0, 2.0
    figure = state_heatmap(values, (TEXT * 100)[:1000], "", kind="state", marked=999)
    z = np.array(figure.data[0].z)
    assert z.shape == (256, 300) and z[-1, -1] == -3 and z[0, 0] == 2 and z[1, 1] == 0.5
    assert figure.layout.yaxis.labelalias["0"] == "unit 1 and 1 more"
    assert figure.layout.xaxis.labelalias["0"] == "characters 1–3 (“␣th”)"
    assert (figure.layout.shapes[0].x0 + figure.layout.shapes[0].x1) / 2 == pytest.approx(299)
    cell = 560 / 256
    assert (np.diff(figure.layout.yaxis.tickvals) * cell >= figure.layout.yaxis.tickfont.size).all()
    assert len(figure.to_json().encode()) <= 1_000_000


def test_the_marked_column_has_an_outline() -> None:
    outline = state_heatmap(states(11, 4), TEXT, "", kind="state", marked=2).layout.shapes[0]
    assert 1 < outline.x0 <= 1.5 and 2.5 <= outline.x1 < 3 and (outline.y0, outline.y1) == (-0.5, 3.5)
    assert not state_heatmap(states(11, 4), TEXT, "", kind="state").layout.shapes


def test_the_heatmap_survives_json() -> None:
    written = state_heatmap(states(11, 4), TEXT, "<i>x</i>", kind="state", marked=2).to_json()
    assert json.loads(pio.from_json(written).to_json()) == json.loads(written)
    assert "<i>" not in written and "&lt;i&gt;" in written


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="gate, state"):
        state_heatmap(states(1, 1), "a", "", kind="cell")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="characters, units"):
        state_heatmap(states(2, 1), "a", "", kind="state")
    with pytest.raises(ValueError, match="finite"):
        state_heatmap(np.array([[np.nan]]), "a", "", kind="state")
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        state_heatmap(np.array([[1.5]]), "a", "", kind="gate")
    for units in ((), (2,), (-1,)):
        with pytest.raises(ValueError, match="from 0 to 1"):
            state_heatmap(np.zeros((1, 2)), "a", "", kind="state", units=units)
    with pytest.raises(ValueError, match="positions 0 to 0"):
        state_heatmap(np.zeros((1, 2)), "a", "", kind="state", marked=1)
    with pytest.raises(ValueError, match="positions 0 to 0"):
        unit_lines(np.zeros((1, 2)), "a", ("x", "y"), marked=1)
    for names in (("x",), ("x", "x")):
        with pytest.raises(ValueError, match="2 units"):
            unit_lines(np.zeros((1, 2)), "a", names)


def test_lines_have_a_colour_and_every_value_each() -> None:
    values = states(11, 2)
    found = unit_lines(values, TEXT, ("unit 4", "unit 9")).to_dict()
    (rows,) = found["datasets"].values()
    assert [row["value"] for row in rows[:11]] == pytest.approx(values[:, 0].tolist(), abs=1e-6)  # six decimals
    assert [row["unit"] for row in rows] == ["unit 4"] * 11 + ["unit 9"] * 11
    assert (rows[0]["character"], rows[1]["character"]) == ("␣", "t")
    lines = found["layer"][0]["encoding"]
    assert lines["color"]["scale"] == {"domain": ["unit 4", "unit 9"], "range": [head_colour(0), head_colour(1)]}
    assert lines["x"]["scale"]["domain"] == [-0.5, 10.5]
    assert len(found["layer"]) == 2


def test_the_ninth_line_differs_by_its_stroke() -> None:
    found = unit_lines(states(2, 9), "ab", [str(unit) for unit in range(9)]).to_dict()
    dashes = found["layer"][0]["encoding"]["strokeDash"]["scale"]["range"]
    assert dashes[0] == [1, 0] and dashes[8] != dashes[0]


def test_a_marked_position_is_a_rule_on_the_same_axis() -> None:
    chart = unit_lines(states(11, 2), TEXT, ("a", "b"), theme=DARK, marked=3)
    found = chart.to_dict()
    rule = found["layer"][0]
    assert rule["mark"]["type"] == "rule" and rule["mark"]["color"] == DARK.accent
    assert found["datasets"][rule["data"]["name"]] == [{"position": 3}]
    assert rule["encoding"]["x"] == found["layer"][1]["encoding"]["x"]
    json.loads(chart.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert isinstance(alt.LayerChart.from_json(chart.to_json()), alt.LayerChart)
