"""Home: what Saccade can do, as one live figure and cards that open a page in a state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from engine.analysis import merge_words
from engine.catalogue import ModelCard
from pages import _shared
from pages._permalink import CODEC
from pages._presets import PRESETS, Preset
from viz.components.lines import LinesView, lines, lines_data

CARDS, PAGES_WIDE = 4, 3  # side by side on a wide screen


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
        card = _shared.shipped("translate", "encoder")
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
            st.subheader("What you can do with a sentence", anchor=False)
            st.markdown(ABILITIES)
        st.subheader("Every page asks a question", anchor=False)
        _in_rows(list(PAGES), page_card, PAGES_WIDE)
        st.subheader("Begin with an example", anchor=False)
        _in_rows(list(PRESETS), lambda name: preset_card(card, name, PRESETS[name]), CARDS)


def _in_rows(names: Sequence[str], draw: Callable[[str], None], wide: int) -> None:
    """Cards side by side, `wide` to a row."""
    for start in range(0, len(names), wide):
        for column, name in zip(st.columns(wide), names[start : start + wide], strict=False):
            with column:
                draw(name)


def page_card(name: str) -> None:
    """One page: the question that it answers, and what it shows."""
    icon, title, question, shows = PAGES[name]
    with st.container(border=True, key=f"page {name}", height="stretch"):
        st.markdown(f"**{question}**")
        st.caption(shows)
        st.page_link(f"pages/{name}.py", label=title, icon=f":material/{icon}:")


ABILITIES = """
- **Lines**: who looks at whom, one colour per head, numbers where you point.
- **Playback**: the encoder layer by layer, then the output token by token.
- **All heads** at a glance, each with its pattern; one click opens it.
- **Heatmap** of one head, of two side by side, or of their difference.
- **Edit the translation** and see what the model makes of your words.
- **Save** SVG, PNG, CSV, NPZ, a page that works offline, and a link that restores the view.
"""
PAGES: Mapping[str, tuple[str, str, str, str]] = {
    "translate": (
        "translate",
        "Translate",
        "What became of my sentence?",
        "A sentence of your own, and what every head looked at on the way.",
    ),
    "coreference": (
        "call_split",
        "Coreference",
        "What does “it” refer to?",
        "Two sentences that differ in a word: which heads look at the right noun, and which of them matter.",
    ),
    "beam": (
        "account_tree",
        "Beam search",
        "How is an output searched?",
        "The tree of a search that really ran, step by step; force a node and see where it goes.",
    ),
    "memorization": (
        "history",
        "Memorization",
        "How far back does it look?",
        "Five networks complete the word you type; see which earlier letters each suggestion rests on.",
    ),
    "alignment": (
        "align_horizontal_left",
        "Alignment",
        "Which word became which?",
        "Recurrent networks with and without attention beside the Transformer, step by step.",
    ),
    "generate": (
        "edit_note",
        "Generate",
        "Which word comes next?",
        "Counts, a character LSTM and a GPT continue your text: every probability, and where each word looks.",
    ),
    "cloze": (
        "question_mark",
        "Cloze",
        "Which word is missing?",
        "Mask words of a sentence, or noise it, and see what a BERT puts there.",
    ),
    "your_model": (
        "deployed_code",
        "Your model",
        "What does my own model look at?",
        "A Hugging Face checkpoint, or attention that a notebook has saved, in every view.",
    ),
    "models": (
        "inventory_2",
        "Models",
        "How were they made?",
        "The data, the command, the curve, the scores and the limits of each.",
    ),
}
"""The pages by their files: icon, title, the question it asks, and what it shows."""

page()
