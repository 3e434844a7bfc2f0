"""Sentences with gold links on the Alignment page: those that ship, and those of the reader's own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from engine.alignment import detokenised
from engine.errors import InputError
from engine.gold_links import pair_line, read_pairs_file, shipped_pairs
from engine.types import LinkedPair
from pages import _shared
from pages._align import NO_PIN, VIEW

FORM = (
    "One pair a line: English words, French words, links, with tabs between. Words are separated by spaces; a link is "
    "`0-0` (sure) or `3p4` (possible): the English word, then the French one, counted from 0. Example:"
)
EXAMPLE = "The red car\tLa voiture rouge\t0-0 1-2 2-1"


def menu() -> None:
    """Choose a pair, or bring a file."""
    st.markdown("Sentences whose words somebody has linked. The links are drawn over every model's attention.")
    _buttons("align pair", shipped_pairs(), open_pair)
    st.divider()
    st.markdown("**Pairs of your own**")
    st.markdown(FORM)
    st.code(EXAMPLE, language=None)
    st.file_uploader("A text file", type=["tsv", "txt"], key="align pairs file", on_change=_open_file)
    if problem := st.session_state.pop("align pairs problem", None):
        st.error(_shared.literal(problem))
    _buttons("align own", _own(), open_own)


def _buttons(key: str, pairs: Sequence[LinkedPair], choose: Callable[[int], None]) -> None:
    for index, pair in enumerate(pairs):
        title = detokenised(pair.source, "en")[0]
        st.button(_shared.literal(title), key=f"{key} {index}", on_click=choose, args=(index,), width="stretch")


def _own() -> tuple[LinkedPair, ...]:
    pairs: tuple[LinkedPair, ...] = st.session_state.get("align own pairs", ())
    return pairs


def open_pair(index: int) -> None:
    """Show a pair that ships."""
    VIEW.change(pair=index, links="", text="", target="", step=0, **NO_PIN)
    VIEW.touch()


def open_own(index: int) -> None:
    """Show a pair of the reader's own file."""
    VIEW.change(pair=-1, links=pair_line(_own()[index]), text="", target="", step=0, **NO_PIN)
    VIEW.touch()


def leave_gold() -> None:
    """Another sentence: no links are known of it."""
    VIEW.change(pair=-1, links="")


def _open_file() -> None:
    uploaded = st.session_state["align pairs file"]
    if uploaded is None:
        return
    try:
        st.session_state["align own pairs"] = read_pairs_file(uploaded.getvalue().decode("utf-8"))
    except UnicodeDecodeError:
        st.session_state["align pairs problem"] = "This file is no UTF-8 text. Save it as UTF-8 and try again."
    except InputError as reason:
        st.session_state["align pairs problem"] = str(reason)
