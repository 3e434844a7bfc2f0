"""What the marked texts send to the browser, what they refuse, and what they read back."""

from __future__ import annotations

from typing import Any

import pytest

from viz.components.marks import MarkedText, Role, ink, marks_data, marks_of
from viz.components.packing import unpack
from viz.theme import DARK, HEAD_COLOURS

ROLES = (Role("pronoun", "Pronoun", "#6633ff", "it"), Role("a", "A", "#007833"), Role("b", "B", "#ba8700"))
WORDS = ("The", "street", "was", "wide", ".")
SPACES = (False, True, True, True, False)


def text(**changed: Any) -> MarkedText:
    return MarkedText(**{"name": "Sentence 1", "words": WORDS, "spaces": SPACES, "marks": {"a": (1, 0)}, **changed})


def header(*texts: MarkedText, roles: tuple[Role, ...] = ROLES, **options: Any) -> dict[str, Any]:
    return unpack(marks_data(texts or (text(),), roles, **options))[0]


def test_a_text_travels_with_every_role_that_may_be_marked() -> None:
    sent = header(text(differs=(3, 3), lang="fr"))["texts"]
    assert sent == [
        {
            "name": "Sentence 1",
            "words": list(WORDS),
            "spaces": list(SPACES),
            "marks": {"pronoun": [], "a": [0, 1], "b": []},
            "differs": [3],
            "lang": "fr",
        }
    ]


def test_a_text_may_have_some_of_the_roles_only() -> None:
    assert header(text(roles=("b", "a")))["texts"][0]["marks"] == {"a": [0, 1], "b": []}
    assert header(text(roles=("b",), marks={"a": ()}))["texts"][0]["marks"] == {"b": []}


def test_a_role_without_a_badge_has_its_first_letter() -> None:
    sent = header(roles=(*ROLES, Role("c", "Éclair", "#FFEE00")), theme=DARK, scale=1.5)
    assert [role["badge"] for role in sent["roles"]] == ["it", "A", "B", "É"]
    assert [role["ink"] for role in sent["roles"]] == ["#ffffff", "#ffffff", "#000000", "#000000"]
    assert (sent["theme"]["name"], sent["scale"]) == ("dark", 1.5)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", [*HEAD_COLOURS, *(f"#{grey:02x}{grey:02x}{grey:02x}" for grey in range(0, 256, 5))])
def test_a_badge_can_be_read_on_any_colour(colour: str) -> None:
    low, high = sorted((luminance(colour), luminance(ink(colour))))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_the_start_has_another_name_for_other_words_and_roles_but_not_for_other_marks_or_colours() -> None:
    first = header(start_id="1")["start_id"]
    same = [
        header(text(marks={}), start_id="1"),
        header(text(differs=(1,), name="Another"), start_id="1", theme=DARK, scale=2),
    ]
    others = [
        header(start_id="2"),
        header(text(words=(*WORDS[:4], "!")), start_id="1"),
        header(text(roles=("a",)), start_id="1"),
        header(text(), text(), start_id="1"),
    ]
    assert {sent["start_id"] for sent in same} == {first}
    assert len({first, *(sent["start_id"] for sent in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"marks": {"a": (5,)}}, "Sentence 1: no word 5: there are 5"),
        ({"marks": {"a": (-1,)}}, "no word -1"),
        ({"differs": (5,)}, "no word 5"),
        ({"marks": {"who": ()}}, "no role 'who': there are pronoun, a, b"),
        ({"roles": ("a", "who")}, "no role 'who'"),
        ({"roles": ("b",)}, "role 'a' has words but is not among the text's roles"),
        ({"spaces": SPACES[1:]}, "5 words but 4 spaces"),
        ({"marks": {"a": (1,), "b": (1,)}}, "a word is marked twice"),
    ],
)
def test_a_text_that_cannot_be(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        marks_data((text(**changed),), ROLES)


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ((), "roles: give at least one"),
        ((*ROLES, Role("a", "Again", "#000000")), "each its own id"),
        ((Role("a", "A", "red"),), "colour 'red': write it as #rrggbb"),
        ((Role("a", "A", "#00ff00; x: y"),), "write it as #rrggbb"),
        ((Role("a", "A", "#007833", "first"),), "badge 'first': at most 4 characters"),
    ],
)
def test_roles_that_cannot_be(roles: tuple[Role, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        marks_data((text(marks={}),), roles)


def test_no_text_at_all() -> None:
    with pytest.raises(ValueError, match="texts: give at least one"):
        marks_data((), ROLES)


def test_what_the_browser_sends_is_read() -> None:
    sent = {"texts": [{"a": [1, 2], "b": []}, {"a": [0.0]}], "start_id": "x"}
    assert marks_of(sent) == ({"a": (1, 2), "b": ()}, {"a": (0,)})
