"""Registering a component of this folder with Streamlit: its script and style sheet, with what they all share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

FOLDER = Path(__file__).parent
PARTS = ("weights.js", "figure.js", "index.js")  # each builds on those before it


@cache
def script(name: str) -> str:
    """The component's module: shared.js, then its own files, index.js last."""
    own = [f"{name}/{part}" for part in PARTS if (FOLDER / name / part).is_file()]
    return _joined("shared.js", *own)


@cache
def style(name: str) -> str:
    """The component's style sheet: shared.css, then its own style.css."""
    return _joined("shared.css", f"{name}/style.css")


def _joined(*files: str) -> str:
    return "\n".join((FOLDER / file).read_text("utf-8") for file in files)


def register(name: str) -> Callable[..., Any]:
    """The component's mounting command; no request leaves the page, script and style travel inline."""
    mount: Callable[..., Any] = st.components.v2.component(f"saccade_{name}", js=script(name), css=style(name))
    return mount
