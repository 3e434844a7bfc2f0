"""Your model: a Hugging Face checkpoint or uploaded attention, in every view."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

import viz
from pages import _own_attention, _own_long, _own_neurons, _own_open, _own_save, _own_upload, _shared
from pages._own import OF_MODEL, VIEW, OwnView, Section, card_of, complete, unloaded

LARGE = "html { font-size: 125%; } .st-key-heatmap > * { min-width: 50rem !important; }"
SECTIONS: Mapping[Section, str] = {
    "open": "Open",
    "attention": "Attention",
    "neurons": "Neurons",
    "long": "Long text",
    "upload": "Uploaded attention",
}
DRAW: Mapping[Section, Callable[[viz.Theme], None]] = {
    "open": _own_open.draw,
    "attention": _own_attention.draw,
    "neurons": _own_neurons.draw,
    "long": _own_long.draw,
    "upload": _own_upload.draw,
}
WITH_LINK: tuple[Section, ...] = ("neurons", "long")
"""Sections whose link the page offers; the others do so beside their figure, or have nothing to link to."""
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, into the text, the tokens and the figure |
| ← → ↑ ↓ | in the text from token to token; in a figure to the next row, cell or head |
| Enter or Space, click | pick a token, pin it, open a head |
| Home, End | first, last |
"""


def header(view: OwnView) -> None:
    """What the page does, and what there is beside it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Do",
            list(SECTIONS),
            format_func=SECTIONS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("section"),
        )
        if not view.presenter:
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        problems = [*VIEW.arrive(complete), *unloaded()]
        view = VIEW.current()
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Your model", anchor=False)
        header(view)
        for problem in problems:
            st.warning(_shared.literal(problem))
        DRAW[view.section](_shared.theme())
        shown = {"model": card_of(VIEW.current()).identity} if view.section in OF_MODEL else {}
        VIEW.remember(**shown)
        if view.section in WITH_LINK and not view.presenter:
            _own_save.menu()


page()
