"""What the shaded text sends to the browser, which colour a value has, what is refused, and what is read back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from viz.components.inline import FOLDER, script
from viz.components.packing import unpack
from viz.components.shaded import SPECIAL, shaded_data
from viz.components.shaded.shades import LEVELS, UNKNOWN, legend_ticks, levels, limits_of, number, shade_colours
from viz.theme import DARK, LIGHT, THEMES

LABELS = ("[CLS]", "The", "street", ".", "\n")
TEXTS = ("", "The", " street", ".", "\n")
VALUES = (np.nan, 0.0, 8.0, 2.0, 16.0)


def sent(*args: Any, **options: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(shaded_data(*(args or (LABELS, TEXTS, VALUES)), **options))


def test_a_text_travels_as_it_is_written() -> None:
    header, arrays = sent(
        legend="surprise (bits)",
        titles=("a", "b", "", "d", "e"),
        groups=(SPECIAL, 0, 0, 1, 1),
        group_names=("A", "B"),
        pressed=(3, 1, 3),
        mode="toggle",
        blank="[MASK]",
        reveal=False,
        theme=DARK,
        scale=1.5,
    )
    assert (header["labels"], header["texts"]) == (list(LABELS), list(TEXTS))
    assert header["titles"] == ["a", "b", "", "d", "e"]
    assert (header["groups"], header["group_names"]) == ([-1, 0, 0, 1, 1], ["A", "B"])
    assert len(set(header["group_colours"])) == 2
    assert (header["pressed"], header["mode"], header["scale"]) == ([1, 3], "toggle", 1.5)
    assert header["blank"] == {"label": "[MASK]", "colour": DARK.mask, "ink": "#ffffff", "reveal": False}
    assert header["legend"] == {"title": "surprise (bits)", "ticks": ["0", "8", "16"], "unknown": True}
    np.testing.assert_array_equal(arrays["values"], np.array(VALUES, np.float32))
    assert arrays["levels"].tolist() == [UNKNOWN, 0, LEVELS // 2, LEVELS // 8, LEVELS]


def test_a_text_without_values_has_no_shades() -> None:
    header, arrays = sent(LABELS, TEXTS)
    assert header["legend"] is None and "shades" not in header and arrays == {}
    assert sent((), (), ())[0]["texts"] == []


def test_diverging_colours_have_the_page_in_the_middle() -> None:
    _, arrays = sent("abc", "abc", (-1.0, 0.0, 4.0), colours="diverging")
    assert arrays["levels"].tolist() == [LEVELS * 3 // 8, LEVELS // 2, LEVELS]  # −1 of ±4
    for theme in THEMES.values():
        colours = shade_colours(theme, "diverging")
        assert (colours[0], colours[LEVELS // 2], colours[-1]) == (
            theme.diverging[0],
            theme.background,
            theme.diverging[-1],
        )


def test_colours_are_mixed_between_the_themes() -> None:
    colours = shade_colours(LIGHT, "sequential")
    assert (colours[0], colours[LEVELS // 2], colours[-1]) == ("#ffffff", "#5b9edb", "#08285c")
    # level 16 of 64 is place 1.5 of 6: halfway between #d3e5f7 and #9cc6ec
    assert colours[16] in ("#b8d6f2", "#b8d5f1", "#b8d6f1", "#b8d5f2")
    assert len(colours) == LEVELS + 1


def test_limits_follow_the_values_or_are_given() -> None:
    values = np.array([np.nan, np.inf, 3.0, -1.0])
    assert limits_of(values, "sequential", None) == (-1.0, 3.0)
    assert limits_of(values, "diverging", None) == (-3.0, 3.0)
    assert limits_of(values, "diverging", (-5, 2)) == (-5.0, 5.0)
    assert limits_of(np.zeros(3), "sequential", None) == (0.0, 1.0)
    assert limits_of(np.array([]), "diverging", None) == (-1.0, 1.0)


def test_values_beyond_the_limits_have_the_ends_colours_and_the_legend_says_so() -> None:
    values = np.array([-2.0, np.inf, 5.0, np.nan])
    assert levels(values, (0.0, 10.0)).tolist() == [0, LEVELS, LEVELS // 2, UNKNOWN]
    assert legend_ticks(values, (0.0, 10.0)) == ("≤ 0", "5", "≥ 10")
    assert legend_ticks(np.array([0.0, np.nan, 10.0]), (0.0, 10.0)) == ("0", "5", "10")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-2.236, "−2.24"), (12.5, "12.5"), (1234.5, "1,234"), (0.05, "0.05")]
)
def test_numbers_of_the_legend(value: float, text: str) -> None:
    assert number(value) == text


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("colours", ["sequential", "diverging"])
def test_text_can_be_read_on_every_shade(theme: Any, colours: Any) -> None:
    header, _ = sent(LABELS, TEXTS, VALUES, theme=theme, colours=colours)
    assert len(header["shades"]) == LEVELS + 1
    pairs = [*header["shades"], (header["blank"]["colour"], header["blank"]["ink"]), (theme.background, theme.muted)]
    assert min(contrast(colour, ink) for colour, ink in pairs) >= 4.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": LABELS[1:]}, "4 labels for 5 texts: give one for each"),
        ({"titles": ("a",)}, "1 titles for 5 texts"),
        ({"groups": (0,)}, "1 groups for 5 texts"),
        ({"values": (1.0,)}, r"values \(1,\) for 5 texts"),
        ({"pressed": (5,)}, "pressed: no token 5: there are 5"),
        ({"pressed": (-1,)}, "no token -1"),
        ({"groups": (-2, 0, 0, 0, 0)}, "group -2: groups count from 0, and -1 is special"),
        ({"groups": (0, 0, 1, 0, 0), "group_names": ("A",)}, "group 1 has no name: 1 group names"),
        ({"mode": "press"}, "mode 'press': choose one of look, pick, toggle"),
        ({"colours": "viridis"}, "colours 'viridis': choose one of sequential, diverging"),
        ({"limits": (2, 2)}, r"limits \(2, 2\): give two numbers, the lower one first"),
        ({"limits": (0, float("nan"))}, "the lower one first"),
    ],
)
def test_a_text_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shaded_data(**{"labels": LABELS, "texts": TEXTS, "values": VALUES, **options})


def test_the_start_has_another_name_for_other_texts_but_not_for_other_values() -> None:
    first = sent(start_id="1")[0]["start_id"]
    assert sent(LABELS, TEXTS, start_id="1", pressed=(1,), theme=DARK)[0]["start_id"] == first
    others = [sent(start_id="2"), sent(LABELS, (*TEXTS[:4], "!"), start_id="1")]
    assert first not in [header["start_id"] for header, _ in others]


def test_five_thousand_tokens_are_small() -> None:
    texts = [f" word{n}" for n in range(5000)]
    titles = [f"“word{n}”: 12.34 bits, read after word{n - 1}" for n in range(5000)]
    assert len(shaded_data(texts, texts, np.ones(5000), titles=titles)) < 500_000


def a_page() -> None:
    from types import SimpleNamespace

    import streamlit as st

    from viz.components.packing import unpack
    from viz.components.shaded import picked_in, pressed_in, shaded, shaded_data

    texts = ("a", " b", " c")
    made = shaded(shaded_data(texts, texts, mode="toggle"), key="mounted")
    st.text(f"{made}")
    one, two = (unpack(shaded_data(texts, texts, start_id=start))[0]["start_id"] for start in "12")
    state = st.session_state

    def pressed(given: object, asked: str = "1") -> object:
        state["text"] = SimpleNamespace(picked=given, pressed=given)
        return pressed_in("text", texts, start_id=asked)

    answers = [pressed(None), pressed({"pressed": [2, 0.0], "start_id": one})]
    answers += [pressed({"pressed": [2, 0], "start_id": one, "at": 1}, "2")]  # another start: nothing pressed there yet
    answers += [pressed({"pressed": [2, 0], "start_id": one, "at": 1})]  # back: Python's own tokens again
    answers += [pressed({"pressed": [1], "start_id": one, "at": 2}), pressed({"pressed": [], "start_id": one, "at": 3})]
    st.text(f"{answers}")
    wrong = [3, -1, 0.5, True, "0", None]
    st.text(f"{[pressed({'pressed': [token], 'start_id': one}) for token in wrong] + [pressed(7), pressed('x')]}")
    picks = []
    for given in ({"picked": 1, "start_id": one}, {"picked": 1, "start_id": two}, {"picked": 3, "start_id": one}, None):
        state["text"] = SimpleNamespace(picked=given)
        picks.append(picked_in("text", texts, start_id="1"))
    st.text(f"{picks}")


def test_what_the_browser_sends_is_read_and_doubted() -> None:
    page = AppTest.from_function(a_page, default_timeout=60).run()
    assert not page.exception
    assert [one.value for one in page.text] == [
        "Clicked(picked=None, pressed=None)",
        "[None, (0, 2), None, None, (1,), ()]",
        str([None] * 8),
        "[1, None, None, None]",
    ]


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = "".join(path.read_text("utf-8") for path in sorted((FOLDER / "shaded").glob("*.js")))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?:", own)
    assert script("shaded").count("export default") == 1
