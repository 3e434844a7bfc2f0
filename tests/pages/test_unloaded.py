"""Pages whose model is not there: unloaded since it was shown, or never opened; and links that hold a model alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.cloze_text import MASK
from engine.huggingface.loading import open_model
from engine.huggingface.source import Located
from engine.opened import STORE
from pages import _shared
from pages._cards import LONGEST_NAME, OPEN_FIRST, chosen_of, made_with, no_longer
from tests.engine.huggingface.families import saved
from tests.engine.huggingface.generating_cases import card as generating_card
from tests.engine.huggingface.generating_cases import made
from tests.engine.huggingface.restoring_cases import cloze
from tests.pages import cloze_page, generate_page

ROOT = Path(__file__).parents[2]
NAME = "somebody/tiny"
GONE = f"{NAME} is no longer open here. Open it again on the page “Your model”."
FIRST, SECOND = (f"The animal didn't cross the street because it was too {how}." for how in ("tired", "wide"))
TEXTS = {
    "translate": {"text": "I am tired."},
    "coreference": {"first": FIRST, "second": SECOND, "prefix": "La rue", "left": "était", "right": "le"},
    "beam": {"text": "I am tired.", "length": "9"},
    "cloze": {"first": f"The {MASK} sat."},
    "generate": {"prompt": "The cat", "taken": "5.6"},
}
PARAMETER = {"alignment": "models"}


@cache
def folder() -> Path:
    """Of a T5 of random weights."""
    return saved("t5", Path(mkdtemp()) / "tiny")


@cache
def translator() -> Any:
    return open_model(Located(NAME, folder(), "huggingface"), "cpu")


def restoring() -> Any:
    model = cloze("roberta")
    return replace(model, card=replace(model.card, name=NAME))


def continuing() -> Any:
    return replace(made("gpt2").generator, card=generating_card(NAME))


OPENERS: dict[str, Callable[[], Any]] = {"cloze": restoring, "generate": continuing}
"""What gives the model of a page; the others translate."""


def shipped(name: str, where: str = "cpu") -> Any:
    """Small models in the place of those that restore and continue texts."""
    if name == "bert":
        return cloze_page.small(name)
    return generate_page.small(name) if name in ("gpt", "char-lm", "trigram") else load(name, where)


load = _shared.load_any


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", shipped)
        patch.setattr(STORE, "_limit", 10**9)
        yield
    st.cache_resource.clear()


@pytest.fixture
def with_model() -> Iterator[Callable[[str], str]]:
    """Opens the model of a page; gives its identity."""

    def with_one(page: str) -> str:
        make = OPENERS.get(page, translator)
        return STORE.open(Located(NAME, folder(), "huggingface"), lambda report: make(), 1).identity

    yield with_one
    if NAME in STORE:
        STORE.unload(NAME)


def opened(name: str, **address: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=180)
    for key, value in address.items():
        page.query_params[key] = value
    return page.run()


def warned(page: AppTest) -> list[str]:
    """The warnings of a page that has no error, without the backslashes that keep Markdown from reading them."""
    assert not page.exception and not page.error, [error.value for error in page.error]
    return [warning.value.replace("\\", "") for warning in page.warning]


def asked(page: AppTest, name: str) -> str:
    """The model or models in a page's address."""
    found = page.query_params[PARAMETER.get(name, "model")]
    return found if isinstance(found, str) else found[0]


# ---- unloaded since ----


@pytest.mark.parametrize("name", TEXTS)
def test_a_model_that_was_unloaded_is_named_once_and_another_one_is_in_the_address(name, with_model):
    identity = with_model(name)
    page = opened(name, model=identity, **TEXTS[name])
    before = "".join(warned(page))
    assert asked(page, name) == identity and NAME not in before
    STORE.unload(NAME)
    page = page.run()
    assert warned(page)[0] == GONE and asked(page, name).partition("@")[0] in MODELS
    assert not warned(page.run())


