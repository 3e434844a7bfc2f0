"""The Alignment page's view: its address and request file, both ways, and what of them is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from urllib.parse import parse_qsl, urlencode

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some

from engine.catalogue import MODELS
from engine.gold_links import shipped_pairs
from pages import _address, _align
from pages._align import TEXT_ASKED, AlignView, name_of
from tests.pages.addresses import assert_what_is_refused_is_named
from tests.pages.alignment_page import (
    CODEC,
    DOT,
    SECTIONS,
    TEXT,
    THREE,
    address_of,
    asked,
    identities,
    names,
    opened,
    received,
    said,
    sound,
    uploaded,
    view,
)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=40)
filled = texts.filter(bool)
positions = some.integers(-1, 99_999)
counts = some.integers(0, 99_999)
views = some.builds(
    AlignView,
    models=some.lists(some.sampled_from([card.identity for card in MODELS.values()]), max_size=3).map(tuple),
    text=texts,
    outputs=some.sampled_from(["own", "common"]),
    target=texts,
    pair=positions,
    links=texts,
    view=some.sampled_from(["heatmap", "lines"]),
    tokens=some.sampled_from(["words", "pieces"]),
    special=some.booleans(),
    layer=positions,
    head=positions,
    source=positions,
    row=positions,
    panel=texts,
    numbers=some.booleans(),
    section=some.sampled_from(SECTIONS),
    network=texts,
    step=counts,
    depth=counts,
    direction=some.sampled_from(["overview", "forwards", "backwards"]),
    summary=some.sampled_from(["change", "end"]),
    score=some.sampled_from(["bleu", "accuracy", "gain"]),
    every=some.booleans(),
    presenter=some.booleans(),
)


@given(views)
def test_every_view_comes_back_from_its_address_and_its_file(asked_for: AlignView) -> None:
    address = dict(parse_qsl(urlencode(CODEC.encode(asked_for)), keep_blank_values=True))
    assert CODEC.decode(address) == (asked_for, [])
    assert CODEC.from_file(CODEC.to_file(asked_for).encode()) == (asked_for, [])


@given(some.dictionaries(some.sampled_from(list(CODEC.forms)) | texts, texts, max_size=8))
def test_no_address_breaks_the_page_and_what_is_refused_is_named(address: dict[str, str]) -> None:
    found, _ = CODEC.decode(address)
    assert_what_is_refused_is_named(CODEC, address)
    whole, _ = _align.complete(found, True)
    assert whole.models and (whole.text or whole.pair >= 0 or whole.links) and _align.chosen_cards(whole)
    assert whole.pair < len(shipped_pairs())


def test_every_field_of_a_view_has_a_reader() -> None:
    assert set(CODEC.forms) == {field.name for field in fields(AlignView)}
    assert CODEC.encode(AlignView()) == {}


def test_an_address_opens_its_view_and_is_written_back_equal() -> None:
    address = {
        "models": identities(THREE), "text": TEXT, "outputs": "common", "target": "Je suis fatigué.", "view": "lines",
        "tokens": "pieces", "special": "1", "layer": "2", "head": "3", "source": "2", "row": "1", "panel": DOT,
        "numbers": "1", "section": "states", "network": DOT, "step": "3", "depth": "2", "direction": "forwards",
        "summary": "end", "score": "accuracy", "every": "1",
    }  # fmt: skip
    page = sound(opened(**address))
    assert address_of(page) == address
    header, _ = received(page)
    assert header["start"] == {"source": 1, "row": 0, "panel": 1} and header["view"] == "lines"
    assert header["panels"][2]["note"] == "cross attention, layer 2, head 3"
    gold = {"models": identities(DOT), "pair": "3", "presenter": "1"}
    assert address_of(sound(opened(**gold))) == gold


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"pair": "9999"}, "“pair=9999” in the address is not there: the highest is"),
        ({"pair": "0"}, "pair=0"),
        ({"models": "en-de_en-fr"}, "no translator “en-de”"),
        ({"models": "autocomplete-gru"}, "no translator “autocomplete-gru”"),
        ({"models": f"{DOT}@00000000"}, f"made with {DOT}@00000000"),
        ({"network": "<b>nobody</b>"}, "network=<b>nobody</b>"),
        ({"panel": "nobody"}, "panel=nobody"),
        ({"links": "The cat\tLe chat\t0-9"}, "The links in the address could not be used"),
        ({"section": "everything"}, "section=everything"),
        ({"view": "grid"}, "view=grid"),
        ({"tokens": "letters"}, "tokens=letters"),
        ({"outputs": "theirs"}, "outputs=theirs"),
        ({"layer": "two"}, "layer=two"),
        ({"step": "-1"}, "step=-1"),
        ({"row": "٣"}, "row=٣"),
        ({"special": "yes"}, "special=yes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_an_address_asks_in_vain_is_said_and_the_rest_is_shown(address: dict[str, str], message: str) -> None:
    page = opened(**{"text": TEXT, "models": THREE, **address})
    assert not page.exception and not page.error and message in said(page.warning)
    assert names(page) and page.text_input(key="align box").value == TEXT
    sound(page.run())  # said once, and gone from the address
    assert not set(address) - {"models"} & set(address_of(page))


def test_an_address_without_a_text_shows_an_example_and_says_so() -> None:
    page = opened(models=THREE, view="lines")
    assert "holds no text" in said(page.warning) and page.text_input(key="align box").value == TEXT_ASKED


def test_positions_that_are_not_there_change_nothing_that_is() -> None:
    beyond = {name: "500" for name in ("source", "row", "layer", "head", "step", "depth")}
    page = sound(opened(text=TEXT, models=THREE, section="states", direction="backwards", **beyond))
    assert received(page)[0]["start"] == {"source": None, "row": None, "panel": 0}
    assert len(names(page)) == 3


def test_a_text_too_long_for_an_address_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(text=TEXT, models=DOT, row="1", view="lines")
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 60)
    page.toggle(key="alignment numbers").set_value(True).run()
    assert address_of(page) == {"models": identities(DOT), "view": "lines", "numbers": "1"}
    assert "too long for the address" in said(page.info)


def test_a_request_file_brings_the_view_back() -> None:
    wanted = AlignView(models=(MODELS[DOT].identity,), text="We sleep.", view="lines", section="states", row=1)
    page = uploaded(opened(text=TEXT, models=THREE), CODEC.to_file(wanted).encode(), "align request file")
    assert names(sound(page)) == [name_of(MODELS[DOT])] and page.text_input(key="align box").value == "We sleep."
    assert view(page) == wanted
    page = uploaded(page, b'{"saccade": 1, "page": "beam", "text": "Hi."}', "align request file")
    assert not page.exception and "is of the page Beam" in said(page.error) and view(page) == wanted


def test_coming_back_to_the_page_keeps_the_sentence() -> None:
    page = asked(opened(models=THREE, text="He slept."), TEXT)
    page.switch_page("pages/models.py").run()
    page.query_params.clear()
    page.switch_page("pages/alignment.py").run()
    assert sound(page).text_input(key="align box").value == TEXT and len(names(page)) == 3
