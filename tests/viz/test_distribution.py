from __future__ import annotations

import json
import math
from typing import Any

import altair as alt
import pytest
import vl_convert

from viz.distribution import distribution
from viz.theme import DARK, LIGHT, THEMES

HOSTILE = (
    "<b>x</b>",
    '"];alert(1);//',
    "\\",
    "{{datum}}",
    "' + datum.value + '",
    "\n",
    "",
    "שלום",
    "</script>",
    "é" * 40,
)
TOKENS = (("le", math.log(0.5)), ("la", math.log(0.25)), ("le", math.log(0.125)))


def spec(*tokens: tuple[str, float], **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = distribution(tokens, **options).to_dict()
    return found


def labels(found: dict[str, Any]) -> dict[str, str]:
    """What the axis shows at each place: the object before the "[datum.value]" of its expression."""
    expression = found["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert expression.endswith("[datum.value]")
    names: dict[str, str] = json.loads(expression.removesuffix("[datum.value]"))
    return names


def test_bars_are_probabilities_in_the_order_given() -> None:
    found = spec(*TOKENS)
    rows = found["data"]["values"]
    assert [row["probability"] for row in rows] == pytest.approx([0.5, 0.25, 0.125])
    assert [row["logprob"] for row in rows] == [-0.693, -1.386, -2.079]
    assert [row["place"] for row in rows] == [0, 1, 2]
    bars = found["layer"][0]
    assert bars["mark"]["type"] == "bar"
    assert bars["encoding"]["x"]["field"] == "probability" and bars["encoding"]["y"]["field"] == "place"
    assert bars["encoding"]["y"]["type"] == "ordinal"  # sorted by place


def test_every_axis_goes_from_0_to_1_so_that_two_charts_compare() -> None:
    for tokens in (TOKENS, TOKENS[2:]):
        assert spec(*tokens)["layer"][0]["encoding"]["x"]["scale"] == {"domain": [0, 1]}


def test_equal_labels_keep_bars_of_their_own() -> None:
    found = spec(*TOKENS)
    assert labels(found) == {"0": "le", "1": "la", "2": "le"}
    assert len({row["place"] for row in found["data"]["values"]}) == 3


def test_hostile_labels_stay_text() -> None:
    found = spec(*((label, -1.0) for label in HOSTILE))
    shown = labels(found)  # one JSON object: no label ends its string
    assert shown["0"] == "<b>x</b>" and shown["1"] == '"];alert(1);//' and shown["2"] == "\\"
    assert shown["5"] == "⏎" and shown["6"] == "␣"
    assert shown["9"] == "é" * 13 + "…" and found["data"]["values"][9]["whole"] == "é" * 40
    assert found["data"]["values"][7]["whole"] == "\u2068שלום\u2069"
    assert found["layer"][0]["encoding"]["y"]["axis"]["labelExpr"].isascii()


def test_hostile_labels_are_drawn_as_they_are() -> None:
    drawn = vl_convert.vegalite_to_svg(distribution([(label, -1.0) for label in HOSTILE]).to_json())
    assert "&lt;b&gt;x&lt;/b&gt;" in drawn and "<b>" not in drawn
    assert '"];alert(1);//' in drawn.replace("&quot;", '"')
    assert "{{datum}}" in drawn and "' + datum.value + '"[:13] in drawn


def test_numbers_stand_beside_short_bars_and_inside_long_ones() -> None:
    drawn = vl_convert.vegalite_to_svg(
        distribution([("a", math.log(0.969)), ("b", math.log(0.03))], width=200).to_json()
    )
    assert "96.9%" in drawn and "3.0%" in drawn
    inside = next(line for line in drawn.split("<text") if "96.9%" in line)
    beside = next(line for line in drawn.split("<text") if ">3.0%" in line)
    assert 'text-anchor="end"' in inside and LIGHT.background in inside
    assert 'text-anchor="start"' in beside and LIGHT.text in beside


def test_a_title_only_where_there_is_one() -> None:
    assert spec(*TOKENS, title="What may follow")["title"] == "What may follow"
    assert "title" not in spec(*TOKENS)


@pytest.mark.parametrize("name", list(THEMES))
def test_colours_and_type_are_the_theme_s(name: str) -> None:
    theme = THEMES[name]
    found = spec(*TOKENS, theme=theme)
    assert found["config"]["background"] == theme.background
    assert found["layer"][0]["mark"]["color"] == theme.accent
    assert found["layer"][1]["encoding"]["color"]["value"] == theme.text
    other = DARK if theme is LIGHT else LIGHT
    assert other.accent not in json.dumps(found) and other.text not in json.dumps(found)


def test_a_projector_gets_larger_bars_and_type() -> None:
    plain, large = spec(*TOKENS), spec(*TOKENS, scale=1.5, width=500)
    assert (large["height"], large["width"]) == (1.5 * plain["height"], 500)
    assert large["layer"][0]["encoding"]["y"]["axis"]["labelFontSize"] == round(1.5 * (LIGHT.small_size + 1))
    assert large["layer"][1]["mark"]["fontSize"] > plain["layer"][1]["mark"]["fontSize"]
    assert spec(*TOKENS[:1])["height"] * 3 == plain["height"]


def test_no_token_and_no_logarithm_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        distribution([])
    with pytest.raises(ValueError, match="above 0"):
        distribution([("le", 0.5)])


def test_a_certain_token_is_drawn_as_100_percent() -> None:
    """Sums of softmax terms in float32 end a little above 0; an impossible token has a bar of length 0."""
    rows = spec(("le", 5e-6), ("la", -1_000.0), ("les", -math.inf))["data"]["values"]
    assert [row["probability"] for row in rows] == [1.0, 0.0, 0.0]
    assert rows[0]["logprob"] == 0.0


def test_the_chart_survives_json() -> None:
    chart = distribution([*TOKENS, *((label, -3.0) for label in HOSTILE)], DARK, title="<i>t</i>")
    text = chart.to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    again = alt.LayerChart.from_json(text).to_dict()
    (again["data"]["values"],) = again.pop("datasets").values()  # Altair puts data that it has read aside
    del again["data"]["name"]
    assert again == json.loads(text)
