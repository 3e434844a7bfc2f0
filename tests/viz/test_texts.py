"""Small pieces of HTML by what a reader sees of them; that they parse as XML shows that all text is escaped."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from viz import DARK, LIGHT, small_table, text_change

HOSTILE = ('<script>alert("x")</script>', "\"'><img src=x onerror=alert(1)>", "a & b &amp; c", "</p></table>", "$x$")
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12)


def parsed(table: str) -> tuple[str, list[str], list[list[str]]]:
    """Caption, headings and rows."""
    root = ElementTree.fromstring(f"<div>{table}</div>")
    caption = root[0].text or "" if root[0].tag == "div" else ""
    head, body = root[-1]
    return caption, [cell.text or "" for cell in head[0]], [[cell.text or "" for cell in row] for row in body]


def parts(paragraph: str) -> list[tuple[str, str]]:
    """The paragraph as ("", text), ("del", text), ("ins", text) and ("span", note), without the spaces between."""
    root = ElementTree.fromstring(paragraph)
    assert root.tag == "p"
    found = [("", root.text or "")]
    for child in root:
        found += [(child.tag, child.text or ""), ("", child.tail or "")]
    return [(tag, text.strip()) for tag, text in found if text.strip()]


# --- Tables -----------------------------------------------------------------------------------------------------------

HEADINGS = ("sentence", "il", "elle")
ROWS = (("1", "80.0%", "10.0%"), ("2", "15.0%", "70.0%"))


def test_a_table() -> None:
    found = small_table(HEADINGS, ROWS, caption="After “car”")
    assert parsed(found) == ("After “car”", [*HEADINGS], [[*row] for row in ROWS])


def test_headings_are_headings() -> None:
    """A screen reader says them with each number."""
    table = ElementTree.fromstring(small_table(HEADINGS, ROWS))
    head, body = table
    assert [(cell.tag, cell.get("scope")) for cell in head[0]] == [("th", "col")] * 3
    assert [[(cell.tag, cell.get("scope")) for cell in row] for row in body] == [
        [("th", "row"), ("td", None), ("td", None)]
    ] * 2
    sides = [["text-align:right" in (cell.get("style") or "") for cell in row] for row in (*head, *body)]
    assert sides == [[False, True, True]] * 3  # numbers are flush right under their headings
    assert all("font-weight:normal" in (row[0].get("style") or "") for row in body)


def test_without_rows_and_without_a_caption() -> None:
    assert parsed(small_table(HEADINGS, [])) == ("", [*HEADINGS], [])
    assert small_table(HEADINGS, ROWS).startswith("<table")
    assert parsed(small_table(["only"], [["a"], [""]])) == ("", ["only"], [["a"], [""]])


@pytest.mark.parametrize("text", [*HOSTILE, 'x style="color:red"'])
def test_hostile_cells_stay_text(text: str) -> None:
    found = small_table([text, text], [[text, text]], caption=text)
    assert parsed(found) == (text, [text, text], [[text, text]])
    assert "<script" not in found and "<img" not in found


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), TEXT)
def test_any_text_is_read_back(row: list[str], caption: str) -> None:
    assert parsed(small_table(row, [row, row], caption=caption)) == (caption, row, [row, row])


@pytest.mark.parametrize("row", [(), ("1",), ("1", "2"), ("1", "2", "3", "4")])
def test_rows_of_another_length(row: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="give 3 cells in each, one for each heading"):
        small_table(HEADINGS, [*ROWS, row])


def test_a_table_in_the_dark() -> None:
    found = small_table(HEADINGS, ROWS, caption="c", theme=DARK)
    assert DARK.text in found and DARK.muted in found and LIGHT.text not in found


# --- Changes ----------------------------------------------------------------------------------------------------------

BEFORE = "L'animal n'a pas traversé car il était fatigué."


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (BEFORE, BEFORE, [("", BEFORE), ("span", "(unchanged)")]),
        ("a b c", "a x c", [("", "a"), ("del", "b"), ("ins", "x"), ("", "c")]),
        ("a c", "a b c", [("", "a"), ("ins", "b"), ("", "c")]),
        ("a b c", "a c", [("", "a"), ("del", "b"), ("", "c")]),
        ("a b c", "x y", [("del", "a b c"), ("ins", "x y")]),
        ("a b", "", [("del", "a b")]),
        ("", "a b", [("ins", "a b")]),
        ("", "", [("span", "(unchanged)")]),
        ("a  b", "a b", [("", "a b")]),  # only spaces differ: no word is new
        ("il est", "Il est", [("del", "il"), ("ins", "Il"), ("", "est")]),
    ],
)
def test_new_words_and_words_that_went(before: str, after: str, shown: list[tuple[str, str]]) -> None:
    assert parts(text_change(before, after)) == shown


def test_long_texts_are_compared_word_by_word() -> None:
    """A word that is frequent counts like any other: difflib's guess at junk, from 200 words on, is off."""
    words = ["le"] * 250
    shown = parts(text_change(" ".join(words), " ".join(["chat", *words])))
    assert shown == [("ins", "chat"), ("", " ".join(words))]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    for before, after in ((text, text), ("old", text), (text, "new")):
        found = text_change(before, after)
        assert "<script" not in found and "<img" not in found
        assert text in {shown for _, shown in parts(found)}


WORDS = st.lists(st.sampled_from(["il", "elle", "est", "<b>", "&"]), max_size=8).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS)
def test_both_texts_can_be_read_from_the_change(before: str, after: str) -> None:
    shown = [part for part in parts(text_change(before, after)) if part[0] != "span"]
    assert " ".join(text for tag, text in shown if tag != "ins") == before
    assert " ".join(text for tag, text in shown if tag != "del") == after


def test_language_direction_and_theme() -> None:
    root = ElementTree.fromstring(text_change("a", "b", lang="fr", theme=DARK))
    assert (root.get("lang"), root.get("dir")) == ("fr", "auto")
    gone, new = root
    assert DARK.muted in (gone.get("style") or "") and DARK.accent in (new.get("style") or "")
    assert "bold" in (new.get("style") or "") and DARK.text in (root.get("style") or "")
    hostile = ElementTree.fromstring(text_change("a", "a", lang='"><script>'))
    assert hostile.get("lang") == '"><script>' and hostile.find(".//script") is None
