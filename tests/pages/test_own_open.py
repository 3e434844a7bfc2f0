"""Opening several models: which is listed first, and what "Show" leads to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.catalogue import card
from engine.opened import STORE
from tests.pages.own_page import folder_of, look, opened, received, server, sound, view, with_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny models."""
    parent = tmp_path_factory.mktemp("models")
    for family in ("bert", "llama"):
        folder_of(parent, family)
    return parent


@pytest.fixture(autouse=True)
def links(models: Path) -> Iterator[list[tuple[Any, ...]]]:
    with server(models) as found:
        yield found


def listed(page: AppTest) -> list[str]:
    """The open models in the order of the screen."""
    return [button.key.removeprefix("own unload ") for button in page.button if button.label == "Unload"]


def test_the_model_of_the_view_is_listed_first() -> None:
    page = with_model("my-bert")
    page = with_model("my-llama", page)
    assert [one.card.name for one in STORE.opened()] == ["my-bert", "my-llama"]
    assert listed(page) == ["my-llama", "my-bert"] and view(page).section == "open"
    assert listed(sound(opened(model=card("my-bert").identity))) == ["my-bert", "my-llama"]


def test_show_leads_to_the_models_attention() -> None:
    page = with_model("my-llama", with_model("my-bert"))
    page = sound(look(page, "my-bert"))
    assert page.button(key="own open button").label == "Show"
    page = sound(page.button(key="own open button").click().run())
    assert view(page).section == "attention" and view(page).model == card("my-bert").identity
    assert page.selectbox(key="own model").value == card("my-bert").identity and received(page, "lines")
