"""What can be taken away from the Alignment page: the link, the request file, weights, a page that works offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.tables import map_csv, trace_bytes
from engine.types import Trace
from pages import _save
from pages._align import VIEW, complete, gold, pin
from viz.components.alignments import Panel, alignments_data, alignments_html

NOTE = "Rows: the words said; columns: the words read; a cell: how much attention a word pays to another."


def menu(cards: Sequence[ModelCard], found: Mapping[str, Trace], panels: Sequence[Panel], theme: viz.Theme) -> None:
    """The menu "Save & share"."""
    view = VIEW.current()  # now: files are made later, outside the session
    links, pinned = gold(view), pin(view, cards, panels)
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, view, "saccade-alignment.json", "align request file", _open_file)
        if problem := st.session_state.pop("align request problem", None):
            st.error(problem)
        st.markdown("**Save**")
        for card, one in zip(cards, panels, strict=True):
            with st.container(horizontal=True, vertical_alignment="center"):
                if one.attention is not None:
                    attention = one.attention
                    st.download_button(
                        f"{one.name}, CSV",
                        lambda attention=attention: map_csv(attention, 0, (0,)),  # type: ignore[misc]
                        f"{card.name}-alignment.csv",
                        "text/csv",
                        help="One line for each output and source word of the shown map.",
                        on_click="ignore",
                    )
                st.download_button(
                    f"{one.name}, NPZ",
                    lambda trace=found[card.name]: trace_bytes(trace),  # type: ignore[misc]
                    f"{card.name}-maps.npz",
                    "application/octet-stream",
                    help="Every map as the model computed it, with tokens and request; numpy reads it.",
                    on_click="ignore",
                )
        st.download_button(
            "Panels as a page",
            lambda: alignments_html(
                alignments_data(panels, view=view.view, gold=links, numbers=view.numbers, pinned=pinned, theme=theme),
                title=next(iter(found.values())).source.text,
                note=NOTE,
                theme=theme,
            ),
            "alignment.html",
            "text/html",
            help="One file that works offline: pointing and pins as here.",
            on_click="ignore",
        )
        st.caption("Pictures: the buttons SVG and PNG beside the panels save what is on the screen.")


def _open_file() -> None:
    uploaded = st.session_state["align request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), complete)
    except ValueError as reason:
        st.session_state["align request problem"] = str(reason)
