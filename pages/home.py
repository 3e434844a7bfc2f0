"""Home: what Saccade can do, as one live figure and cards that open a page in a state."""

from __future__ import annotations

import streamlit as st

from engine.analysis import merge_words
from engine.catalogue import ModelCard
from pages import _shared
from pages._permalink import CODEC
from pages._presets import PRESETS, Preset
from viz.components.lines import LinesView, lines, lines_data

CARDS = 4  # side by side on a wide screen


def hero(card: ModelCard, preset: Preset) -> None:
    """The most asked-for sentence, live."""
    view = preset.view(card)
    trace = _shared.trace(card, preset.text)
    attention = merge_words(trace.maps["encoder"])
    heads = view.heads or tuple(range(attention.heads))
    shown = LinesView(layer=attention.layers - 1 if view.layer is None else view.layer, heads=heads, query=view.pins)
    _shared.plain_text(trace.translation, size="1.4rem", lang="fr")
    lines(lines_data(attention, shown, theme=_shared.theme(), controls="none", start_id="home"), key="hero")


def preset_card(card: ModelCard, name: str, preset: Preset) -> None:
    """One preset: what it shows, and the way there."""
    with st.container(border=True, key=f"card {name}", height="stretch"):
        st.markdown(f"**{preset.title}**")
        _shared.plain_text(preset.text, size="0.95rem", lang="en")
        st.caption(preset.explanation(card))
        st.page_link(
            "pages/translate.py",
            label="Open",
            icon=":material/translate:",
            query_params=CODEC.encode(preset.view(card)),
            disabled=not preset.available(card),
        )


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        card = _shared.pick_model("translate", "encoder")
        st.title("See what a trained network looks at", anchor=False)
        st.markdown(
            "Type a sentence: a Transformer trained by this project translates it on this machine, and every head of "
            "every layer shows where it looked. Point at a word, pin it, switch heads on and off; share a link to "
            "exactly what you see."
        )
        left, right = st.columns([3, 2], gap="large")
        with left:
            hero(card, PRESETS["tired"])
        with right:
            st.subheader("What you can do", anchor=False)
            st.markdown(ABILITIES)
            st.page_link("pages/translate.py", label="Translate a sentence of your own", icon=":material/translate:")
            st.page_link(
                "pages/coreference.py",
                label="What does “it” refer to, and which head decides?",
                icon=":material/call_split:",
            )
            st.page_link("pages/beam.py", label="Watch a translation being searched", icon=":material/account_tree:")
            st.page_link("pages/memorization.py", label="How far back does a network look?", icon=":material/history:")
            st.page_link(
                "pages/alignment.py", label="Which word became which?", icon=":material/align_horizontal_left:"
            )
            st.page_link("pages/generate.py", label="Which word comes next?", icon=":material/edit_note:")
            st.page_link("pages/cloze.py", label="Which word is missing?", icon=":material/question_mark:")
            st.page_link(
                "pages/models.py", label="How the models were made, and what they score", icon=":material/inventory_2:"
            )
        st.subheader("Begin with an example", anchor=False)
        names = list(PRESETS)
        for start in range(0, len(names), CARDS):
            for column, name in zip(st.columns(CARDS), names[start : start + CARDS], strict=False):
                with column:
                    preset_card(card, name, PRESETS[name])


ABILITIES = """
- **Lines**: who looks at whom, one colour per head, numbers where you point.
- **Playback**: the encoder layer by layer, then the output token by token.
- **All heads** at a glance, each with its pattern; one click opens it.
- **Heatmap** of one head, of two side by side, or of their difference.
- **Edit the translation** and see what the model makes of your words.
- **Coreference**: two sentences that differ in a word; which heads look at the right noun, and which of them matter:
  switch heads off, swap them, or make them look elsewhere.
- **Beam search**: the tree of a search that really ran, step by step; force a node and see where it goes.
- **Memorization**: five networks complete the word you type; see which earlier letters each suggestion rests on.
- **Alignment**: recurrent networks with and without attention beside the Transformer, step by step.
- **Generate**: a trigram, a character LSTM and a GPT continue your text; every probability, and where each word looks.
- **Cloze**: mask words of a sentence, or noise it, and see what a BERT puts there.
- **Save** SVG, PNG, CSV, NPZ, a page that works offline, and a link that restores the view.
"""

page()