def test_what_was_taken_of_a_model_comes_back_with_it(with_model):
    identity = with_model("generate")
    page = opened("generate", model=identity, **TEXTS["generate"])
    STORE.unload(NAME)
    assert warned(page.run()) == [GONE] and page.session_state["generate"].taken == ()
    with_model("generate")
    page = page.run()
    page = page.segmented_control(key="generate model").set_value(identity).run()
    assert not warned(page) and page.session_state["generate"].taken == (5, 6)


@pytest.mark.parametrize("others", ["", "_en-fr"])
def test_alignments_go_on_without_a_model_that_was_unloaded(others, with_model):
    identity = with_model("alignment")
    page = opened("alignment", models=f"{identity}{others}", text="I am tired.", row="1", panel=NAME, network=NAME)
    assert not warned(page) and identity in asked(page, "alignment")
    STORE.unload(NAME)
    page = page.run()
    assert warned(page) == [GONE]
    names = [one.partition("@")[0] for one in page.session_state["alignment"].models]
    assert names == (["en-fr"] if others else [name for name in names if name in MODELS]) and "en-fr" in names
    view = page.session_state["alignment"]
    assert (view.panel, view.network, view.text) == ("", "", "I am tired.")
    assert not warned(page.run())


def test_a_model_that_is_chosen_in_the_menu_is_nothing_to_be_said(with_model):
    page = opened("beam", model=with_model("beam"), **TEXTS["beam"])
    page = page.selectbox(key="model").set_value("en-fr").run()
    assert not warned(page) and asked(page, "beam") == MODELS["en-fr"].identity


def test_models_that_are_named_and_gone_leave_those_that_ship():
    ours = [MODELS["en-fr"], MODELS["bert"]]
    own = replace(ours[0], name=NAME, path=Path("somewhere"))
    assert chosen_of(("gone@01234567",), [*ours, own]) == chosen_of((), [*ours, own]) == ours
    assert chosen_of(("gone@01234567", own.identity), [*ours, own]) == [own]


# ---- links ----


@pytest.mark.parametrize("name", TEXTS)
def test_a_link_to_a_model_that_is_not_open_says_what_to_do(name):
    page = opened(name, model="somebody/else@01234567")
    (said,) = warned(page)
    assert said == (f"There is no model “somebody/else” here; what you see is computed with another one. {OPEN_FIRST}")
    assert not warned(page.run())


def test_a_link_to_a_translator_that_is_not_open_goes_on_with_the_others():
    said = warned(opened("alignment", models="somebody/else@01234567_en-fr"))
    assert said == [f"There is no translator “somebody/else” here; it was left out. {OPEN_FIRST}"]


@pytest.mark.parametrize("name", [*TEXTS, "alignment"])
def test_a_link_that_holds_a_model_alone_begins_with_the_example(name, with_model):
    identity = with_model(name)
    page = opened(name, **{PARAMETER.get(name, "model"): identity})
    assert not warned(page) and asked(page, name) == identity


@pytest.mark.parametrize("name", ["translate", "coreference", "beam", "cloze", "alignment"])
def test_a_link_that_asks_for_more_says_what_it_does_not_hold(name, with_model):
    page = opened(name, **{PARAMETER.get(name, "model"): with_model(name), "presenter": "1"})
    (said,) = warned(page)
    assert said.startswith("The address holds no ")


# ---- sentences ----


def test_a_view_was_made_with_these_weights_or_with_others():
    card = MODELS["en-fr"]
    assert not any(made_with(asked, card) for asked in ("", card.name, card.identity))
    for asked in ("en-fr@00000000", MODELS["bert"].identity, "gpt"):
        assert (
            made_with(asked, card) == f"This link was made with {asked}; what you see is computed with {card.identity}."
        )
    for asked in ("who", "who@00000000"):
        assert made_with(asked, card).startswith("There is no model “who” here")
    assert f"“{'x' * LONGEST_NAME}”" in made_with("x" * 500, card)


def test_only_what_was_shown_and_is_gone_is_no_longer_open():
    assert not any(map(no_longer, ("", "en-fr", MODELS["en-fr"].identity)))
    assert no_longer("a/b@main@01234567") == "a/b@main is no longer open here. Open it again on the page “Your model”."
    assert no_longer("x", "below").endswith("Open it again below.")
