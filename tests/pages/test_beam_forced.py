"""Forced beginnings on the Beam search page: from a node, a token and a beginning of one's own, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.decoding.tree import SearchRequest
from tests.pages.beam_page import (
    TEXT,
    a_beginning,
    a_token,
    address_of,
    chosen,
    click,
    count_searches,
    drawn,
    found,
    ids,
    opened,
    said,
    sound,
    titles,
)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[SearchRequest]:
    """Every request that was really searched."""
    return count_searches(monkeypatch)


def test_after_the_end_nothing_follows_and_nothing_is_forced() -> None:
    page = sound(opened(text=TEXT, node=str(found().hypotheses[0].node + 1)))
    assert "Nothing follows" in said(page.markdown) and not page.get("vega_lite_chart")
    assert next(button for button in page.button if button.label == "Force this beginning").disabled


def test_a_node_a_token_and_a_beginning_are_forced_and_undone(runs: list[SearchRequest]) -> None:
    page = opened(text=TEXT, node="1")
    first = found().nodes[0]
    sound(click(page, "Force this beginning"))
    assert runs[-1].prefix == (first.token,) and len(titles(page)) == 2
    assert address_of(page) | {"forced": str(first.token), "tree": "2", "node": "1"} == address_of(page)
    expected = found((first.token,))
    assert drawn(page)[0]["trees"][1]["hypotheses"][0]["text"] == expected.hypotheses[0].text
    sound(a_token(page, "adore"))
    assert runs[-1].prefix[0] == first.token and len(runs[-1].prefix) == 2 and len(titles(page)) == 3
    sound(a_beginning(page, "Nous"))
    assert titles(page)[3].endswith("forced to begin “Nous”")
    assert drawn(page)[0]["start"]["node"] == [3, len(runs[-1].prefix) - 1]
    count = len(runs)
    for left in (3, 2, 1):
        assert "model" in address_of(sound(chosen(page, tree=0, node=0)))
        assert len(titles(sound(click(page, "Undo")))) == left
    assert "forced" not in address_of(page) and len(runs) == count


def test_forcing_the_same_again_chooses_its_tree() -> None:
    page = opened(text=TEXT, node="1", forced=f"{ids('Nous')}_{ids('Je')}")
    a_beginning(page, "Nous")
    assert len(titles(sound(page))) == 3 and address_of(page)["tree"] == "2"


@pytest.mark.parametrize(
    ("form", "text", "message"),
    [
        (a_token, "anticonstitutionnellement", "is no single token after"),
        (a_token, "日", "knows none of these characters"),
        (a_token, "<b>", "is no single token after"),
        (a_token, "", "Type a token"),
        (a_token, " \u200b", "Type a token"),
        (a_beginning, "日本語", "knows none of these characters"),
        (a_beginning, "Je 日 <b>**x**</b>", "cannot make “日”"),
        (a_beginning, "", "There is no text yet"),
    ],
)
def test_what_cannot_be_forced_is_refused_with_a_reason(
    form: Callable[[AppTest, str], AppTest], text: str, message: str, runs: list[SearchRequest]
) -> None:
    page = form(opened(text=TEXT, node="1"), text)
    assert not page.exception and message in said(page.error)
    assert len(titles(page)) == 1 and len(runs) == 1 and "forced" not in address_of(page)


def test_a_beginning_longer_than_the_output_may_be_is_left_out() -> None:
    page = opened(text=TEXT, length="4", node="1")
    a_beginning(page, "Je t'aime et je t'aime encore.")
    assert not page.exception and "Choose a higher limit, or force less" in said(page.error)
    assert len(titles(page)) == 1 and "forced" not in address_of(page)
    sound(a_beginning(chosen(page, node=0), "Nous"))


def test_a_beginning_that_is_left_out_does_not_shift_the_others() -> None:
    page = opened(text=TEXT, forced=f"99999_{ids('Nous')}", tree="3", node="1")
    assert not page.exception and titles(page)[1].endswith("“Nous”")
    a_beginning(chosen(page, tree=0, node=0), "Je")
    assert drawn(sound(page))[0]["start"]["node"][0] == 2 and len(titles(page)) == 3
