"""What can be taken away from the Cloze page: the link, the request file, and what the open section has computed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import streamlit as st

from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_answers import Blank
from engine.cloze_text import ClozeInput
from pages import _save, _shared
from pages._cloze_view import CANDIDATES, VIEW, complete

COLUMNS = ("blank", "position", "original", "own", "own_rank", "own_probability", "rank", "candidate", "probability")


def menu(card: ModelCard, given: ClozeInput | None, files: Callable[[], None] | None = None) -> None:
    """The menu "Save & share".

    Args:
        card: of the model.
        given: the text; None where the section has others.
        files: draws what can be saved of a figure of heads.
    """
    with st.popover("Save & share", icon=":material/share:"):
        _save.link(VIEW.codec, VIEW.current(), "saccade-cloze.json", "cloze request file", _open_file)
        if problem := st.session_state.pop("cloze request problem", None):
            st.error(_shared.literal(problem))
        if given is not None and given.blanks:
            blanks = _shared.computed(card, Cloze.fill, given, CANDIDATES)
            st.markdown("**Save the candidates**")
            with st.container(horizontal=True):
                st.download_button(
                    "Candidates, CSV",
                    lambda: candidates_csv(blanks),
                    "cloze-candidates.csv",
                    "text/csv",
                    help="One line for each blank and candidate, the text's own beside it.",
                    on_click="ignore",
                )
                st.download_button(
                    "Candidates, JSON",
                    lambda: candidates_json(card, given, blanks),
                    "cloze-candidates.json",
                    "application/json",
                    help="The text as the model reads it, with segments and masks, and all candidates.",
                    on_click="ignore",
                )
        if files is None:
            st.caption("Pictures: the buttons SVG and PNG beside a figure save what is on the screen.")
        else:
            files()


def candidates_csv(blanks: Sequence[Blank]) -> str:
    """All candidates as CSV (RFC 4180): one line for each blank and candidate. Blanks and positions count from 0."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for number, blank in enumerate(blanks):
        own = (blank.own.label, blank.own.rank, blank.own.probability) if blank.own else ("", "", "")
        for one in blank.candidates:
            row = (number, blank.position, blank.original or "", *own, one.rank, one.label, one.probability)
            writer.writerow(row)
    return out.getvalue()


def candidates_json(card: ModelCard, given: ClozeInput, blanks: Sequence[Blank]) -> str:
    """The same with the text as the model reads it. Positions count from 0."""
    record: dict[str, Any] = {
        "model": card.identity,
        "first": given.first,
        "second": given.second,
        "tokens": given.tokens.labels,
        "ids": given.tokens.ids,
        "segments": given.segments,
        "blanks": [asdict(blank) for blank in blanks],
    }
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def _open_file() -> None:
    uploaded = st.session_state["cloze request file"]
    if uploaded is None:
        return
    try:
        VIEW.open_file(uploaded.getvalue(), complete)
    except ValueError as reason:
        st.session_state["cloze request problem"] = str(reason)
