"""The models side by side on one prompt: what may come next, and a sample of each with the same seed."""

from __future__ import annotations

import streamlit as st

import viz
from engine.errors import SaccadeError
from pages import _gen_controls, _gen_sample, _shared
from pages._gen import VIEW, card_of, compared, options_of, text_so_far
from pages._gen_save import File, csv_of
from pages._gen_text import following, note, paragraphs, rows


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    view = VIEW.current()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        _gen_controls.pick_opened()
        if not view.presenter:
            _gen_controls.sampling(length=True)
        st.button("Draw again", icon=":material/casino:", on_click=_gen_controls.another, help="With the next seed.")
    view = VIEW.current()
    prompt = text_so_far(_shared.generator(card_of(view)), view)
    lines: list[tuple[str, str, str]] = []
    cards = compared()
    for card, column in zip(cards, st.columns(len(cards), gap="medium"), strict=True):
        with column:
            st.markdown(f"**{_shared.literal(card.short)}**", help=_shared.literal(card.summary))
            try:
                found = following(card, view, prompt)
                rows(found, theme, f"gen choices {card.name}", place=prompt, name=f"Next token, {card.short}")
                drawn = _gen_sample.sampled(card, prompt, (), options_of(view))
            except SaccadeError as reason:  # of one model: the others can still be compared
                st.warning(_shared.literal(str(reason)))
                continue
            said = "".join(one.text for one in drawn)
            with st.container(border=True):
                paragraphs(f"… {said.strip()}")
            note(found.note)
            lines.append((card.identity, prompt, said))
    if not view.presenter:
        st.caption(
            "The same seed does not make samples alike: the models draw from different tokens (words, characters, "
            "subwords). Each sample has the same number of tokens, so that of characters is the shortest."
        )
    return [
        File(
            "Samples, CSV",
            "samples-by-model.csv",
            lambda: csv_of(("model", "prompt", "sample"), lines),
            "One line for each model.",
        )
    ]
