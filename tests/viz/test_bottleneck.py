"""Scores by the length of the source, by their data, scales, marks and words."""

from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import pytest
import vl_convert

from viz import DARK, LIGHT, Theme, bottleneck_chart, bottleneck_summary, head_colour
from viz.bottleneck import MOST_MODELS, Measure, Point

NONE: list[Point] = [(5, 8, 241, 20.0, 18.0, 22.5), (9, 12, 255, 12.0, 11.0, 13.0)]
DOT: list[Point] = [(5, 8, 241, 21.0, 19.5, 23.0), (9, 12, 255, 18.0, 16.5, 19.5)]
GAIN: list[Point] = [(5, 8, 241, -0.5, -1.25, 0.5), (9, 12, 255, 6.0, 4.5, 7.5)]
CURVES = {"no attention": NONE, "dot": DOT}
SHARES = {"no attention": [(5, 5, 9, 0.5, 0.4, 0.6)]}
EVERY: dict[Measure, dict[str, list[Point]]] = {"bleu": CURVES, "accuracy": SHARES, "gain": {"dot": GAIN}}


def data(chart: alt.LayerChart) -> list[dict[str, Any]]:
    found = chart.to_dict()
    rows: list[dict[str, Any]] = found["datasets"][found["layer"][-1].get("data", found.get("data"))["name"]]
    return rows


def of_mark(chart: alt.LayerChart, mark: str) -> list[dict[str, Any]]:
    return [layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == mark]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("measure", list(EVERY))
def test_every_chart_is_of_its_theme_survives_json_and_draws(measure: Measure, theme: Theme) -> None:
    chart = bottleneck_chart(EVERY[measure], measure, mark=(30, "after"), theme=theme)
    text = chart.to_json()
    found = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert found["config"]["background"] == theme.background
    assert alt.LayerChart.from_json(text).to_dict()["layer"] == found["layer"]
    assert "params" not in text  # two selections on a layered chart leave it blank; this needs none
    drawn = vl_convert.vegalite_to_svg(text)
    assert drawn.count("<path") > 3 and "NaN" not in drawn and "undefined" not in drawn


def test_each_point_has_its_numbers_its_interval_and_its_lines() -> None:
    row = data(bottleneck_chart(CURVES))[0]
    assert (row["model"], row["words"], row["lines"]) == ("no attention", "5–8", 241)
    assert (row["value"], row["low"], row["high"]) == (20.0, 18.0, 22.5)
    assert (row["told"], row["interval"]) == ("20.0", "18.0 to 22.5")
    told = of_mark(bottleneck_chart(CURVES), "point")[-1]["encoding"]["tooltip"]
    assert [tip["field"] for tip in told] == ["model", "words", "told", "interval", "lines"]
    assert data(bottleneck_chart(SHARES, "accuracy"))[0]["interval"] == "40.0 % to 60.0 %"
    assert data(bottleneck_chart({"dot": GAIN}, "gain"))[0]["interval"] == "−1.2 to +0.5"


def test_points_of_a_bin_stand_beside_each_other_around_its_middle() -> None:
    rows = data(bottleneck_chart(CURVES))
    first = [row["place"] for row in rows if row["words"] == "5–8"]
    assert sum(first) / 2 == pytest.approx(6.5) and first[0] < 6.5 < first[1]
    assert data(bottleneck_chart({"dot": DOT}))[0]["place"] == 6.5
    x = of_mark(bottleneck_chart(CURVES), "line")[0]["encoding"]["x"]
    assert x["axis"]["values"] == [6.5, 10.5] and "'6.5': '5–8'" in x["axis"]["labelExpr"]
    assert x["scale"]["domain"] == [4, 13]


def test_scores_begin_at_zero_and_gains_as_low_as_they_are() -> None:
    def domain(measure: Measure) -> list[float]:
        return of_mark(bottleneck_chart(EVERY[measure], measure), "line")[0]["encoding"]["y"]["scale"]["domain"]

    assert domain("bleu") == [0, 23.0] and domain("accuracy") == [0, 0.6] and domain("gain") == [-1.25, 7.5]
    zero = of_mark(bottleneck_chart({"dot": GAIN}, "gain"), "rule")[0]
    assert zero["mark"]["color"] == LIGHT.muted and zero["encoding"]["y"]["field"] == "low"
    assert len(of_mark(bottleneck_chart(CURVES), "rule")) == 1  # intervals only


def test_models_differ_without_colour_and_keep_their_look_whichever_are_drawn() -> None:
    chart = bottleneck_chart({"dot": DOT}, names=("no attention", "additive", "dot"))
    line = of_mark(chart, "line")[0]["encoding"]
    assert line["color"]["scale"] == {"domain": ["dot"], "range": [head_colour(2)]}
    both = bottleneck_chart({"dot": DOT, "no attention": NONE}, names=("no attention", "additive", "dot"))
    other = of_mark(both, "line")[0]["encoding"]
    assert other["color"]["scale"]["domain"] == ["no attention", "dot"]
    assert other["color"]["scale"]["range"][1] == head_colour(2)
    assert other["strokeDash"]["scale"]["range"][1] == line["strokeDash"]["scale"]["range"][0]
    every = bottleneck_chart({str(number): DOT for number in range(MOST_MODELS)})
    shapes = of_mark(every, "point")[0]["encoding"]["shape"]["scale"]["range"]
    dashes = of_mark(every, "line")[0]["encoding"]["strokeDash"]["scale"]["range"]
    assert len(set(shapes)) == len({tuple(dash) for dash in dashes}) == MOST_MODELS >= 5


def test_a_mark_stands_between_two_numbers_of_words() -> None:
    chart = bottleneck_chart(CURVES, mark=(30, "<b>longer</b>"))
    (said,) = of_mark(chart, "text")
    assert chart.to_dict()["datasets"][said["data"]["name"]] == [{"place": 30.5, "says": "<b>longer</b>"}]
    assert not of_mark(bottleneck_chart(CURVES), "text")


def test_the_summary_says_where_each_model_begins_and_ends() -> None:
    assert bottleneck_summary(CURVES) == (
        "BLEU of the greedy translation, by the length of the source. "
        "no attention: 20.0 at 5–8 words, 12.0 at 9–12 words. dot: 21.0 at 5–8 words, 18.0 at 9–12 words."
    )
    assert bottleneck_summary(SHARES, "accuracy").endswith("no attention: 50.0 % at 5 words.")
    assert bottleneck_summary({"dot": GAIN}, "gain").endswith("dot: −0.5 at 5–8 words, +6.0 at 9–12 words.")


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="bleu, accuracy, gain"):
        bottleneck_chart(CURVES, "chrf")  # type: ignore[arg-type]
    for nothing in ({}, {"dot": []}):
        with pytest.raises(ValueError, match="at least one"):
            bottleneck_chart(nothing)
    with pytest.raises(ValueError, match="not all of its numbers are finite"):
        bottleneck_chart({"dot": [(5, 8, 3, 1.0, math.nan, 2.0)]})
    for wrong in ((5, 8, 3, 1.0, 2.0, 0.5), (8, 5, 3, 1.0, 0.5, 2.0)):
        with pytest.raises(ValueError, match="the lower one first"):
            bottleneck_chart({"dot": [wrong]})
    with pytest.raises(ValueError, match="no percentages"):
        bottleneck_summary({"dot": DOT}, "accuracy")
    with pytest.raises(ValueError, match="draw fewer"):
        bottleneck_chart({str(number): DOT for number in range(MOST_MODELS + 1)})
