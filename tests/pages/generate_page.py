"""The Generate page as tests open it: with small models, so that no test waits for a large one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.generator import Generator
from pages._gen import VIEW, GenView
from tests.engine.generators import tiny_char_lm, tiny_gpt, tiny_trigram
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CODEC = VIEW.codec
PROMPT = "The cat sat on"
CONTEXT = 48  # tokens of the small gpt
GPT, CHARACTERS, COUNTS = (MODELS[name].identity for name in ("gpt", "char-lm", "trigram"))


@cache
def small(name: str, where: str = "cpu") -> Generator:
    """As the page loads it, under the card of the shipped model."""
    made = {"gpt": tiny_gpt(CONTEXT), "char-lm": tiny_char_lm(), "trigram": tiny_trigram()}
    return replace(made[name], card=MODELS[name])


def opened(**address: str) -> AppTest:
    """The page at an address; without a prompt at the cat's."""
    page = AppTest.from_file(str(ROOT / "pages" / "generate.py"), default_timeout=120)
    for name, value in {"prompt": PROMPT, "model": "gpt", "length": "10", **address}.items():
        page.query_params[name] = value
    return page.run()


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def changed(page: AppTest, **values: Any) -> AppTest:
    """What components do when a reader clicks in them: the view changes, and the page runs."""
    page.session_state["generate"] = replace(page.session_state["generate"], **values)
    page.session_state["acted"] = True
    return page.run()


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def view(page: AppTest) -> GenView:
    found: GenView = page.session_state["generate"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def drawn(page: AppTest, component: str) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Header and arrays of each component of a name."""
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes) for one in protos if one.component_name == f"saccade_{component}"]


def ids(text: str) -> tuple[int, ...]:
    """Of the small gpt."""
    return small("gpt").tokenizer.encode(text).ids


def written(tokens: tuple[int, ...]) -> str:
    """As an address has them."""
    return ".".join(map(str, tokens))
