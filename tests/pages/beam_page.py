"""The Beam search page as tests open and use it: the page, its messages, its address, what its tree is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.decoding.tree
from engine.catalogue import MODELS
from engine.decoding.options import BeamOptions
from engine.decoding.tree import SearchRequest, search
from engine.runner import Runner, load
from engine.types import BeamTree
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CARD = MODELS["en-fr"]
TEXT = "I love you."


def opened(**address: str) -> AppTest:
    """The Beam search page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/beam.py").run()


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def asked(page: AppTest, text: str) -> AppTest:
    page.text_input(key="beam box").set_value(text)
    return page.button(key="FormSubmitter:search-Search").click().run()


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def forced(page: AppTest, form: str, label: str, text: str) -> AppTest:
    next(box for box in page.text_input if box.label == label).set_value(text)
    return page.button(key=f"FormSubmitter:{form}-Force it").click().run()


def a_token(page: AppTest, text: str) -> AppTest:
    return forced(page, "force token", "Then a token of your own", text)


def a_beginning(page: AppTest, text: str) -> AppTest:
    return forced(page, "force beginning", "Or a whole beginning", text)


def chosen(page: AppTest, **values: Any) -> AppTest:
    """What the tree does when a reader chooses or scrubs: the view changes, and a part of the page runs."""
    page.session_state["beam"] = replace(page.session_state["beam"], **values)
    return page.run()


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def drawn(page: AppTest, name: str = "saccade_beam") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of what a component is given; an empty header where it is not there."""
    for element in page.get("bidi_component"):
        if element.proto.component_name == name:
            return unpack(element.proto.bytes)
    return {}, {}


def titles(page: AppTest) -> list[str]:
    return [tree["title"] for tree in drawn(page)[0]["trees"]]


def table(page: AppTest) -> list[dict[str, Any]]:
    """The lines of the table; what is not there is None."""
    lines = page.dataframe[0].value.to_dict("records")
    return [{name: None if value != value else value for name, value in line.items()} for line in lines]


def found(prefix: tuple[int, ...] = (), text: str = TEXT, **options: Any) -> BeamTree:
    """The tree of a search, from the engine itself."""
    return search(load("en-fr", "cpu"), SearchRequest(CARD.identity, text, BeamOptions(**options), prefix))


def ids(text: str) -> str:
    """A beginning as an address has it."""
    return ".".join(map(str, load("en-fr", "cpu").tokenizer.encode(text, end=False).ids))


def count_searches(monkeypatch: pytest.MonkeyPatch) -> list[SearchRequest]:
    """Forget what was searched so far; the list takes every request that is really searched from now on."""
    st.cache_resource.clear()
    seen: list[SearchRequest] = []

    def counted(runner: Runner, request: SearchRequest, report: Callable[[int], None] = lambda step: None) -> BeamTree:
        seen.append(request)
        return search(runner, request, report)

    monkeypatch.setattr(engine.decoding.tree, "search", counted)
    return seen
