"""Models: what each trained model is, how it was made, what it scores, what it cannot do, and where to see it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

import viz
from engine import cards
from engine.catalogue import MODELS, Capability, ModelCard
from engine.errors import SaccadeError
from engine.training.evaluate import SETS
from engine.weights import read_json
from pages import _shared
from viz.curve import training_curve

OFFERS: dict[Capability, tuple[str, str]] = {
    "translate": (
        "Translate",
        "your sentence in the other language, with the probability of each output word or token",
    ),
    "encoder": ("Translate", "source → source: where each word of your sentence looks, in every layer and head"),
    "decoder": ("Translate", "output → output: where each output word looks among those before it"),
    "cross": ("Translate", "output → source: where the model looks while it predicts each output word"),
    "interventions": (
        "Coreference",
        "which heads look from a pronoun at its noun, and what is said with heads switched off, patched or made to "
        "look elsewhere",
    ),
    "search": ("Beam search", "the tree of a search for the output, step by step, or of samples"),
}
"""What a page shows of a model that can do this; pages are named as in the menu."""

MEANINGS = {
    "BLEU": "word sequences that a translation shares with a person's, over a whole set; 0 to 100, more is better",
    "chrF": "the same for sequences of characters: kinder to a word that is right but for its ending; 0 to 100",
    "greedy": "at each step the most probable token is taken; no search",
    "baselines": "guesses without understanding: the more frequent pronoun, the first noun's, the adjective's usual",
    "validation half": "the sentences a head was chosen on; those of the test half had no part in the choice",
    "first noun": "how often a head would be right that looks at the first noun whatever the sentence says",
}
"""What the words of a score mean, by how `cards.score_rows` writes them."""


def sections(card: ModelCard) -> dict[str, str]:
    """The parts of a model's card by their headings."""
    _, *parts = cards.markdown(card).split("\n## ")
    return {heading: body for heading, _, body in (part.partition("\n") for part in parts)}


def prose(section: str) -> str:
    """A part of a card without what the page shows in its own way: command, picture and table; labels in bold."""
    lines = (line for line in section.splitlines() if not line.startswith(("    ", "![", "|")))
    return "\n".join(re.sub(r"^(\w+:)$", r"**\1**\n", line) for line in lines).strip()


def show_facts(card: ModelCard, parameters: int) -> None:
    """Size and score at a glance, then which weights these are."""
    translated = [(name, scores["bleu"]) for name, scores in cards.scores_of(card).items() if "bleu" in scores]
    with st.container(horizontal=True, gap="small"):
        st.metric("Parameters", f"{parameters / 1e6:.1f} M", border=True, width="content")
        st.metric("Weights on disk", f"{_shared.megabytes(card):.1f} MB", border=True, width="content")
        for name, bleu in translated[:1]:
            st.metric(f"BLEU, {name}", f"{bleu:.1f}", border=True, width="content", help=MEANINGS["BLEU"])
    st.markdown(f"Weights `{card.identity}` · licence {card.licence}")


def show_training(card: ModelCard, commands: Sequence[str], section: str, theme: viz.Theme) -> None:
    """The commands, the curve, and what else the card says of the run."""
    st.caption("The command that made it" if len(commands) == 1 else "The commands that made it, one after the other")
    st.code("\n".join(commands), language="bash", wrap_lines=True)
    if log := _shared.curve(card):
        description = f"Training and validation loss of {card.name} against minutes"
        _shared.draw_chart(training_curve(log, theme), f"curve {card.name}", description, width=720)
    st.markdown(prose(section))


def show_scores(rows: Sequence[tuple[str, str]], section: str) -> None:
    """Every score beside what its set is, and what the words in it mean."""
    if rows:
        st.table(
            [{"set": name_of_set(rows, row), "score": score} for row, (_, score) in enumerate(rows)], hide_index=True
        )
    st.markdown(prose(section))
    used = {word: meaning for word, meaning in MEANINGS.items() if any(word in score for _, score in rows)}
    if used:
        st.markdown("**What the words mean**\n\n" + "\n".join(f"- **{word}**: {what}" for word, what in used.items()))


def name_of_set(rows: Sequence[tuple[str, str]], row: int) -> str:
    """The name of a row's set; in the first of its rows also what the set is."""
    name = rows[row][0]
    known = name in SETS and name not in (above for above, _ in rows[:row])
    return f"**{name}**: {SETS[name].description}" if known else f"**{name}**"


def show_offers(card: ModelCard) -> None:
    """What each page shows of this model."""
    pages: dict[str, list[str]] = {}
    for capability, (page, what) in OFFERS.items():
        if capability in card.supports:
            pages.setdefault(page, []).append(f"- {what}")
    for page, offers in pages.items():
        st.markdown(f"**{page}**\n\n" + "\n".join(offers))


def show_model(card: ModelCard, theme: viz.Theme) -> None:
    """One model's card."""
    st.header(card.title, anchor=card.name)
    st.markdown(card.summary)
    parts, training = sections(card), read_json(card.folder / cards.TRAINING)
    show_facts(card, training["parameters"])
    for_training, for_scores, for_limits, for_pages = st.tabs(["Training", "Scores", "Limits", "Pages"])
    with for_training:  # first, since a chart drawn in a hidden tab has no width
        show_training(card, [run["command"] for run in cards.runs_of(training)], parts["Training"], theme)
    with for_scores:
        show_scores(cards.score_rows(card), parts["Scores"])
    with for_limits:
        st.markdown(prose(parts["What it cannot do"]))
    with for_pages:
        show_offers(card)


def page() -> None:
    """Draw the page."""
    st.title("Models", anchor=False)
    st.caption(
        "Every model here was trained by this project's own code, and its scores are those of the very file it ships."
    )
    with _shared.errors_as_sentences():
        theme = _shared.theme()
        for card in MODELS.values():
            with st.container(key=f"model {card.name}"):
                try:
                    show_model(card, theme)
                except SaccadeError as error:  # the other models are well all the same
                    st.error(_shared.literal(str(error)))


page()
