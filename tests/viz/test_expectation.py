"""How well models expect each word: what is drawn, smoothing by hand, looks that stay, and what cannot be drawn."""

from __future__ import annotations

import json
import math

import altair as alt
import numpy as np
import pytest
import vl_convert

from engine.types import Tokens
from viz.expectation import expected_words, smoothed
from viz.theme import DARK, LIGHT

LABELS = ("Nous", "avons", "<b>avons</b>", "avons", ".", "</s>")
WORDS = Tokens("Nous avons", LABELS, (), tuple(range(6)), ((0, 0),) * 6, (False,) * 5 + (True,))
LOGPROBS = {
    "no attention": np.log([0.5, 0.1, 0.2, 0.4, 0.8, 1.0]),
    "additive attention": np.log([0.9, 0.9, 0.9, 0.9, 0.9, 0.9]),
}


def rows(chart: alt.LayerChart) -> list[dict]:
    """What is drawn, one entry for each model and word."""
    (found,) = chart.to_dict()["datasets"].values()
    return found


def test_a_line_is_the_geometric_mean_of_a_word_and_its_neighbours():
    values = [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]
    assert smoothed(np.array(values)) == pytest.approx([-1.0, -1.5, -2.0, -3.0, -3.5, -4.0])
    assert smoothed(np.array([-2.0])) == [-2.0]
    drawn = [row for row in rows(expected_words(WORDS, LOGPROBS)) if row["model"] == "no attention"]
    assert [row["one"] for row in drawn] == pytest.approx([0.5, 0.1, 0.2, 0.4, 0.8, 1.0])
    assert drawn[0]["mean"] == pytest.approx(math.exp(np.mean(np.log([0.5, 0.1, 0.2]))))


def test_words_stand_in_their_order_also_where_they_repeat():
    chart = expected_words(WORDS, LOGPROBS)
    places = [row["place"] for row in rows(chart) if row["model"] == "no attention"]
    assert len(set(places)) == len(LABELS) and [place.split(" ", 1)[1] for place in places] == list(LABELS)
    layers = chart.to_dict()["layer"]
    assert all(layer["encoding"]["x"]["sort"] == places for layer in layers)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_it_is_drawn_in_the_page_s_colours_and_escapes_its_words(theme):
    chart = expected_words(WORDS, LOGPROBS, theme=theme)
    svg = vl_convert.vegalite_to_svg(chart.to_json())
    assert theme.background in svg and "&lt;b&gt;avons" in svg and "<b>" not in svg and "NaN" not in svg
    json.loads(chart.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_model_keeps_its_look_whichever_others_are_drawn():
    names = list(LOGPROBS)
    both = expected_words(WORDS, LOGPROBS, names=names).to_dict()["layer"][1]["encoding"]["color"]["scale"]
    alone = {"additive attention": LOGPROBS["additive attention"]}
    one = expected_words(WORDS, alone, names=names).to_dict()["layer"][1]["encoding"]["color"]["scale"]
    assert both["domain"] == names and one["domain"] == names[1:] and one["range"] == both["range"][1:]


@pytest.mark.parametrize(
    ("words", "logprobs", "named"),
    [
        (WORDS, {}, "at least one"),
        (Tokens("", (), (), (), (), ()), {"a": np.zeros(0)}, "at least one"),
        (WORDS, {"a": np.zeros(5)}, "each of 6 words"),
    ],
)
def test_what_cannot_be_drawn_is_named(words, logprobs, named):
    with pytest.raises(ValueError, match=named):
        expected_words(words, logprobs)
