"""Charts of memorization, accuracy and agreement, by their data, scales and marks."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import pytest
import vl_convert

from engine.catalogue import MODELS
from viz import (
    DARK,
    HEAD_COLOURS,
    LIGHT,
    NETWORK_COLOURS,
    Theme,
    accuracy_chart,
    agreement_chart,
    distance_chart,
    memorization_chart,
    network_colours,
    row_comparison,
)
from viz.memorization import LOWEST, TABLE

NAN = math.nan
TEXT = " the animal did not cross the street because it was too tired to go on and the sun was low over the road"


def data(chart: alt.LayerChart, layer: int) -> list[dict[str, Any]]:
    found = chart.to_dict()
    named = found["layer"][layer].get("data") or found["data"]
    rows: list[dict[str, Any]] = found["datasets"][named["name"]]
    return rows


def layers(chart: alt.LayerChart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart.to_dict()["layer"]
    return found


def colours_of(encoded: Mapping[str, Any]) -> dict[str, str]:
    scale = encoded["color"]["scale"]
    return dict(zip(scale["domain"], scale["range"], strict=True))


def every_chart(theme: Theme = LIGHT) -> dict[str, alt.LayerChart]:
    values = [math.cos(place) for place in range(len(TEXT))]
    return {
        "distance": distance_chart({"GRU": [0.5, 0.3, NAN]}, {"GRU": [0.6, 0.4]}, theme=theme),
        "log": distance_chart({"GRU": [0.5, 0.0, 1e-9]}, theme=theme, log=True),
        "memorization": memorization_chart({"GRU": [(0, 0.7, 9)]}, {"GRU": [(0, 0.6, 0.5, 0.7)]}, theme=theme),
        "accuracy": accuracy_chart({"GRU": [0.2, None]}, [0.1, 0.3], {"LSTM": [0.15]}, theme=theme),
        "agreement": agreement_chart({"Transformer": [NAN, *values[1:]]}, TEXT, theme=theme, marked=3),
        "rows": row_comparison(TEXT, {"gradient": [1.0] * 100, "occlusion": values}, 90, theme=theme),
    }


def test_every_network_of_word_completion_has_its_colour() -> None:
    titles = {card.title.partition(": ")[2] for card in MODELS.values() if card.family == "autocomplete"}
    assert set(NETWORK_COLOURS) == titles


def test_networks_keep_their_colours_whichever_others_are_drawn() -> None:
    assert set(NETWORK_COLOURS.values()) <= set(HEAD_COLOURS) and len(set(NETWORK_COLOURS.values())) == 5
    found = network_colours(["mine", "LSTM", "mine", "yours"])
    assert list(found) == ["mine", "LSTM", "yours"]
    assert found["LSTM"] == NETWORK_COLOURS["LSTM"] == network_colours(["LSTM"])["LSTM"]
    others = {found["mine"], found["yours"]}
    assert len(others) == 2 and not others & set(NETWORK_COLOURS.values())
    many = network_colours(str(number) for number in range(20))
    assert len(many) == 20 and not set(many.values()) & set(NETWORK_COLOURS.values())


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("name", list(every_chart()))
def test_every_chart_is_of_its_theme_survives_json_and_draws(name: str, theme: Theme) -> None:
    chart = every_chart(theme)[name]
    text = chart.to_json()
    assert text == every_chart(theme)[name].to_json()
    found = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert found["config"]["background"] == theme.background
    assert alt.LayerChart.from_json(text).to_dict()["layer"] == found["layer"]
    assert "params" not in text  # two selections on a layered chart leave it blank; these need none
    drawn = vl_convert.vegalite_to_svg(text)
    assert drawn.count("<path") > 3 and "NaN" not in drawn


def test_shares_by_distance_end_at_the_longest() -> None:
    chart = distance_chart({"GRU": [0.5, 0.3, 0.2]}, {"GRU": [0.6, NAN], "LSTM": [1.0]}, longest=1)
    rows = [(row["network"], row["of"], row["distance"], row["share"]) for row in data(chart, 0)]
    here, mean = "this text", "mean over validation texts"
    assert rows == [
        ("GRU", here, 0, 0.5),
        ("GRU", here, 1, 0.3),
        ("GRU", mean, 0, 0.6),
        ("GRU", mean, 1, None),
        ("LSTM", mean, 0, 1.0),
    ]
    encoded = layers(chart)[0]["encoding"]
    assert encoded["x"]["scale"]["domain"] == [0, 1]
    assert encoded["strokeDash"]["scale"]["domain"] == [here, mean]
    assert encoded["strokeDash"]["scale"]["range"][0] == [1, 0] != encoded["strokeDash"]["scale"]["range"][1]
    assert colours_of(encoded) == {name: NETWORK_COLOURS[name] for name in ("GRU", "LSTM")}


def test_without_a_mean_nothing_is_said_of_it() -> None:
    for chart in (distance_chart({"GRU": [1.0]}), memorization_chart({"GRU": [(0, 1.0, 3)]})):
        assert layers(chart)[-2]["encoding"].get("strokeDash", {"legend": None})["legend"] is None
        assert "validation" not in json.dumps(data(chart, 0))


def test_a_logarithmic_axis_has_no_zero_and_ends_at_powers_of_ten() -> None:
    chart = distance_chart({"GRU": [0.5, 0.03, 0.0, LOWEST / 10]}, log=True)
    y = layers(chart)[0]["encoding"]["y"]
    assert y["scale"]["type"] == "log"
    assert y["scale"]["domain"] == [pytest.approx(LOWEST), 1]
    assert [row["share"] for row in data(chart, 0)] == [0.5, 0.03, None, None]
    nearer = layers(distance_chart({"GRU": [0.5, 0.03]}, log=True))[0]["encoding"]["y"]
    assert nearer["scale"]["domain"] == [pytest.approx(0.01), 1]
    assert nearer["axis"]["values"] == pytest.approx([0.01, 0.1, 1])


def test_scores_by_letters_known_with_the_interval_of_their_mean() -> None:
    chart = memorization_chart({"GRU": [(0, 0.7, 9), (9, 0.1, 1)]}, {"GRU": [(1, 0.6, 0.5, 0.75)]})
    here = {"network": "GRU", "of": "this text", "known": 0, "share": 0.7, "detail": "mean of 9 outputs"}
    mean = {"network": "GRU", "of": "mean over validation texts", "known": 1, "share": 0.6, "low": 0.5, "high": 0.75}
    assert data(chart, 0) == [here, mean | {"detail": "interval 50.0% to 75.0%"}]
    band, line, points, told = layers(chart)
    assert (band["mark"]["type"], line["mark"]["type"], points["mark"]["type"]) == ("area", "line", "point")
    assert band["encoding"]["y"]["field"] == "low" and band["encoding"]["y2"]["field"] == "high"
    assert "validation" in band["transform"][0]["filter"] and "this text" in points["transform"][0]["filter"]
    assert line["encoding"]["y"]["scale"]["domain"] == [0, 1] and line["encoding"]["x"]["scale"]["domain"] == [0, 8]
    assert told["mark"]["opacity"] == 0 and told["encoding"]["tooltip"][-1]["field"] == "detail"


def test_an_unknown_interval_leaves_the_mean() -> None:
    chart = memorization_chart({"GRU": [(0, 0.7, 9)]}, {"GRU": [(0, 0.6, NAN, NAN), (1, NAN, NAN, NAN)]})
    assert [(row["share"], row["low"], row["detail"]) for row in data(chart, 0)[1:]] == [
        (0.6, None, ""),
        (None, None, ""),
    ]
    assert "NaN" not in vl_convert.vegalite_to_svg(chart.to_json())


def test_accuracy_beside_the_table_and_the_article() -> None:
    chart = accuracy_chart({"GRU": [0.2, None]}, [0.1] * 12, {"LSTM": [0.15]})
    rows = data(chart, 0)
    assert [row["share"] for row in rows if row["of"] == "these networks"] == [0.2, None]
    assert [row["known"] for row in rows if row["network"] == TABLE] == list(range(9))  # up to 8 letters
    assert [(row["network"], row["share"]) for row in rows if row["of"] == "Madsen 2019"] == [("LSTM", 0.15)]
    reference, lines, _, _ = layers(chart)
    assert reference["mark"]["strokeWidth"] > 2 * 2.5 and TABLE in reference["transform"][0]["filter"]
    assert colours_of(reference["encoding"])[TABLE] == LIGHT.muted
    assert colours_of(lines["encoding"])["LSTM"] == NETWORK_COLOURS["LSTM"]
    width = lines["encoding"]["strokeWidth"]
    assert width["condition"]["value"] < width["value"] and "Madsen 2019" in width["condition"]["test"]


def test_no_table_and_no_article_leave_no_entry_in_the_legend() -> None:
    _, lines, _, _ = layers(accuracy_chart({"GRU": [0.2]}))
    assert list(colours_of(lines["encoding"])) == ["GRU"]
    assert lines["encoding"]["strokeDash"]["legend"] is None


def test_no_order_to_compare_is_a_gap_in_the_agreement() -> None:
    chart = agreement_chart({"GRU": [NAN, -0.5, 1.0]}, " a<", marked=2)
    zero, rule, lines, _ = layers(chart)
    assert [row["agreement"] for row in data(chart, 2)] == [None, -0.5, 1.0]
    assert [row["character"] for row in data(chart, 2)] == ["␣", "a", "<"]
    assert lines["encoding"]["y"]["scale"]["domain"] == [-1, 1]
    assert lines["encoding"]["color"]["value"] == NETWORK_COLOURS["GRU"]
    assert zero["mark"]["type"] == rule["mark"]["type"] == "rule"
    assert data(chart, 1) == [{"position": 2}] and data(chart, 0) == [{"agreement": 0}]
    two = layers(agreement_chart({"layer 1": [0.0], "layer 2": [1.0]}, "a"))
    assert len(two) == 3 and len(set(colours_of(two[1]["encoding"]).values())) == 2


def test_each_strip_is_divided_by_its_own_largest() -> None:
    chart = row_comparison(" abc", {"gradient": [0.0, 2.0, 4.0, 99.0], "occlusion": [-8.0, 2.0, 0.0]}, 2)
    plain, signed = data(chart, 0), data(chart, 1)
    assert [cell["share"] for cell in plain] == [0.0, 0.5, 1.0]  # what comes after the position is no part of it
    assert [cell["share"] for cell in signed] == [-1.0, 0.25, 0.0]
    assert [cell["character"] for cell in plain] == ["␣", "a", "b"]
    assert [(cell["left"], cell["right"]) for cell in plain] == [(-0.5, 0.5), (0.5, 1.5), (1.5, 2.5)]
    first, second = (layer["encoding"]["color"]["scale"] for layer in layers(chart))
    assert first["range"] == list(LIGHT.sequential) and (first["domain"][0], first["domain"][-1]) == (0, 1)
    assert second["range"] == list(LIGHT.diverging) and second["domain"][3] == pytest.approx(0)
    assert chart.to_dict()["resolve"] == {"scale": {"color": "independent"}}
    for layer in layers(chart):
        assert layer["encoding"]["y"]["sort"] == ["gradient, up to 4", "occlusion, up to 8"]


def test_strips_end_at_the_position_and_are_at_most_80_characters_long() -> None:
    row = [float(place) for place in range(100)]
    chart = row_comparison(TEXT, {"gradient": row}, 95)
    cells = data(chart, 0)
    assert len(cells) == 80 and (cells[0]["number"], cells[-1]["number"]) == (17, 96)
    assert cells[-1]["share"] == 1.0 and cells[-1]["character"] == TEXT[95].replace(" ", "␣")
    assert len(layers(chart)[0]["encoding"]["x"]["axis"]["values"]) == 80


def test_all_strips_can_have_the_colours_of_signed_numbers() -> None:
    (layer,) = layers(row_comparison("ab", {"gradient": [1.0, 2.0]}, 1, signed=True))
    assert layer["encoding"]["color"]["scale"]["range"] == list(LIGHT.diverging)


def test_a_strip_of_zeros_and_one_character() -> None:
    chart = row_comparison("a", {"gradient": [0.0]}, 0)
    assert [cell["share"] for cell in data(chart, 0)] == [0.0]


def test_hostile_characters_stay_text() -> None:
    text = "\"'<b>\\"
    drawn = vl_convert.vegalite_to_svg(agreement_chart({"GRU": [0.5] * len(text)}, text).to_json())
    assert "&lt;" in drawn and "<b>" not in drawn and "\\" in drawn


def test_what_cannot_be_drawn_is_refused() -> None:
    for build in (lambda: distance_chart({}), lambda: memorization_chart({}), lambda: accuracy_chart({"GRU": [None]})):
        with pytest.raises(ValueError, match="no number to draw"):
            build()
    with pytest.raises(ValueError, match="no percentages"):
        distance_chart({"GRU": [55.0]})
    with pytest.raises(ValueError, match="at least one"):
        agreement_chart({}, "ab")
    with pytest.raises(ValueError, match="3 numbers for 2 characters"):
        agreement_chart({"GRU": [0.0] * 3}, "ab")
    with pytest.raises(ValueError, match="positions 0 to 1"):
        agreement_chart({"GRU": [0.0] * 2}, "ab", marked=-1)
    with pytest.raises(ValueError, match="positions 0 to 1"):
        row_comparison("ab", {"gradient": [0.0] * 2}, 2)
    with pytest.raises(ValueError, match="1 numbers for 2 characters"):
        row_comparison("ab", {"gradient": [0.0]}, 1)
    with pytest.raises(ValueError, match="finite"):
        row_comparison("ab", {"gradient": [0.0, NAN]}, 1)
