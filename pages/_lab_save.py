"""What can be taken away from the Coreference page: the link, the request file, the table of heads, all maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from engine.tables import heads_csv, trace_bytes
from engine.verdict import Side
from pages import _save
from pages._cards import file_name, name_in
from pages._lab import CODEC, VIEW, LabView
from pages._pair import PairShown


def menu(pair: PairShown, sides: tuple[Side, Side] | None) -> None:
    """The menu "Save & share"."""
    view = VIEW.current()
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(CODEC, view, "saccade-coreference.json", "lab request file", _open_file)
        if problem := st.session_state.pop("lab file problem", None):
            st.error(problem)
        st.markdown("**Save**")
        name = file_name(name_in(view.model))
        with st.container(horizontal=True):
            st.download_button(
                "All heads, CSV",
                lambda: heads_csv(
                    [side.margins for side in pair.sides], [side.sweep.change for side in sides] if sides else None
                ),
                f"{name}-heads.csv",
                "text/csv",
                help="One line for each head: its preferences, and what switching it off adds to the log-odds.",
                on_click="ignore",
            )
            for number, side in enumerate(pair.sides, 1):
                st.download_button(
                    f"Maps of sentence {number}, NPZ",
                    partial(trace_bytes, side.trace),
                    f"{name}-sentence-{number}.npz",
                    "application/octet-stream",
                    help="Every map as the model computed it, with tokens and request; numpy reads it.",
                    on_click="ignore",
                )
        st.caption("Pictures: the buttons SVG and PNG beside the figures save what is on the screen.")


def _open_file() -> None:
    uploaded = st.session_state["lab request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), _completed)
    except ValueError as reason:
        st.session_state["lab file problem"] = str(reason)


def _completed(view: LabView, addressed: bool) -> tuple[LabView, list[str]]:
    if view.first and view.second:
        return view, []
    shown = VIEW.current()
    return replace(view, first=shown.first, second=shown.second), [
        "The file holds no sentences: those of the page stay."
    ]
