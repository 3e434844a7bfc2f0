"""The Cloze page with a model of somebody's own: the menu, masks, what it cannot tell, and what captions promise."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
import streamlit as st

from engine.cloze_text import MASK
from engine.huggingface.source import Located
from engine.noise import SHARE, noise
from engine.opened import STORE
from engine.restoration import restore
from pages import _shared
from pages._cards import OPEN_FIRST
from pages._cloze_examples import examples
from pages._cloze_pair import NOT_TOLD
from pages._cloze_pronoun import HONEST, OF_ITS_OWN
from pages._cloze_view import CANDIDATES
from tests.engine.huggingface.restoring_cases import cloze
from tests.pages.cloze_page import (
    CARD,
    SECOND,
    TEXT,
    address_of,
    choose,
    click,
    html,
    opened,
    received,
    said,
    small,
    sound,
    view,
    words,
)
from viz.components.choices import percentage

NAMES = ("roberta", "albert")
IDENTITIES = {name: cloze(name).card.identity for name in NAMES}
MAN, RIVER = 3, 7


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """The shipped model is a small one, and two of somebody's own are open."""
    st.cache_resource.clear()
    cards = [cloze(name).card for name in NAMES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        patch.setattr(STORE, "_limit", 10**9)
        for name, card in zip(NAMES, cards, strict=True):
            STORE.open(Located(card.name, Path("somewhere") / name, "huggingface"), lambda report, n=name: cloze(n), 1)
        yield
        for card in cards:
            STORE.unload(card.name)
    st.cache_resource.clear()


def test_opened_models_are_in_the_menu_behind_the_one_that_ships():
    page = sound(opened())
    menu = page.selectbox(key="model")
    assert menu.options == [CARD.title, *(cloze(name).card.title for name in NAMES)]
    assert menu.value == CARD.name and view(page).model == CARD.identity


@pytest.mark.parametrize("name", NAMES)
def test_an_address_chooses_the_model_whose_name_has_a_slash(name):
    page = sound(opened(first=TEXT, masked=f"{MAN + 1}.{RIVER + 1}", model=IDENTITIES[name]))
    model = cloze(name)
    given = model.read(TEXT, masked=(MAN, RIVER))
    blanks = model.fill(given, CANDIDATES)
    assert words(page)["labels"] == list(given.words) and words(page)["pressed"] == [MAN, RIVER]
    (header,) = received(page, "choices")
    assert [row["shown"] for row in header["rows"]] == [one.label for one in blanks[0].candidates]
    assert [row["before"] for row in header["rows"]] == [percentage(one.probability) for one in blanks[0].candidates]
    assert address_of(page)["model"] == IDENTITIES[name] and f"Opened here: `{IDENTITIES[name]}`" in said(page.caption)
    assert "Measured" not in said(page.caption)
    again = sound(opened(**address_of(page)))
    assert received(again, "choices")[0]["rows"] == header["rows"]


def test_a_reader_sees_a_mask_whatever_the_model_calls_it():
    page = sound(opened(first="The old <mask> sat by the [MASK].", model=IDENTITIES["roberta"]))
    labels = words(page)["labels"]
    assert labels.count(MASK) == 2 and "<mask>" not in labels and labels[0] == "<s>" and labels[-1] == "</s>"


def test_another_model_of_the_menu_gets_the_same_text_and_masks_and_nothing_that_was_put_in():
    page = opened(first=TEXT, masked=f"{MAN + 1}.{RIVER + 1}")
    page = sound(click(choose(page, "filling", "at once"), "Put these in"))
    assert len(view(page).taken) == 2
    page = sound(page.selectbox(key="model").set_value(cloze("roberta").card.name).run())
    assert view(page).taken == () and view(page).masked == (MAN, RIVER) and view(page).first == TEXT
    assert view(page).model == IDENTITIES["roberta"] and words(page)["pressed"] == [MAN, RIVER]
    page = sound(choose(page, "filling", "one by one"))
    filled = cloze("roberta").fill_in(cloze("roberta").read(TEXT, masked=(MAN, RIVER)))
    for step in filled.steps:
        assert escape(percentage(step.choice.probability)) in html(page)
    page = sound(page.selectbox(key="model").set_value(CARD.name).run())
    assert view(page).model == CARD.identity and view(page).masked == (MAN, RIVER)


def test_a_link_made_with_a_model_that_is_not_open_leaves_out_what_was_put_in():
    page = opened(first=f"The {MASK} sat.", taken="3.101", model="somebody/else@01234567")
    assert not page.exception and not page.error
    assert said(page.warning) == (
        f"There is no model “somebody/else” here; what you see is computed with another one. {OPEN_FIRST}"
    )
    assert view(page).taken == () and received(page, "choices")


def test_the_next_sentence_is_asked_of_ours_only():
    page = sound(opened(first=TEXT, second=SECOND, model=IDENTITIES["roberta"]))
    assert "follows" not in page.segmented_control(key="cloze section").options
    page = sound(opened(first=TEXT, second=SECOND, section="follows", model=IDENTITIES["roberta"]))
    assert NOT_TOLD in said(page.info) and not page.metric
    page = sound(page.selectbox(key="model").set_value(CARD.name).run())
    assert len(page.metric) == 2 and NOT_TOLD not in said(page.info)


@pytest.mark.parametrize("kind", ["sentences", "pairs", "noises"])
@pytest.mark.parametrize("name", NAMES)
def test_examples_mask_the_words_that_they_mean(name, kind):
    for example in examples(kind):
        ours, own = (model.read(example.first, example.second) for model in (small(), cloze(name)))
        assert [own.words[i] for i in example.masked] == [ours.words[i] for i in example.masked]


def test_captions_promise_nothing_of_another_models_answers():
    page = sound(opened(section="pronoun", model=IDENTITIES["roberta"]))
    assert OF_ITS_OWN in said(page.caption) and HONEST not in said(page.caption)
    model = cloze("roberta")
    example = examples("pronouns")[0]
    for text in (example.first, example.second):
        for score in model.compare(model.read(text), example.words):
            assert escape(percentage(score.share)) in html(page)
    assert HONEST in said(sound(opened(section="pronoun")).caption)


@pytest.mark.parametrize("kind", ["mask", "infill", "delete"])
def test_noised_texts_are_restored_by_an_opened_model(kind):
    text = "The dog slept in the sun. The old man sat by the river."
    page = sound(opened(first=text, section="noise", noise=kind, model=IDENTITIES["roberta"]))
    found = restore(cloze("roberta"), noise(text, kind, 0, SHARE))
    shown = said(page.markdown)
    for attempt in found.attempts:
        assert f"**{attempt.right} of {len(attempt.spans)}** places" in shown
    assert 'lang=""' in html(page) and 'lang="en"' not in html(page)


def test_heads_of_two_texts_without_segments_are_looked_at_by_text():
    page = sound(opened(first=TEXT, second=SECOND, section="heads", between="AB", model=IDENTITIES["roberta"]))
    assert page.segmented_control(key="cloze between").value == "AB"
    assert "what is not shown took" in said(page.caption)
    labels = [control.label.replace("\\", "") for control in page.segmented_control]
    assert "Special tokens (<s>, </s>)" in labels
