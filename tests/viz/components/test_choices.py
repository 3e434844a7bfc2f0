"""What the rows of possible tokens send to the browser, how numbers are written, what is refused and read back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from viz.components.choices import REACHES, ChoiceRow, Columns, choices_data, percentage
from viz.components.inline import FOLDER, script
from viz.components.packing import unpack
from viz.theme import DARK

ROWS = (
    ChoiceRow("the", " the", 0.234, 0.4, 1203),
    ChoiceRow("\n", "\n", 0.1, 0.2, 44),
    ChoiceRow("</s>", "", 0.00001, 0.0, 0),
)


def header(rows: Any = ROWS, **options: Any) -> dict[str, Any]:
    return unpack(choices_data(rows, **options))[0]


def test_rows_travel_as_they_are_shown() -> None:
    sent = header(chosen=1, total="3 of 6,144", places=5, theme=DARK, scale=2, columns=Columns(before="p", count="n"))
    assert [row["shown"] for row in sent["rows"]] == ["␣the", "⏎", "</s>"]
    assert [row["before"] for row in sent["rows"]] == ["23.4 %", "10.0 %", "<0.01 %"]
    assert [row["after"] for row in sent["rows"]] == ["40.0 %", "20.0 %", "cut"]
    assert [row["count"] for row in sent["rows"]] == ["1,203", "44", "0"]
    assert [row["bars"] for row in sent["rows"]] == [[0.468, 0.8], [0.2, 0.4], [0.00002, 0.0]]  # of 50 %
    assert sent["reach"] == "50 %" and sent["columns"]["before"] == "p"
    told = {name: sent[name] for name in ("chosen", "total", "places", "scale")}
    assert told == {"chosen": 1, "total": "3 of 6,144", "places": 5, "scale": 2}
    assert sent["shows"] == {"after": True, "count": True}


def test_candidates_have_one_probability() -> None:
    sent = header((ChoiceRow("road", "road", 0.7), ChoiceRow("way", "way", 0.004)))
    assert sent["shows"] == {"after": False, "count": False}
    assert [(row["after"], row["count"], row["bars"]) for row in sent["rows"]] == [
        ("", "", [0.7]),
        ("", "", [0.004]),
    ]


def test_spaces_at_the_ends_and_line_breaks_are_signs() -> None:
    texts = [" ", "  a b ", "\n\n", "a\nb", "\t", "<b>"]
    shown = [row["shown"] for row in header([ChoiceRow("", text, 0.1) for text in texts])["rows"]]
    assert shown == ["␣", "␣␣a b␣", "⏎⏎", "a⏎b", "⇥", "<b>"]


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0, "0 %"),
        (1e-9, "<0.01 %"),
        (0.00004, "<0.01 %"),
        (0.00006, "0.01 %"),
        (0.0012, "0.12 %"),
        (0.009949, "0.99 %"),
        (0.00996, "1.0 %"),
        (0.234, "23.4 %"),
        (0.9994, "99.9 %"),
        (0.9996, ">99.9 %"),
        (1, "100 %"),
    ],
)
def test_percentages(probability: float, text: str) -> None:
    assert percentage(probability) == text


def test_a_whole_bar_is_the_least_that_holds_all() -> None:
    for largest, reach in ((0.009, 0.01), (0.2, 0.2), (0.21, 0.5), (0.51, 1.0), (1.0, 1.0)):
        assert header([ChoiceRow("a", "a", 0.001, largest)])["reach"] == percentage(reach, whole=True)
    assert header([ChoiceRow("a", "a", 0.5)], reach=0.25)["rows"][0]["bars"] == [1.0]  # never beyond its room
    assert header(())["reach"] == "100 %" and header(())["rows"] == []
    assert [percentage(reach, whole=True) for reach in REACHES[:4]] == ["1 %", "2 %", "5 %", "10 %"]


def test_a_sum_of_softmax_terms_may_end_a_little_above_one() -> None:
    assert header([ChoiceRow("a", "a", 1.00001)])["rows"][0]["before"] == "100 %"


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        ({"before": 1.1}, {}, r"the: before 1.1 is outside \[0, 1\]: give a probability"),
        ({"after": -0.1}, {}, "the: after -0.1 is outside"),
        ({"before": float("nan")}, {}, "before nan is outside"),
        ({"count": -1}, {}, "the: count -1: give 0 or more"),
        ({}, {"chosen": 1}, "chosen: no row 1: there are 1"),
        ({}, {"reach": 0}, "reach 0: choose a probability above 0"),
    ],
)
def test_rows_that_cannot_be(row: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choices_data([ChoiceRow(**{"label": "the", "text": " the", "before": 0.5, **row})], **options)


def test_the_start_has_another_name_for_other_tokens_but_not_for_other_probabilities() -> None:
    first = header(start_id="1")["start_id"]
    same = [ChoiceRow(row.label, row.text, 0.5) for row in ROWS]
    assert header(same, start_id="1", theme=DARK)["start_id"] == first
    assert len({first, header(start_id="2")["start_id"], header(ROWS[:2], start_id="1")["start_id"]}) == 3


def a_page() -> None:
    from types import SimpleNamespace

    import streamlit as st

    from viz.components.choices import ChoiceRow, choices, choices_data, taken_in

    st.text(f"{choices(choices_data([ChoiceRow('a', 'a', 0.5)]), key='mounted')}")
    answers = []
    for taken in (1, 0.0, 2, -1, 0.5, True, "0", None):
        st.session_state["rows"] = SimpleNamespace(taken={"taken": taken, "start": "here", "nonce": 5})
        answers.append(taken_in("rows", 2, start_id="here"))
    st.text(f"{answers}")
    st.session_state["rows"] = SimpleNamespace(taken={"taken": 1, "start": "there"})
    st.text(f"{taken_in('rows', 2, start_id='here')} {taken_in('never mounted', 2)}")


def test_what_the_browser_sends_is_read_and_doubted() -> None:
    page = AppTest.from_function(a_page, default_timeout=60).run()
    assert not page.exception
    assert [one.value for one in page.text] == ["None", str([1, 0, *[None] * 6]), "None None"]


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = (FOLDER / "choices" / "index.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?:", own)
    assert script("choices").count("export default") == 1
