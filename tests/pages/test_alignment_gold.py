"""Sentences with gold links on the Alignment page: those that ship and those of a reader's own file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamlit as st

from engine.gold_links import shipped_pairs
from pages import _align_gold
from pages._align import EXAMPLES, TEXT_ASKED
from tests.pages.alignment_page import (
    BLIND,
    DOT,
    TEXT,
    THREE,
    address_of,
    asked,
    click,
    identities,
    names,
    opened,
    received,
    rows,
    said,
    sound,
    uploaded,
    weights,
)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def test_a_sentence_with_gold_links_is_shown_in_its_words_on_every_panel() -> None:
    pair = shipped_pairs()[0]
    page = opened(text=TEXT, models=THREE, row="2")
    page = sound(page.button(key="align pair 0").click().run())
    header, _ = received(page)
    assert [token["label"] for token in header["source"]] == list(pair.source)
    assert rows(page) == [list(pair.target)] * 3 and header["same_rows"]
    assert header["gold"]["sure"] == sorted(map(list, pair.sure))
    assert header["gold"]["possible"] == sorted(map(list, pair.possible - pair.sure))
    assert header["start"]["row"] is None
    linked = len({target for _, target in pair.possible})
    details = [panel["detail"] for panel in header["panels"]]
    for found, detail in zip(weights(page).values(), details[1:], strict=True):
        best = found.argmax(axis=1)
        right = sum((int(best[t]), t) in pair.possible for t in range(len(pair.target)))
        assert abs(int(detail.split()[0]) - right) <= 1  # 16 bits may order two words otherwise
        assert f"of {linked} linked words" in detail
    assert details[0] == "" and "Gold links are outlined" in said(page.caption)
    assert address_of(page) == {"models": identities(THREE), "pair": "1"}
    assert not [one for one in page.segmented_control if one.key in ("alignment outputs", "alignment tokens")]


@pytest.mark.parametrize("leave", ["typing", "an example"])
def test_another_text_leaves_the_gold_links(leave: str) -> None:
    page = sound(opened(pair="2", models=THREE))
    assert received(page)[0]["gold"] is not None
    page = asked(page, TEXT) if leave == "typing" else click(page, next(iter(EXAMPLES)))
    assert received(sound(page))[0]["gold"] is None
    assert "pair" not in address_of(page) and address_of(page)["text"] in (TEXT, TEXT_ASKED)


def test_asking_for_the_same_sentence_again_keeps_the_gold_links() -> None:
    page = sound(opened(pair="1", models=THREE))
    page = asked(page, page.text_input(key="align box").value or "")
    assert received(sound(page))[0]["gold"] is not None and address_of(page)["pair"] == "1"


@pytest.mark.parametrize("number", range(len(shipped_pairs())))
def test_every_shipped_pair_opens(number: int) -> None:
    page = sound(opened(pair=str(number + 1), models=f"{BLIND}_{DOT}"))
    assert rows(page) == [list(shipped_pairs()[number].target)] * 2


def test_pairs_of_one_s_own_are_uploaded_opened_and_left() -> None:
    page = uploaded(opened(text=TEXT, models=THREE), b"The cat sleeps .\tLe chat <b>dort</b> .\t0-0 1-1 2p2 3-3\n")
    page = sound(click(sound(page), "The cat sleeps."))
    header, _ = received(page)
    assert rows(page) == [["Le", "chat", "<b>dort</b>", "."]] * 3
    assert header["gold"] == {"sure": [[0, 0], [1, 1], [3, 3]], "possible": [[2, 2]]}
    assert "Gold links are outlined" in said(page.caption)
    again = opened(**address_of(page))  # its words and links are in the address
    assert received(sound(again))[0]["gold"] == header["gold"] and rows(again) == rows(page)
    page = sound(asked(page, TEXT))
    assert received(page)[0]["gold"] is None
    page = sound(asked(page, "The cat sleeps."))  # typed, it is a sentence like any other
    assert received(page)[0]["gold"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b\tc d\n", "2 columns instead of 3"),
        (b"a b\tc d\t0-9\n", "names target word 9"),
        (b"a b\tc d\t<b>\n", "'<b>' is no link"),
        (b"", "There is no pair in this file"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
    ],
)
def test_a_file_without_pairs_is_answered_with_what_to_do(content: bytes, message: str) -> None:
    page = uploaded(opened(text=TEXT, models=THREE), content)
    assert not page.exception and message in said(page.error) and len(names(page)) == 3
    sound(page.run())  # said once


def test_a_pair_that_a_model_cannot_take_says_so_and_can_be_left() -> None:
    long = " ".join(["word"] * 100)
    page = uploaded(opened(text=TEXT, models=THREE), f"{long}\t日 本\t0-0\n".encode())
    page = sound(page).button(key="align own 0").click().run()
    assert not page.exception and page.error and not names(page)
    assert len(names(sound(asked(page, TEXT)))) == 3


def test_the_menu_of_pairs_explains_the_file_with_an_example_that_works() -> None:
    page = uploaded(opened(text=TEXT, models=DOT), _align_gold.EXAMPLE.encode())
    page = sound(page).button(key="align own 0").click().run()
    assert received(sound(page))[0]["gold"] == {"sure": [[0, 0], [1, 2], [2, 1]], "possible": []}
