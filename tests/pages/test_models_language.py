"""The Models page's language models: three that continue texts in one part, compared, and one that fills blanks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine import cards
from engine.catalogue import MODELS
from engine.weights import read_json

ROOT = Path(__file__).parents[2]
KINDS = ("gpt", "char-lm", "trigram", "bert")


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """They are the only models; after it the catalogue is as it was, in its order."""
    before = dict(MODELS)
    MODELS.clear()
    MODELS.update({name: card for name, card in before.items() if card.family in KINDS})
    st.cache_data.clear()
    yield
    MODELS.clear()
    MODELS.update(before)
    st.cache_data.clear()


def opened() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "models.py"), default_timeout=60).run()
    assert not page.exception and not page.error
    return page


def test_three_continue_texts_and_one_fills_blanks() -> None:
    page = opened()
    assert [header.value for header in page.header] == ["Generation", "Cloze"]
    (control,) = page.button_group
    assert control.options == [card.short for card in MODELS.values() if card.family != "bert"]
    bits = {
        card.short: cards.scores_of(card)["books"]["bits_per_character"]
        for card in MODELS.values()
        if "generate" in card.supports
    }
    compared = page.table[0].value
    assert dict(zip(compared["model"], compared["bits per character"], strict=True)) == {
        name: f"{value:.3f}" for name, value in bits.items()
    }


@pytest.mark.parametrize("name", ["trigram", "char-lm", "gpt"])
def test_each_has_its_command_its_bits_and_its_pages(name: str) -> None:
    (control,) = opened().button_group
    page = control.set_value(name).run()
    card = MODELS[name]
    assert page.subheader[0].value == card.title
    assert page.code[0].value == read_json(card.folder / cards.TRAINING)["command"]
    bits = cards.scores_of(card)["books"]["bits_per_character"]
    assert ("Bits per character", f"{bits:.2f}") in [(metric.label, metric.value) for metric in page.metric]
    said = "\n".join(element.value for element in page.main if element.type == "markdown")
    assert "**Generate**" in said
    assert ("counted the same way" in said) == (name == "trigram")
    assert ("hidden units" in said) == (name == "char-lm")
    assert ("before" in said and "gradients too" in said) == (name == "gpt")


def test_the_cloze_model_has_its_shares() -> None:
    found = cards.scores_of(MODELS["bert"])["cloze"]
    metrics = {metric.label: metric.value for metric in opened().metric}
    assert metrics["Masked piece right"] == f"{found['top1']:.1%}"
    assert metrics["Among the first five"] == f"{found['top5']:.1%}"
