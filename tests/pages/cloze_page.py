"""The Cloze page as tests open it: with a small BERT of random weights, so that no test waits for a large one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.cloze import Cloze
from engine.models.bert import Bert, BertConfig
from pages._cloze_view import VIEW, ClozeView
from tests.engine.cloze_cases import subwords
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CODEC = VIEW.codec
CARD = MODELS["bert"]
TEXT = "The old man sat by the river."
SECOND = "The dog slept in the sun."
LONGEST = 128


@cache
def small(name: str = "bert", where: str = "cpu") -> Cloze:
    """As the page loads it; random weights, far enough from 0 for its answers to differ."""
    torch.manual_seed(5)
    config = BertConfig(len(subwords()), width=16, heads=2, layers=2, feedforward=32, context=LONGEST, norm="pre")
    model = Bert(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return Cloze(replace(MODELS[name], longest=LONGEST), model, subwords(), "cpu")


def opened(**address: str) -> AppTest:
    """The page at an address."""
    page = AppTest.from_file(str(ROOT / "pages" / "cloze.py"), default_timeout=120)
    for name, value in address.items():
        page.query_params[name] = value
    return page.run()


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def html(page: AppTest) -> str:
    """What tables and texts hold."""
    return " ".join(element.proto.body for element in page.get("html"))


def view(page: AppTest) -> ClozeView:
    found: ClozeView = page.session_state["cloze"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def received(page: AppTest, component: str) -> list[dict[str, Any]]:
    """Headers of what the components of a kind are given."""
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes)[0] for one in protos if one.component_name == f"saccade_{component}"]


def words(page: AppTest) -> dict[str, Any]:
    """The text to be clicked."""
    (header,) = received(page, "shaded")
    return header


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def choose(page: AppTest, field: str, option: str) -> AppTest:
    """Take an option of a field's control."""
    return page.segmented_control(key=f"cloze {field}").set_value(option).run()
