"""The Models page and the recurrent translators: a part of their own, one drawn at a time, the pages they offer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.weights import WEIGHTS

ROOT = Path(__file__).parents[2]
RECURRENT = [card for card in MODELS.values() if card.family == "seq2seq"]


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    st.cache_data.clear()
    yield
    st.cache_data.clear()


def opened() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "models.py"), default_timeout=60).run()
    assert not page.exception and not page.error
    return page


def said(page: AppTest) -> str:
    return "\n".join(element.value for element in page.main if element.type in ("markdown", "caption"))


def test_there_is_a_part_for_each_kind_of_model_and_a_menu_where_it_has_several() -> None:
    page = opened()
    wanted = ["Translation", "Translation with recurrent networks", "Word completion", "Generation", "Cloze"]
    assert [header.value for header in page.header] == wanted
    menus = {control.key: control.options for control in page.button_group}
    there = [card for card in MODELS.values() if card.family == "seq2seq"]  # others' tests may change the order
    assert menus["seq2seq card"] == [card.short for card in there] and len(there) == len(RECURRENT) == 4
    assert set(menus) == {"seq2seq card", "autocomplete card", "gpt card"}  # of the other kinds there is one
    assert page.subheader[1].value == there[0].title


@pytest.mark.parametrize("card", RECURRENT, ids=[card.name for card in RECURRENT])
def test_every_fact_of_a_card_is_there_and_what_it_offers(card) -> None:
    page = opened()
    menu = next(control for control in page.button_group if control.key == "seq2seq card")
    page = menu.set_value(card.name).run()
    assert not page.exception and not page.error
    assert page.subheader[1].value == card.title
    text = said(page)
    for fact in (card.summary, card.identity, *card.data, *card.notes, *card.limits):
        assert fact in text
    assert f"saccade train {card.name} " in "\n".join(code.value for code in page.code)
    size = f"{(card.folder / WEIGHTS).stat().st_size / 1e6:.1f} MB"
    assert size in [metric.value for metric in page.metric if metric.label == "Weights on disk"]
    assert ("which source words each output word looks at" in text) == ("cross" in card.supports)
    assert text.count("**Alignment**") == 1 and "how the decoder made each word, step by step" in text
    assert (ROOT / "pages" / "alignment.py").is_file()
