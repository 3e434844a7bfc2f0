"""The pages of translators with one of somebody's own, whose languages nobody knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.experiments import sweep_heads
from engine.huggingface.loading import open_model
from engine.huggingface.source import Located
from engine.opened import STORE
from engine.types import KINDS
from pages._lab_many import FRENCH
from pages._lab_measures import NOT_HERE
from pages._languages import OTHERS, OURS, languages_of
from pages._presets import PRESETS
from tests.engine.huggingface.families import saved
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
NAME = "somebody/tiny-t5"
FIRST, SECOND = (f"The animal didn't cross the street because it was too {how}." for how in ("tired", "wide"))
DECISION = {"prefix": "La rue", "left": "était", "right": "le"}


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    """An opened T5 of random weights."""
    st.cache_resource.clear()
    located = Located(NAME, saved("t5", Path(mkdtemp()) / "tiny-t5"), "huggingface")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STORE, "_limit", 10**9)
        STORE.open(located, lambda report: open_model(located, "cpu"), 1)
        yield STORE.get(NAME)
        STORE.unload(NAME)
    st.cache_resource.clear()


def opened(name: str, **address: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=180)
    for key, value in address.items():
        page.query_params[key] = value
    return page.run()


def sound(page: AppTest) -> AppTest:
    assert not page.exception and not page.error, [error.value for error in page.error]
    return page


def said(elements: Any) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


def html(page: AppTest) -> str:
    return " ".join(element.proto.body for element in page.get("html"))


def received(page: AppTest, component: str) -> list[dict[str, Any]]:
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes)[0] for one in protos if one.component_name == f"saccade_{component}"]


def lab(model: Any, **more: str) -> AppTest:
    """The Coreference page with a pair of sentences, and words to compare."""
    return opened("coreference", model=model.card.identity, first=FIRST, second=SECOND, **DECISION, **more)


def test_texts_are_called_by_their_languages_where_these_are_known(model):
    from engine.catalogue import MODELS

    ours = MODELS["en-fr"]
    assert languages_of(ours) is OURS and languages_of(ours, model.card) is OTHERS is languages_of(model.card)


def test_presets_speak_of_ours_only(model):
    from engine.catalogue import MODELS

    assert not any(preset.available(model.card) for preset in PRESETS.values())
    assert any(preset.available(MODELS["en-fr"]) for preset in PRESETS.values())


def test_which_heads_look_is_seen_in_source_and_output(model):
    page = sound(lab(model))
    assert not page.warning
    (texts,) = received(page, "marks")
    names = [text["lang"] for text in texts["texts"]]
    assert names == ["", "", "", ""]
    assert 'lang="fr"' not in html(page) and 'lang="en"' not in html(page)
    matrices = received(page, "matrix")[0]
    assert [one["id"] for one in matrices["matrices"]] == list(KINDS)
    assert "lab weights" not in {control.key for control in page.segmented_control}
    assert "French sentence" not in said(page.info) and "English" not in said(page.info)


def test_what_is_not_found_is_named_without_a_language(model):
    page = sound(opened("coreference", model=model.card.identity, first="A dog.", second="A cat.", **DECISION))
    assert "No pronoun is marked in the source." in said(page.info)


def test_every_head_is_switched_off_in_turn(model):
    page = sound(lab(model, section="interventions"))
    expected = sweep_heads(model, FIRST, model_decision(), "zero").change
    (header,) = [one for one in received(page, "matrix") if "log-odds" in one["quantity"]]
    assert [one["id"] for one in header["matrices"]] == list(KINDS)
    assert f"{sum(change.size for change in expected.values())} heads, one at a time" in said(page.caption)
    patched = sound(lab(model, section="interventions", by="other"))
    assert [one["id"] for one in received(patched, "matrix")[0]["matrices"]] == list(KINDS)
    assert all(np.isfinite(change).all() for change in expected.values())


def model_decision() -> Any:
    from engine.coreference import Decision

    return Decision(DECISION["prefix"], (DECISION["left"], DECISION["right"]))


def test_what_ours_alone_can_show_says_so(model):
    assert NOT_HERE in said(sound(lab(model, section="measures")).info)
    assert FRENCH in said(sound(lab(model, section="many")).caption)


def test_equal_outputs_have_nothing_that_decides(model):
    page = sound(opened("coreference", model=model.card.identity, first=FIRST, second=FIRST))
    assert "The two outputs are equal, so there is nothing that decides." in said(page.info)


def test_another_translator_of_the_menu_gets_the_sentences_without_what_was_said(model):
    page = lab(model, french="1-2-3", head="encoder.1.1", off="cross.1.1")
    page = page.selectbox(key="model").set_value("en-fr").run()
    view = page.session_state["lab"]
    assert not page.exception and not page.error and not page.warning
    assert (view.first, view.second) == (FIRST, SECOND) and view.model.startswith("en-fr@")
    assert (view.french, view.prefix, view.left, view.head, view.off) == (None, None, None, None, ())


def test_a_search_is_drawn_and_called_by_no_language(model):
    page = sound(opened("beam", model=model.card.identity, text=FIRST, length="9"))
    box = page.text_input(key="beam box")
    assert (box.label, box.placeholder) == ("Source", "Type a whole sentence")
    assert received(page, "beam")
    page = sound(opened("beam", model=model.card.identity, text=FIRST, length="9", node="2"))
    assert 'lang="fr"' not in html(page)


def test_alignments_stand_beside_each_other_whatever_the_languages(model):
    page = sound(opened("alignment", models=model.card.identity, text=FIRST))
    assert page.text_input(key="align box").label == "Source"
    (header,) = received(page, "alignments")
    assert len(header["panels"]) == 1
    forced = sound(opened("alignment", models=model.card.identity, text=FIRST, outputs="common", target="La rue."))
    assert 'lang="fr"' not in html(forced) and "La rue." in html(forced)
    linked = sound(opened("alignment", models=model.card.identity, pair="1"))
    assert "linked words look most at a gold word" in str(received(linked, "alignments"))


def test_a_text_is_translated(model):
    page = sound(opened("translate", model=model.card.identity, text=FIRST))
    assert received(page, "lines") and 'lang="fr"' not in html(page)
