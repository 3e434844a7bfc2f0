"""Type along: suggestions and what they rest on, with every letter."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.characters import fold
from engine.completion import LONGEST, TYPED, Completer, Completion
from pages import _shared
from pages._memo import PRESENTER, VIEW
from viz.components.typing_along import Rest, Typed, typed_in, typing_along, typing_data

KEY = "memo typing"


def suggest(completer: Completer, text: str) -> Completion:
    """What a network suggests at the end of a text."""
    return completer.complete(text)


@st.fragment
def draw(cards: Sequence[ModelCard], theme: viz.Theme) -> None:
    """The box and a block for each network; only this part runs again while a reader types."""
    with _shared.errors_as_sentences():
        view = VIEW.current()
        if view.doing != "type":
            st.rerun()
        start = VIEW.epoch()
        typed = typed_in(KEY, start_id=start, limit=LONGEST) or Typed(view.text[:LONGEST])
        rests = []
        for card in cards:
            found: Completion = _shared.computed(card, suggest, typed.text)
            rests.append(Rest(card.short, found.suggestions, found.text, found.influence, found.start))
        data = typing_data(
            rests,
            typed,
            changes=[str(change) for change in fold(typed.text).changes],
            limit=LONGEST,
            theme=theme,
            scale=PRESENTER if view.presenter else 1.0,
            start_id=start,
        )

        def changed() -> None:
            if made := typed_in(KEY, start_id=start, limit=LONGEST):
                VIEW.change(text=made.text, position=-1)

        typing_along(data, key=KEY, on_change=changed)
        st.caption(
            f"Each network reads the last {TYPED} characters. The shading is the gradient of its first suggestion's "
            "logit with respect to each character (one-hot), divided by the largest."
        )
        if typed.serial == 0 or not typed.text or typed.text[-1].isspace():  # each address is a step of going back
            VIEW.remember(networks=tuple(card.identity for card in cards))
