"""Runs of the article opened as further panels."""

from __future__ import annotations

import streamlit as st

from engine.article import read_article
from engine.errors import InputError
from engine.types import ConnectedText
from pages import _shared
from pages._memo import VIEW

MOST_FILES = 5


def menu() -> None:
    """Where JSON files of the article are opened."""
    st.markdown(
        "“Visualizing memorization in RNNs” (Madsen, Distill 2019) was published with three runs: "
        "`connectivity_gru.json`, `connectivity_lstm.json` and `connectivity_nlstm.json`. Open them here: each becomes "
        "one more panel, drawn by the same rules. They are not part of Saccade."
    )
    st.file_uploader("Files of the article", type="json", accept_multiple_files=True, key="memo files", on_change=_open)
    if opened():
        st.button("Close these runs", on_click=_close)
    for problem in st.session_state.get("memo file problems", []):
        st.error(_shared.literal(problem))


def _open() -> None:
    found: dict[str, ConnectedText] = {}
    problems = []
    for number, uploaded in enumerate(st.session_state["memo files"][:MOST_FILES], 1):
        name = uploaded.name.removesuffix(".json").removeprefix("connectivity_")[:40].upper()
        name = f"{name} ({number})" if name in found else name
        try:
            found[name] = read_article(uploaded.getvalue(), f"{name}, the article's")
        except InputError as reason:
            problems.append(f"{uploaded.name}: {reason}")
    if len(st.session_state["memo files"]) > MOST_FILES:
        problems.append(f"At most {MOST_FILES} files are shown.")
    st.session_state["memo opened"], st.session_state["memo file problems"] = found, problems
    VIEW.change()


def _close() -> None:
    """The panels go, and so do the files in the box."""
    for key in ("memo opened", "memo file problems", "memo files"):
        st.session_state.pop(key, None)
    VIEW.change()


def opened() -> dict[str, ConnectedText]:
    """The runs that were opened, by name."""
    found: dict[str, ConnectedText] = st.session_state.get("memo opened", {})
    return found
