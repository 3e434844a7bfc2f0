"""What can be taken away from the Memorization page: the link, the request file, numbers, a page that works offline."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

import viz
from engine.connected_files import connected_csv, connected_npz
from engine.types import ConnectedText
from pages import _save
from pages._memo import VIEW, complete


def menu(texts: Mapping[str, ConnectedText], theme: viz.Theme) -> None:
    """The menu "Save & share"."""
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, VIEW.current(), "saccade-memorization.json", "memo request file", _open_file)
        if problem := st.session_state.pop("memo request problem", None):
            st.error(problem)
        if not texts:
            return
        st.markdown("**Save**")
        with st.container(horizontal=True):
            st.download_button(
                "All rows, CSV",
                partial(connected_csv, tuple(texts.values())),
                "memorization.csv",
                "text/csv",
                help="One line for each network, output position and earlier character.",
                on_click="ignore",
            )
            st.download_button(
                "Matrices, NPZ",
                partial(connected_npz, dict(texts)),
                "memorization.npz",
                "application/octet-stream",
                help="Every matrix as computed, with the text, targets and suggestions; numpy reads it.",
                on_click="ignore",
            )
        st.caption("Pictures: the buttons SVG and PNG beside the text save what is on the screen.")


def _open_file() -> None:
    uploaded = st.session_state["memo request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), complete)
    except ValueError as reason:
        st.session_state["memo request problem"] = str(reason)
