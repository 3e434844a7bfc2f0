"""What can be taken away from the page "Your model": the link, the request file, and the figure's own files."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages import _save, _shared
from pages._own import VIEW, complete

KEY = "own request file"
OTHERS = (
    "A link names the model and does not carry it: whoever follows it needs the same model opened. Uploaded attention "
    "is in no link either: pass on the file."
)


def menu(files: Callable[[], None] = lambda: None) -> None:
    """The menu "Save & share".

    Args:
        files: draws what can be saved of a figure.
    """
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, VIEW.current(), "saccade-your-model.json", KEY, _open_file)
        if problem := st.session_state.pop("own request problem", None):
            st.error(_shared.literal(problem))
        st.caption(OTHERS)
        files()


def _open_file() -> None:
    uploaded = st.session_state[KEY]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), complete)
    except ValueError as reason:
        st.session_state["own request problem"] = str(reason)
