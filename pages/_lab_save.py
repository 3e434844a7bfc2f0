"""What can be taken away from the Coreference page: the link, the request file, the table of heads, all maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

from engine.catalogue import ModelCard
from engine.tables import heads_csv, trace_bytes
from engine.verdict import Side
from pages import _lab, _save
from pages._address import fits
from pages._lab import CODEC
from pages._pair import PairShown


def remember(card: ModelCard) -> None:
    """Write the view into the address, so that reloading, going back and copying it work."""
    view = replace(_lab.current(), model=card.identity)
    address = CODEC.encode(view)
    if not fits(address):
        address = CODEC.without_text(address)
        st.info("These sentences are too long for the address. “Save & share” has a request file of the same view.")
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)
    st.session_state["lab"], st.session_state["lab address"] = view, address
    st.session_state.pop("acted", None)


def menu(pair: PairShown, sides: tuple[Side, Side] | None) -> None:
    """The menu "Save & share"."""
    view = _lab.current()
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(CODEC, view, "saccade-coreference.json", "lab request file", _open_file)
        if problem := st.session_state.pop("lab file problem", None):
            st.error(problem)
        st.markdown("**Save**")
        name = view.model.split("@")[0]
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
        view, problems = CODEC.from_file(uploaded.getvalue())
    except ValueError as reason:
        st.session_state["lab file problem"] = str(reason)
        return
    if not (view.first and view.second):
        problems.append("The file holds no sentences: those of the page stay.")
        view = replace(view, first=_lab.current().first, second=_lab.current().second)
    _lab.open_view(view)
    st.session_state["lab problems"] = problems
