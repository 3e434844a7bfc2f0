"""The heads of the Cloze page: every token looks at every other, and of two texts one may be looked at alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_text import ClozeInput
from engine.reduce import between
from engine.types import Trace
from pages import _cloze_save, _shared, _views
from pages._cloze_view import VIEW, ends
from pages._host import host_of
from pages._permalink import View
from pages._state import touch
from viz.components.choices import percentage

BETWEEN = {"all": "All", "AA": "A → A", "AB": "A → B", "BA": "B → A", "BB": "B → B"}
BETWEEN_HELP = (
    "Whose tokens look, and at whose: A is the first text with the special tokens before and behind it, B the second "
    "with its own. The weights stay the model's own, so rows no longer sum to 1."
)
TEXTS = {"A": 0, "B": 1}


def draw(card: ModelCard, given: ClozeInput, theme: viz.Theme) -> None:
    """The section."""
    trace = _shared.computed_arrays(card, Cloze.trace, given)
    host = host_of(
        VIEW,
        lambda files: _cloze_save.menu(card, given, files),
        {"encoder": "Text → text"},
        special=f"Special tokens ({_shared.literal(ends(given))})",
        prepare=partial(part_of, given),
        model=card.identity,
    )
    _views.explore(card, trace, theme, partial(below, given, trace), host)


def part_of(given: ClozeInput, trace: Trace) -> Trace:
    """The trace with the rows and columns that the reader chooses."""
    if not given.second:
        return trace
    st.segmented_control(
        "Who looks at whom",
        list(BETWEEN),
        format_func=BETWEEN.__getitem__,
        required=True,
        help=None if VIEW.current().presenter else BETWEEN_HELP,
        **VIEW.widget("between") | {"on_change": take_part, "args": ()},
    )
    chosen = VIEW.current().between
    if chosen == "all":
        return trace
    part = between(trace.maps["encoder"], given.segments, TEXTS[chosen[0]], TEXTS[chosen[1]])
    return replace(trace, maps={"encoder": part.attention})


def take_part() -> None:
    """Other rows and columns: figures take over pins that were moved."""
    VIEW.change(between=st.session_state[VIEW.key("between")])
    touch()


def below(given: ClozeInput, trace: Trace, view: View) -> None:
    """What the filter took away, and what is to be seen."""
    if view.presenter:
        return
    chosen = VIEW.current().between
    if given.second and chosen != "all":
        part = between(trace.maps["encoder"], given.segments, TEXTS[chosen[0]], TEXTS[chosen[1]])
        rest = percentage(float(part.removed.mean()))
        st.caption(f"{BETWEEN[chosen]}: what is not shown took {rest} of each row on average, over all heads.")
    st.caption(
        "Nothing is hidden from any token: a [MASK] looks to both sides. Click another word above to mask it, and see "
        "where the heads look from its blank."
    )
