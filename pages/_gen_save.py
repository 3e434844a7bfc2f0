"""What can be taken away from the Generate page: the link, the request file, the section's own files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages import _save, _shared
from pages._gen import VIEW, complete


@dataclass(frozen=True, slots=True)
class File:
    """Something to save.

    Attributes:
        label: on its button.
        name: of the file.
        make: its content.
        help: what is in it.
    """

    label: str
    name: str
    make: Callable[[], str]
    help: str = ""


def menu(files: Callable[[], None]) -> None:
    """The menu "Save & share".

    Args:
        files: draws what can be saved of the section.
    """
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, VIEW.current(), "saccade-generate.json", "gen request file", _open_file)
        if problem := st.session_state.pop("gen request problem", None):
            st.error(_shared.literal(problem))
        files()


def draw(files: Sequence[File]) -> None:
    """The buttons of some files."""
    if not files:
        return
    st.markdown("**Save**")
    with st.container(horizontal=True):
        for file in files:
            st.download_button(file.label, file.make, file.name, _mime(file.name), help=file.help, on_click="ignore")
    st.caption("Pictures: the buttons SVG and PNG beside the figures save what is on the screen.")


def _mime(name: str) -> str:
    kinds = {"csv": "text/csv", "json": "application/json", "html": "text/html"}
    return kinds[name.rpartition(".")[2]]


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV (RFC 4180); text in quotation marks, exactly as it is."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def json_of(content: Any) -> str:
    """As JSON, to be read by people too."""
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _open_file() -> None:
    uploaded = st.session_state["gen request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), complete)
    except ValueError as reason:
        st.session_state["gen request problem"] = str(reason)
