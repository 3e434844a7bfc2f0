"""The strip of output tokens by its data."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import altair as alt
import numpy as np
import pytest
import vl_convert

from viz import DARK, LIGHT, token_strip

LABELS = ("L'animal", "<b>", "שלום", "</s>")
LOGPROBS = np.log(np.array([0.5, 0.001, 0.999, 1.0], dtype=np.float32))


def rows(chart: alt.LayerChart) -> list[dict]:
    (data,) = chart.to_dict()["datasets"].values()
    return data


def test_probabilities_and_bars() -> None:
    data = rows(token_strip(LABELS, LOGPROBS))
    assert [row["label"] for row in data] == list(LABELS)
    # A float32 logarithm has 24 bits: 1e-6 is generous.
    assert [row["probability"] for row in data] == pytest.approx([0.5, 0.001, 0.999, 1.0], abs=1e-6)
    assert [row["number"] for row in data] == ["50 %", "<1 %", ">99 %", "100 %"]
    for row in data:  # edges are rounded to a tenth of a pixel
        filled = (row["filled"] - row["left"]) / (row["right"] - row["left"])
        assert filled == pytest.approx(row["probability"], abs=0.2 / (row["right"] - row["left"]))


@pytest.mark.parametrize("count", [1, 12, 60])
def test_tokens_flow_into_rows_without_overlap(count: int) -> None:
    chart = token_strip(["token"] * count, [-0.1] * count, width=400)
    data = rows(chart)
    assert all(0 <= row["left"] < row["right"] <= 400 for row in data)
    for one, other in pairwise(data):
        if other["line"] == one["line"]:
            assert other["left"] > one["right"]
        else:
            assert (other["line"], other["left"]) == (one["line"] + 1, 0)
    assert chart.to_dict()["height"] % (data[-1]["line"] + 1) == 0
    assert chart.to_dict()["width"] == 400


def test_unknown_and_impossible_tokens() -> None:
    unknown, impossible = rows(token_strip(["a", "b"], [math.nan, -math.inf]))
    assert (unknown["number"], unknown["probability"], unknown["logprob"]) == ("?", None, "unknown")
    assert (impossible["number"], impossible["probability"], impossible["logprob"]) == ("0 %", 0.0, "-inf")


def test_special_tokens_are_marked() -> None:
    chart = token_strip(LABELS, LOGPROBS, (False, False, False, True), DARK)
    assert [row["special"] for row in rows(chart)] == [False, False, False, True]
    assert "italic" in chart.to_dict()["layer"][0]["mark"]["fontStyle"]["expr"]
    assert chart.to_dict()["config"]["background"] == DARK.background != LIGHT.background


def test_svg_and_json_round_trip() -> None:
    chart = token_strip(LABELS, LOGPROBS)
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    for text in ("L'animal", "&lt;b&gt;", "50 %"):
        assert f">{text}</text>" in svg
    assert alt.Chart.from_json(chart.to_json()).to_dict() == json.loads(chart.to_json())


def test_no_tokens() -> None:
    assert rows(token_strip([], [])) == []


@pytest.mark.parametrize("special", [None, [False]])
def test_one_value_per_token(special: list[bool] | None) -> None:
    with pytest.raises(ValueError, match="give one per token"):
        token_strip(["a", "b"], [-0.1] if special is None else [-0.1, -0.2], special)


def test_probabilities_instead_of_logarithms() -> None:
    with pytest.raises(ValueError, match="give logarithms"):
        token_strip(["a"], [0.7])
