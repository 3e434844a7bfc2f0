"""Labels that a screen can show, whatever the token is."""

from __future__ import annotations

import pytest

from viz.labels import isolate, label_width, markup, shorten, visible


@pytest.mark.parametrize(
    ("label", "shown"), [("cat", "cat"), ("\n", "⏎"), (" ", "␣"), ("  ", "␣␣"), ("", "␣"), ("a\tb", "a⇥b")]
)
def test_visible(label: str, shown: str) -> None:
    assert visible(label) == shown


def test_shorten_cuts_at_the_limit_and_never_inside_a_glyph() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
    assert shorten("abcde\u0301fgh", 6) == "abcd…"  # not "abcde" without its accent
    assert shorten("abcd👩\u200d🚀gh", 6) == "abcd…"  # not half an astronaut


def test_isolate_marks_only_right_to_left_text() -> None:
    assert isolate("été") == "été"
    assert isolate("שלום") == "\u2068שלום\u2069"


def test_markup_escapes_what_plotly_would_read() -> None:
    assert markup("<s>") == "&lt;s&gt;"
    assert markup("$x^2$ & co") == "&#36;x^2&#36; &amp; co"


def test_label_width_counts_what_is_seen() -> None:
    assert label_width("e\u0301", 10) == label_width("e", 10)
    assert label_width("漢", 10) > label_width("e", 10)
