"""Which noun is meant? Two sentences of the Cloze page that differ in a word, with the noun's place left open."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_answers import WordScore
from engine.cloze_text import ClozeInput
from engine.errors import InputError
from pages import _shared
from pages._cloze_examples import Example, examples
from pages._cloze_view import CANDIDATES, VIEW, ClozeView, of_pronoun, scale
from viz.components.choices import ChoiceRow, Columns, choices, choices_data, percentage

MOST_WORDS = 10  # columns of the table; each word is a pass for each sentence
HONEST = (
    "Which noun was too tired or too wide is a matter of what animals and streets are like. A model as small as this "
    "one has seen too little to know it: it mostly goes by how often a word stands in such a place, and often gives "
    "both sentences the same answer. Where grammar tells, as in the example “He or she”, it does better."
)
OF_ITS_OWN = (
    "Which noun was too tired or too wide is a matter of what animals and streets are like. Our sentences were chosen "
    "for the BERT that ships: what another model makes of them is its own. Longer words, of several pieces, are at a "
    "disadvantage."
)


def box(view: ClozeView) -> None:
    """The two sentences and the words."""
    state = st.session_state
    asked = asked_of(view)
    if state.get("cloze pronoun asked") != asked or "cloze one" not in state:
        state["cloze one"], state["cloze other"], state["cloze words asked"] = state["cloze pronoun asked"] = asked
    with st.form("cloze pronoun", border=False):
        left, right, words, go = st.columns([8, 8, 4, 3], vertical_alignment="bottom")
        left.text_input("Sentence with a [MASK]", key="cloze one")
        right.text_input("The same with a word changed", key="cloze other")
        words.text_input("Words to compare", key="cloze words asked", placeholder="animal, street")
        go.form_submit_button("Compare", type="primary", on_click=ask, width="stretch")


def ask() -> None:
    """Take over what is in the boxes."""
    state = st.session_state
    VIEW.change(one=state["cloze one"], other=state["cloze other"], words=state["cloze words asked"])
    VIEW.touch()


def open_pronoun(example: Example) -> None:
    """Show one of our pairs."""
    VIEW.change(**of_pronoun(example))
    VIEW.touch()


def asked_of(view: ClozeView) -> tuple[str, str, str]:
    """Both sentences and the words: those of the view, or of our first pair where it has none."""
    if view.one.strip() or view.other.strip():
        return view.one, view.other, view.words
    first = of_pronoun(examples("pronouns")[0])
    return first["one"], first["other"], first["words"]


def draw(card: ModelCard, view: ClozeView, theme: viz.Theme) -> None:
    """The section."""
    one, other, typed = asked_of(view)
    words = words_of(typed)
    if len(words) > MOST_WORDS:
        raise InputError(f"{len(words):,} words are too many to compare. Leave {MOST_WORDS} of them at most.")
    sides = [side for side in (one, other) if side.strip()]
    given = [_shared.computed(card, Cloze.read, text) for text in sides]
    scores = [_shared.computed(card, Cloze.compare, one, words) for one in given]
    with st.container(key="numbers"):
        st.html(_table(given, scores, theme))
    if said := verdict(scores):
        st.markdown(said)
    if not view.presenter:
        st.caption(HONEST if card.path is None else OF_ITS_OWN)
    for number, (place, side) in enumerate(zip(st.columns(len(given), gap="large"), given, strict=True), 1):
        with place:
            _candidates(card, side, number, theme)


def words_of(typed: str) -> tuple[str, ...]:
    """The words to compare, each once."""
    return tuple(dict.fromkeys(word for word in re.split(r"[\s,;]+", typed) if word))


def _table(given: Sequence[ClozeInput], scores: Sequence[Sequence[WordScore]], theme: viz.Theme) -> str:
    """Probabilities of the words at the blank, and their shares of what the words have together."""
    rows = [
        (
            f"{number}",
            *(percentage(score.probability) for score in side),
            *(percentage(score.share) for score in side if len(side) > 1),
        )
        for number, side in enumerate(scores, 1)
    ]
    names = [score.word for score in scores[0]]
    against = [f"{name}, of these" for name in names if len(names) > 1]
    return viz.small_table(("sentence", *names, *against), rows, caption="Probability at the blank", theme=theme)


def verdict(scores: Sequence[Sequence[WordScore]]) -> str:
    """Which of the words is preferred in each sentence, as Markdown."""
    best = [max(side, key=lambda score: score.logprob).word for side in scores]
    named = [f"**{_shared.literal(word)}**" for word in best]
    if len(scores[0]) == 1:
        return ""
    if len(best) == 1:
        return f"Of these words the model prefers {named[0]}."
    if best[0] == best[1]:
        return f"The model prefers {named[0]} in both sentences: the changed word does not change its mind."
    return f"The model prefers {named[0]} in the first sentence and {named[1]} in the second: the word decides."


def _candidates(card: ModelCard, given: ClozeInput, number: int, theme: viz.Theme) -> None:
    """What the model itself would put there; to be looked at."""
    blank = _shared.computed(card, Cloze.fill, given, CANDIDATES)[0]
    data = choices_data(
        [ChoiceRow(one.label, "", one.probability) for one in blank.candidates],
        columns=Columns("candidate", "probability"),
        name=f"Candidates in sentence {number}",
        theme=theme,
        scale=scale(),
        start_id=f"{VIEW.epoch()} {number}",
        file_name=f"which-noun-{number}",
    )
    st.caption(_shared.literal(given.tokens.text))
    with st.container(key=f"candidates {number}"):
        choices(data, key=f"cloze candidates {number}")
