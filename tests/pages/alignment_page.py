"""The Alignment page as tests open and use it: the page, its messages, its address, what its components are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from pages._align import VIEW, AlignView, Section, name_of
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CODEC = VIEW.codec
RECURRENT = tuple(name for name, card in MODELS.items() if card.family == "seq2seq")
WITH_STATES = [name for name in RECURRENT if "states" in MODELS[name].supports]
BLIND = next(name for name in RECURRENT if "cross" not in MODELS[name].supports)
DOT, TRANSFORMER = "en-fr-rnn-dot", "en-fr"
ALL = (*RECURRENT, TRANSFORMER)
TITLES = [name_of(MODELS[name]) for name in ALL]
TEXT = "I am very tired."
THREE = f"{BLIND}_{DOT}_{TRANSFORMER}"  # without, with one head, with many
SECTIONS = get_args(Section)


def opened(**address: str) -> AppTest:
    """The page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=240).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/alignment.py").run()


def titles_of(names: str) -> list[str]:
    """Models as a screen names them."""
    return [name_of(MODELS[name]) for name in names.split("_")]


def identities(names: str) -> str:
    """Models as the page writes them into an address."""
    return "_".join(MODELS[name].identity for name in names.split("_"))


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def asked(page: AppTest, text: str) -> AppTest:
    page.text_input(key="align box").set_value(text)
    return page.button(key="FormSubmitter:align form-Translate").click().run()


def forced(page: AppTest, text: str) -> AppTest:
    page.text_input(key="align target").set_value(text)
    return page.button(key="FormSubmitter:align target form-Force").click().run()


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label.replace("\\", "") == label).click().run()


def uploaded(page: AppTest, content: bytes, key: str = "align pairs file") -> AppTest:
    box = next(one for one in page.get("file_uploader") if one.key == key)
    box.upload("file.json" if "request" in key else "pairs.tsv", content, "text/plain")
    return page.run()


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def view(page: AppTest) -> AlignView:
    found: AlignView = page.session_state["alignment"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def received(page: AppTest, component: str = "saccade_alignments") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of what a component is given; an empty header where it is not there."""
    for element in page.get("bidi_component"):
        if element.proto.component_name == component:
            return unpack(element.proto.bytes)
    return {}, {}


def names(page: AppTest) -> list[str]:
    """The headings of the panels."""
    return [panel["name"] for panel in received(page)[0].get("panels", [])]


def rows(page: AppTest) -> list[list[str]]:
    """The output words of each panel."""
    return [[token["label"] for token in panel["rows"]] for panel in received(page)[0]["panels"]]


def weights(page: AppTest) -> dict[str, np.ndarray]:
    """The map of each panel that has one, (row, source), by its heading."""
    header, arrays = received(page)
    flat, columns, found, at = arrays["weights"] / header["levels"], len(header["source"]), {}, 0
    for panel in header["panels"]:
        if panel["map"]:
            size = len(panel["rows"]) * columns
            found[panel["name"]] = flat[at : at + size].reshape(-1, columns)
            at += size
    assert at == len(flat)
    return found


def table_of_outputs(page: AppTest) -> dict[str, str]:
    """What each model is said to say."""
    (table,) = [one for one in page.table if "says" in one.value.columns]
    lines = [(row["model"].strip("*"), row["says"].replace("\\", "")) for _, row in table.value.iterrows()]
    return dict(lines)
