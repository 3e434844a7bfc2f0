"""What the box for typing sends to the browser, what it refuses, and what it reads back."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from viz.components.inline import FOLDER, script
from viz.components.packing import unpack
from viz.components.typing_along import (
    LIMIT,
    SHOWN,
    Rest,
    Typed,
    typing_data,
)
from viz.influence import INFLUENCE_COLOURS
from viz.theme import DARK

WORDS = (("the", 0.5), ("they", 0.25), ("this", 0.125))


def rest(text: str = " of th", influence: Any = None, **changed: Any) -> Rest:
    values = np.linspace(0, 1, len(text)) if influence is None else np.array(influence)
    parts = {"name": "GRU", "suggestions": WORDS, "start": len(text) - 2, **changed}
    return Rest(text=text, influence=values.astype(np.float32), **parts)


def sent(*rests: Rest, typed: Typed | None = None, **options: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(typing_data(rests, typed or Typed("of th", 3), **options))


def test_an_answer_travels_whole() -> None:
    header, _ = sent(
        rest(), rest(name="LSTM", suggestions=()), changes=("é → e",), limit=90, theme=DARK, scale=1.5, start_id="a"
    )
    assert [header[name] for name in ("text", "serial", "changes", "limit", "start_id", "scale")] == [
        "of th",
        3,
        ["é → e"],
        90,
        "a",
        1.5,
    ]
    assert header["theme"]["name"] == "dark"
    assert header["networks"] == [
        {"name": "GRU", "suggestions": [list(word) for word in WORDS], "text": " of th", "start": 4, "cut": False},
        {"name": "LSTM", "suggestions": [], "text": " of th", "start": 4, "cut": False},
    ]


def test_influence_is_drawn_on_viridis_from_029_to_two_thirds() -> None:
    assert (INFLUENCE_COLOURS[0], INFLUENCE_COLOURS[-1]) == ("#365d8d", "#35b779")  # numbers 74 and 170 of 256
    assert len(INFLUENCE_COLOURS) == 170 - 74 + 1
    _, arrays = sent(rest(influence=[0, 0.5, 1, 0.25, 0, 0]), rest(influence=[0, 0.1, 0.2, 0.05, 0, 0]))
    # floor(256 (0.29 + r (2/3 − 0.29))) − 74 for r = 0, 1/2, 1, 1/4; each row against its own largest
    row = [0, 48, 96, 24, 0, 0]
    assert arrays["shades"].tolist() == row + row
    assert sent(rest(influence=[0.0] * 6))[1]["shades"].tolist() == [0] * 6
    assert sent()[1]["shades"].size == 0
    assert sent(rest(text="", start=0))[1]["shades"].size == 0


def test_of_a_long_text_the_end_is_shown() -> None:
    text = " abc" * 50
    influence = np.zeros(200)
    influence[0], influence[-1] = 1.0, 0.5  # the largest is out of sight, and still what the others are divided by
    header, arrays = sent(rest(text=text, influence=influence, start=197))
    (network,) = header["networks"]
    assert network["text"] == text[-SHOWN:] and network["cut"]
    assert network["text"][network["start"] :] == "abc"
    assert arrays["shades"].tolist() == [0] * (SHOWN - 1) + [48]
    (network,) = sent(rest(text="a" * 100, start=0))[0]["networks"]
    assert network["start"] == 0  # all that is seen is the word
    assert not sent(rest(text="a" * SHOWN, start=0))[0]["networks"][0]["cut"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"suggestions": (*WORDS, ("that", 0.1))}, "GRU: 4 suggestions: give at most 3"),
        ({"suggestions": (("the", 1.01),)}, "probability is outside"),
        ({"suggestions": (("the", float("nan")),)}, "probability is outside"),
        ({"influence": [0.0] * 5}, r"influence \(5,\) for 6 characters"),
        ({"influence": [[0.0] * 6]}, "one number for each"),
        ({"influence": [0, 0, 0, 0, 0, 1.5]}, "influence is outside"),
        ({"influence": [0, 0, 0, 0, 0, -0.1]}, "influence is outside"),
        ({"influence": [0, 0, 0, 0, 0, float("nan")]}, "influence is outside"),
        ({"start": 7}, "start 7: there are 6 characters"),
        ({"start": -1}, "start -1"),
    ],
)
def test_an_answer_that_cannot_be(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rest(**changed)


def test_a_word_not_yet_begun_starts_at_the_end() -> None:
    assert sent(rest(text=" of ", start=4))[0]["networks"][0]["start"] == 4


def test_a_box_has_room() -> None:
    with pytest.raises(ValueError, match="limit 0: give the box room"):
        sent(limit=0)
    assert sent(typed=Typed("abcdef"), limit=4)[0]["text"] == "abcd"


def test_what_the_browser_sends_is_read() -> None:
    assert Typed.of({"text": "of th", "serial": 7, "start_id": "x"}) == Typed("of th", 7)
    assert Typed.of({"text": "", "serial": 2.0}) == Typed("", 2)
    assert Typed.of({"text": "a" * (LIMIT + 1), "serial": 0}).text == "a" * LIMIT
    assert Typed.of({"text": "abc", "serial": 0}, limit=2).text == "ab"
    assert Typed.of({"text": "\ud83d x 👩", "serial": 0}).text == "? x 👩"  # half an emoji


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": None, "serial": 1},
        {"text": ["a"], "serial": 1},
        {"text": 5, "serial": 1},
        {"text": "a"},
        {"text": "a", "serial": "1"},
        {"text": "a", "serial": True},
        {"text": "a", "serial": -1},
        {"text": "a", "serial": 1.5},
        {"text": "a", "serial": float("nan")},
        {"text": "a", "serial": float("inf")},
    ],
)
def test_what_no_box_sends_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the box sends"):
        Typed.of(values)


def a_page() -> None:
    import streamlit as st

    from viz.components.typing_along import Typed, typed_in, typing_along, typing_data

    before = typed_in("box", start_id="one")
    made = typing_along(typing_data((), before or Typed("example"), start_id="one"), key="box")
    st.text(f"{before} {made}")


def test_a_page_opens_before_anything_is_typed() -> None:
    page = AppTest.from_function(a_page, default_timeout=60).run()
    assert not page.exception
    assert page.text[0].value == "None None"
    assert [one.proto.component_name for one in page.main if one.type == "bidi_component"] == ["saccade_typing_along"]


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = (FOLDER / "typing_along" / "index.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?://", own)
    assert script("typing_along").count("export default") == 1
    assert json.dumps(INFLUENCE_COLOURS[0]) == json.dumps(
        re.search(r"--strip: (#\w{6})", (FOLDER / "typing_along" / "style.css").read_text("utf-8"))[1]  # type: ignore[index]
    )
