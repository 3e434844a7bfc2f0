"""Two texts of the Cloze page: whether the second one follows the first, by BERT's second task."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_text import ClozeInput
from engine.errors import InputTooLong
from pages import _shared
from pages._cloze_examples import Example, unrelated
from pages._cloze_view import VIEW, open_text, tells_pairs
from viz.components.choices import percentage

NEEDS_TWO = "There is one text only. Type a second one above, or open an example of a pair."
NOT_TOLD = (
    "A model that was opened here restores masked words and nothing else: it does not tell whether one text follows "
    "another. Choose the BERT that ships to ask for the next sentence."
)
TASK = (
    "In half of its training pairs the second text came from another place. A book's subject, names and quotation "
    "marks give many of these away, so the answer says more about “same kind of text” than about “comes next”: it "
    "often changes little when the two are swapped, and a sentence from another story can pass for the next one."
)


def draw(card: ModelCard, given: ClozeInput, theme: viz.Theme) -> None:
    """The section."""
    if not tells_pairs(card):
        st.info(NOT_TOLD)
        return
    if not given.second:
        st.info(NEEDS_TWO)
        return
    swapped = _shared.computed(card, _following, given.second, given.first)
    follows = _shared.computed(card, Cloze.follows, given)
    with st.container(horizontal=True, gap="small"):
        st.metric("B follows A", percentage(follows), border=True, width="content", help=TASK)
        st.metric("Swapped: A follows B", percentage(swapped), border=True, width="content")
    tools()
    others(card, given, follows)


def _following(cloze: Cloze, first: str, second: str) -> float:
    return cloze.follows(cloze.read(first, second))


def tools() -> None:
    """Other second texts."""
    with st.container(horizontal=True, gap="small"):
        st.button("Swap the two", icon=":material/swap_vert:", on_click=swap)
        st.button("Put an unrelated one", icon=":material/shuffle:", on_click=put_unrelated)


def swap() -> None:
    """The second text first."""
    view = VIEW.current()
    open_text(Example("", view.second, view.first))


def put_unrelated() -> None:
    """The next of the sentences that follow from nothing."""
    view, sentences = VIEW.current(), unrelated()
    at = sentences.index(view.second) + 1 if view.second in sentences else 0
    open_text(Example("", view.first, sentences[at % len(sentences)]))


def others(card: ModelCard, given: ClozeInput, follows: float) -> None:
    """The second text beside sentences from elsewhere."""
    try:
        rows = [(sentence, _shared.computed(card, _following, given.first, sentence)) for sentence in unrelated()]
    except InputTooLong:
        st.caption("The first text leaves no room for sentences from elsewhere. Shorten it to compare with them.")
        return
    rows = [row for row in rows if row[0] != given.second]
    above = sum(share >= follows for _, share in rows)
    st.markdown("**After the same first text**")
    with st.container(key="outputs"):
        st.table(
            [
                {"follows": percentage(share), "second text": _shared.literal(text)}
                for text, share in [(given.second, follows), *rows]
            ],
            hide_index=True,
        )
    if above:
        st.caption(f"{above} of {len(rows)} unrelated sentences are thought at least as likely to follow. {TASK}")
    else:
        st.caption(f"None of {len(rows)} unrelated sentences is thought as likely to follow. {TASK}")
