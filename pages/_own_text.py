"""The box of the page "Your model" for what a model reads: a text, and a second one where it takes two."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import streamlit as st

from engine.catalogue import ModelCard
from pages._own import VIEW, ask

EXAMPLE = "The animal didn't cross the street because it was too tired."
SECONDS: Mapping[str, tuple[str, str]] = {
    "cross": ("Output, if you force one", "Empty: what the model itself says"),
    "encoder": ("Second text, if any", "Read after the first, as another segment"),
}
"""The box of the second text, by the first of these kinds of maps that a model has."""


def box(
    card: ModelCard, example: str = EXAMPLE, *, name: str = "own text", height: int = 68, button: str = "Show"
) -> tuple[str, str]:
    """What the model reads, and its second text, "" where it has none.

    Args:
        card: of the model.
        example: what is read until somebody types.
        name: of the box among others.
        height: of the boxes, in pixels.
        button: what takes the text.
    """
    state, view = st.session_state, VIEW.current()
    first, other, asked = f"{name} box", f"{name} second", f"{name} asked"
    text, second = example if view.text is None else view.text, view.second or ""
    if state.get(asked) != (text, second) or first not in state or other not in state:
        state[first], state[other] = state[asked] = (text, second)
    two = next((SECONDS[kind] for kind in SECONDS if kind in card.supports), None)
    with st.form(f"{name} form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_area("Text", key=first, height=height, placeholder="Type or paste a text")
        if two is not None:
            st.text_area(two[0], key=other, height=height, placeholder=two[1])
        st.form_submit_button(button, type="primary", on_click=partial(_ask, first, other))
    return text, second if two is not None else ""


def _ask(first: str, other: str) -> None:
    ask(st.session_state[first], st.session_state.get(other, "").strip() or None)
