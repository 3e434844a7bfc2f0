"""The page "Your model" as tests open it: with tiny models in a folder that the operator allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.opened import STORE
from pages import _own_loading
from pages._own import VIEW, OwnView
from tests.engine.huggingface.families import saved
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CODEC = VIEW.codec
TEXT = "The old man sat by the river."


@contextmanager
def server(folder: Path) -> Iterator[list[tuple[Any, ...]]]:
    """A fresh server whose operator allows a folder; gives the links to other pages that were drawn."""
    links: list[tuple[Any, ...]] = []

    def forget() -> None:
        st.cache_resource.clear()
        for card in STORE.cards():
            STORE.unload(card.name)

    forget()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SACCADE_MODEL", "SACCADE_MODEL_IDS", "SACCADE_DOWNLOADS", "SACCADE_MODEL_MEMORY"):
            patch.delenv(name, raising=False)
        patch.setenv("SACCADE_MODEL_FOLDERS", str(folder))
        patch.setenv("SACCADE_DEVICE", "cpu")
        patch.setattr(STORE, "_limit", 10_000_000)
        patch.setattr(_own_loading, "_START", _own_loading._Start())
        # The page is run by itself here, and knows of no other to link to.
        patch.setattr(st, "page_link", lambda page, **of_link: links.append((page, of_link["query_params"])))
        yield links
    forget()


def folder_of(parent: Path, family: str) -> Path:
    """A folder with a tiny model of a family, called after it: "my-bert"; "bert" is one that ships."""
    return saved(family, parent / f"my-{family}")


def opened(**address: str) -> AppTest:
    """The page at an address."""
    page = AppTest.from_file(str(ROOT / "pages" / "your_model.py"), default_timeout=120)
    for name, value in address.items():
        page.query_params[name] = value
    return page.run()


def look(page: AppTest, reference: str) -> AppTest:
    """Ask for a model."""
    page.text_input(key="own reference").set_value(reference)
    return page.button(key="FormSubmitter:own open-Look").click().run()


def with_model(reference: str, page: AppTest | None = None) -> AppTest:
    """The page after a model was opened in it."""
    return sound(sound(look(page or opened(), reference)).button(key="own open button").click().run())


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning, said(page.error) + said(page.warning)
    return page


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def view(page: AppTest) -> OwnView:
    found: OwnView = page.session_state["own"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def received(page: AppTest, component: str) -> list[tuple[dict[str, Any], Any]]:
    """What the components of a kind are given: headers and arrays."""
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes) for one in protos if one.component_name == f"saccade_{component}"]


def choose(page: AppTest, key: str, option: Any) -> AppTest:
    """Take an option of a control."""
    return page.segmented_control(key=key).set_value(option).run()


def ask(page: AppTest, text: str, second: str | None = None) -> AppTest:
    """Type a text, and a second one, and have them shown."""
    page.text_area(key="own text box").set_value(text)
    if second is not None:
        page.text_area(key="own text second").set_value(second)
    return page.button(key="FormSubmitter:own text form-Show").click().run()
