"""Runs of the article opened as further panels, and readings that the reader stopped."""

from __future__ import annotations

import streamlit as st

from engine.article import read_article
from engine.catalogue import ModelCard
from engine.errors import InputError
from engine.types import ConnectedText
from pages import _shared
from pages._memo import VIEW, MemoView, asked, reading_key

MOST_FILES = 5


def menu() -> None:
    """Where JSON files of the article are opened."""
    st.markdown(
        "“Visualizing memorization in RNNs” (Madsen, Distill 2019) was published with three runs: "
        "`connectivity_gru.json`, `connectivity_lstm.json` and `connectivity_nlstm.json`. Open them here: each becomes "
        "one more panel, drawn by the same rules. They are not part of Saccade."
    )
    st.file_uploader("Files of the article", type="json", accept_multiple_files=True, key="memo files", on_change=_open)
    for problem in st.session_state.get("memo file problems", []):
        st.error(_shared.literal(problem))


def _open() -> None:
    found: dict[str, ConnectedText] = {}
    problems = []
    for uploaded in st.session_state["memo files"][:MOST_FILES]:
        name = uploaded.name.removesuffix(".json").removeprefix("connectivity_")[:40]
        try:
            found[name] = read_article(uploaded.getvalue(), f"{name.upper()}, the article's")
        except InputError as reason:
            problems.append(f"{uploaded.name}: {reason}")
    if len(st.session_state["memo files"]) > MOST_FILES:
        problems.append(f"At most {MOST_FILES} files are shown.")
    st.session_state["memo opened"], st.session_state["memo file problems"] = found, problems
    VIEW.change()


def opened() -> dict[str, ConnectedText]:
    """The runs that were opened, by name."""
    found: dict[str, ConnectedText] = st.session_state.get("memo opened", {})
    return found


def known(card: ModelCard, view: MemoView) -> bool:
    """Whether a reading is in memory, so that it costs nothing to show."""
    return _shared.is_kept(card, reading_key(view))


def go_on() -> None:
    """Read the rest after all."""
    st.session_state.pop("memo stopped", None)
    VIEW.change()


def differs(view: MemoView, before: MemoView) -> bool:
    """Whether the whole page has to change, not only what explores a text."""
    return asked(view) != asked(before) or (view.networks, view.presenter, view.doing) != (
        before.networks, before.presenter, before.doing,
    )  # fmt: skip
