"""Cloze: which word fits the blank? A BERT restores masked words from both sides, and tells what follows what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

import viz
from engine.cards import score_rows
from engine.catalogue import ModelCard
from engine.cloze_text import MASK, ClozeInput
from pages import (
    _cloze_fill,
    _cloze_heads,
    _cloze_noise,
    _cloze_pair,
    _cloze_pronoun,
    _cloze_save,
    _cloze_text,
    _shared,
)
from pages._cards import no_longer
from pages._cloze_examples import Example, examples
from pages._cloze_view import (
    VIEW,
    ClozeView,
    Section,
    complete,
    given,
    made_with,
    meet,
    of_text,
    open_text,
    tells_pairs,
)

LARGE = "html { font-size: 125%; }"
SECTIONS: Mapping[Section, str] = {
    "fill": "Fill the blanks",
    "follows": "Next sentence",
    "pronoun": "Which noun?",
    "noise": "Noise",
    "heads": "Heads",
}
DRAW: Mapping[Section, Callable[[ModelCard, ClozeInput, viz.Theme], None]] = {
    "fill": _cloze_fill.draw,
    "follows": _cloze_pair.draw,
}
KINDS: Mapping[Section, tuple[str, ...]] = {
    "fill": ("sentences", "pairs"),
    "follows": ("pairs",),
    "pronoun": ("pronouns",),
    "noise": ("noises",),
    "heads": ("pairs", "sentences"),
}
"""Which examples a section offers."""

SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, into the text and the candidates |
| ← → ↑ ↓ | in the text from word to word; among candidates to the next |
| Enter or Space, click | mask a word, or show it again; put a candidate in |
| Home, End | first, last |
"""


def sections_of(card: ModelCard, view: ClozeView) -> list[Section]:
    """What a model can do, and what is open: a section that it cannot serve says why."""
    left_out = "follows" if view.section != "follows" and not tells_pairs(card) else None
    return [section for section in SECTIONS if section != left_out]


def header(card: ModelCard, view: ClozeView) -> None:
    """What the page does, and what there is beside the boxes."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Do",
            sections_of(card, view),
            format_func=SECTIONS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("section"),
        )
        if not view.presenter:
            with st.popover("Examples", icon=":material/lightbulb:"):
                for kind in KINDS[view.section]:
                    for number, example in enumerate(examples(kind)):
                        st.button(
                            _title(example),
                            key=f"cloze example {kind} {number}",
                            help=_shared.literal(f"{example.first} {example.second}".strip()),
                            on_click=_cloze_pronoun.open_pronoun if kind == "pronouns" else open_text,
                            args=(example,),
                            width="stretch",
                        )
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def _title(example: Example) -> str:
    if example.follows is None:
        return example.title
    return f"{example.title} ({'a pair' if example.follows else 'no pair'})"


def box(view: ClozeView) -> None:
    """The two texts."""
    state = st.session_state
    if state.get("cloze asked") != (view.first, view.second) or "cloze first" not in state:
        state["cloze first"], state["cloze second"] = state["cloze asked"] = (view.first, view.second)
    with st.form("cloze form", border=False):
        left, right, go = st.columns([9, 9, 2], vertical_alignment="bottom")
        left.text_input("Text (A)", key="cloze first", placeholder=f"A sentence; {MASK} in it is a blank")
        right.text_input("Second text (B), if any", key="cloze second", placeholder="What may follow it")
        go.form_submit_button("Show", type="primary", on_click=show, width="stretch")


def show() -> None:
    """Take over what is in the boxes."""
    state, view = st.session_state, VIEW.current()
    if (state["cloze first"], state["cloze second"]) != (view.first, view.second):
        VIEW.change(**of_text(Example("", state["cloze first"], state["cloze second"])))
    else:
        VIEW.change()
    VIEW.touch()


def scores(card: ModelCard) -> str:
    """What was measured of these weights, in one line of Markdown; nothing is of those of somebody's own."""
    if card.path is not None:
        return f"Opened here: `{card.identity}`."
    found = " · ".join(line for _, line in score_rows(card))
    return (
        f"Measured: {found} · `{card.identity}`" if found else f"Not measured yet for these weights: `{card.identity}`."
    )


def section(card: ModelCard, view: ClozeView, theme: viz.Theme) -> None:
    """What is open of the page."""
    if view.section == "pronoun":
        _cloze_pronoun.box(view)
        _cloze_pronoun.draw(card, view, theme)
        text = None
    elif view.section == "noise":
        box(view)
        _cloze_noise.draw(card, view, theme)
        text = None
    else:
        box(view)
        text = given(card, view)
        _cloze_text.show(text, VIEW.current(), theme)
        for note in text.notes:
            st.info(_shared.literal(note))
        if view.section == "heads":
            _cloze_heads.draw(card, text, theme)  # which writes the address as a reader explores
            return
        DRAW[view.section](card, text, theme)
    VIEW.remember(model=card.identity)
    if not view.presenter:
        _cloze_save.menu(card, text)


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        card = _shared.pick_model("cloze")
        problems = VIEW.arrive(complete)
        before = meet(card)
        problems += filter(None, [no_longer(before), made_with(card, VIEW.current())])
        view = VIEW.current()
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Cloze: which word fits the blank?", anchor=False)
        header(card, view)
        for problem in problems:
            st.warning(_shared.literal(problem))
        section(card, view, _shared.theme())
        if not view.presenter:
            st.caption(scores(card))


page()
