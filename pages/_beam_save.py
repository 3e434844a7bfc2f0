"""What can be taken away from the Beam search page: the link, the request file, the tree, the table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

import viz
from engine.decoding.tree import SearchRequest, hypotheses_csv, tree_json
from engine.types import BeamTree
from pages import _save
from pages._search import VIEW
from viz.components.standalone import standalone_html


def menu(requests: Sequence[SearchRequest], trees: Sequence[BeamTree], data: bytes, theme: viz.Theme) -> None:
    """The menu "Save & share"."""
    view = VIEW.current()
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, view, "saccade-beam.json", "beam request file", _open_file)
        if problem := st.session_state.pop("beam file problem", None):
            st.error(problem)
        st.markdown("**Save**")
        name = f"{view.model.split('@')[0]}-beam"
        with st.container(horizontal=True):
            st.download_button(
                "Hypotheses, CSV",
                partial(hypotheses_csv, trees[0], requests[0].options),
                f"{name}.csv",
                "text/csv",
                on_click="ignore",
            )
            st.download_button(
                "Tree, JSON",
                partial(tree_json, requests[0], trees[0]),
                f"{name}.json",
                "application/json",
                help="Every recorded candidate with its parent, probability, score, rank and fate.",
                on_click="ignore",
            )
            st.download_button(
                "Tree, HTML",
                lambda: standalone_html(
                    "beam",
                    data,
                    title=view.text,
                    note=f"{trees[0].title} · {view.model} · made with Saccade",
                    theme=theme,
                ),
                f"{name}.html",
                "text/html",
                help="This tree as one file that works in any browser, offline, without Saccade.",
                on_click="ignore",
            )
        st.caption("Pictures: the buttons SVG and PNG beside the figures save what is on the screen.")


def _open_file() -> None:
    uploaded = st.session_state["beam request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), lambda view, addressed: (view, []))
    except ValueError as reason:
        st.session_state["beam file problem"] = str(reason)
