"""Models: what each trained model is, how it was made, what it scores, what it cannot do, and where to see it.

A kind of model has one part of the page. Of several models of a kind one is drawn at a time, under a table of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import streamlit as st

import viz
from engine import card_completion, cards
from engine.card_completion import percent
from engine.catalogue import MODELS, Capability, Family, ModelCard
from engine.errors import SaccadeError
from engine.training.evaluate import SETS
from engine.weights import read_json
from pages import _shared
from viz.curve import training_curve

KINDS: Mapping[Family, tuple[str, str]] = {
    "transformer": ("Translation", "A sentence in, the same sentence in another language out."),
    "seq2seq": (
        "Translation with recurrent networks",
        "The same task before the Transformer: four networks that differ in their attention alone, to be compared.",
    ),
    "autocomplete": (
        "Word completion",
        "Characters in, at each of them the whole word that is being typed out: networks of one size, to be compared.",
    ),
    "gpt": (
        "Generation",
        "A text in, what comes next out: a word by the two before it, a character, or a subword by all before it.",
    ),
    "bert": ("Cloze", "A text with gaps in, what stood in the gaps out, told from both sides."),
}
"""The parts of the page, by the family that gives each its address: heading and what the models of a kind do."""

TOGETHER: Mapping[Family, Family] = {"trigram": "gpt", "char-lm": "gpt"}
"""Families that are shown in the part of another."""

_TRANSLATION: Mapping[Capability, tuple[str, str]] = {
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
_RECURRENT: Mapping[Capability, tuple[str, str]] = {
    "translate": _TRANSLATION["translate"],
    "cross": ("Alignment", "which source words each output word looks at, beside the other models' alignments"),
    "states": ("Alignment", "how the decoder made each word, step by step, and what the encoder's two directions hold"),
    "search": _TRANSLATION["search"],
}
_COMPLETION: Mapping[Capability, tuple[str, str]] = {
    "complete": (
        "Memorization",
        "the words it suggests at each character of your text, and how much each suggestion rests on each earlier one",
    ),
}
_GENERATION: Mapping[Capability, tuple[str, str]] = {
    "generate": (
        "Generate",
        "the next token of your text with its probability, continuations drawn at random, and how surprised it is by "
        "any text",
    ),
    "counts": ("Generate", "what follows a pair of words, with counts; a text of your own counted the same way"),
    "states": ("Generate", "hidden units that fire over the text"),
    "decoder": ("Generate", "where each token looks among those before it, in every layer and head; gradients too"),
}
_CLOZE: Mapping[Capability, tuple[str, str]] = {
    "cloze": (
        "Cloze",
        "candidates for each masked word, whether a second text follows the first, and what noise can be undone",
    ),
    "encoder": ("Cloze", "where each token looks, before and behind it, in every layer and head"),
}
OFFERS: Mapping[Family, Mapping[Capability, tuple[str, str]]] = {
    "transformer": _TRANSLATION,
    "seq2seq": _RECURRENT,
    "autocomplete": _COMPLETION,
    "trigram": _GENERATION,
    "char-lm": _GENERATION,
    "gpt": _GENERATION,
    "bert": _CLOZE,
}
"""What a page shows of a model of a kind that can do this; pages are named as in the menu."""

KNOWN = (0, 1, 2, 4)  # letters; the comparison's columns

MEANINGS = {
    "BLEU": "word sequences that a translation shares with a person's, over a whole set; 0 to 100, more is better",
    "chrF": "the same for sequences of characters: kinder to a word that is right but for its ending; 0 to 100",
    "greedy": "at each step the most probable token is taken; no search",
    "baselines": "guesses without understanding: the more frequent pronoun, the first noun's, the adjective's usual",
    "validation half": "the sentences a head was chosen on; those of the test half had no part in the choice",
    "first noun": "how often a head would be right that looks at the first noun whatever the sentence says",
    "cross-entropy": "how surprised a network is by the right word, on average; a uniform guess among the 4,096 words "
    "has 8.3 nats, less is better",
    "prefix table": "the most frequent words with the letters typed so far: what can be told without any context",
    "characters back": "the distance from where a suggestion is made to what it rests on, weighted by how much",
    "by the norm": "influence is the length of the gradient with respect to the one-hot input; squared, large "
    "influences count for more and a network looks more forgetful",
    "bits per character": "how surprised a model is by a text, whatever its tokens are: 1.7 bits is a choice between "
    "about three characters at each place; less is better",
    "always naming the most frequent": "the same five pieces at every gap: what can be told without any context",
    "rank correlation": "1 where attention and gradient order the earlier characters alike, 0 where they are unrelated",
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
    completed = cards.completion_scores(card)
    with st.container(horizontal=True, gap="small"):
        st.metric("Parameters", f"{parameters / 1e6:.1f} M", border=True, width="content")
        st.metric("Weights on disk", f"{_shared.megabytes(card):.1f} MB", border=True, width="content")
        for name, value, meaning in cards.headline(card):
            st.metric(name, value, border=True, width="content", help=MEANINGS.get(meaning))
        for name, bleu in translated[:1]:
            st.metric(f"BLEU, {name}", f"{bleu:.1f}", border=True, width="content", help=MEANINGS["BLEU"])
        if completed:
            nats, meaning = f"{completed.cross_entropy:.2f}", MEANINGS["cross-entropy"]
            st.metric("Cross-entropy, nats", nats, border=True, width="content", help=meaning)
            st.metric("First suggestion right", percent(completed.overall[0]), border=True, width="content")
    st.markdown(f"Weights `{card.identity}` · licence {card.licence}")


def show_training(card: ModelCard, commands: Sequence[str], section: str, theme: viz.Theme) -> None:
    """The commands, the curve, and what else the card says of the run."""
    st.caption("The command that made it" if len(commands) == 1 else "The commands that made it, one after the other")
    st.code("\n".join(commands), language="bash", wrap_lines=True)
    if log := _shared.curve(card):
        description = f"Training and validation loss of {card.name} against minutes"
        _shared.draw_chart(
            training_curve(log, theme, cards.curve_unit(card)), f"curve {card.name}", description, width=720
        )
    st.markdown(prose(section))


def show_scores(card: ModelCard, section: str) -> None:
    """Every score beside what its set is, and what the words in it mean."""
    rows = cards.score_rows(card)
    if rows:
        st.table(
            [{"set": name_of_set(rows, row), "score": score} for row, (_, score) in enumerate(rows)], hide_index=True
        )
    st.markdown(prose(section))
    if completed := cards.completion_scores(card):
        heading, table = card_completion.accuracy_table(completed)
        st.table([dict(zip(heading, row, strict=True)) for row in table], hide_index=True)
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
    for capability, (page, what) in OFFERS[card.family].items():
        if capability in card.supports:
            pages.setdefault(page, []).append(f"- {what}")
    for page, offers in pages.items():
        st.markdown(f"**{page}**\n\n" + "\n".join(offers))


def show_model(card: ModelCard, theme: viz.Theme) -> None:
    """One model's card."""
    st.subheader(card.title, anchor=card.name)
    st.markdown(card.summary)
    parts, training = sections(card), read_json(card.folder / cards.TRAINING)
    show_facts(card, training["parameters"])
    for_training, for_scores, for_limits, for_pages = st.tabs(["Training", "Scores", "Limits", "Pages"])
    with for_training:  # first, since a chart drawn in a hidden tab has no width
        show_training(card, [run["command"] for run in cards.runs_of(training)], parts["Training"], theme)
    with for_scores:
        show_scores(card, parts["Scores"])
    with for_limits:
        st.markdown(prose(parts["What it cannot do"]))
    with for_pages:
        show_offers(card)


def show_comparison(models: Sequence[ModelCard]) -> None:
    """The networks of word completion beside each other; nothing where none was measured."""
    found = [(card, scores) for card in models if (scores := cards.completion_scores(card))]
    if not found:
        return
    rows = [
        {"model": card.short, "cross-entropy, nats": f"{scores.cross_entropy:.3f}"}
        | {letters_known(known): percent(scores.top1[known]) for known in KNOWN}
        for card, scores in found
    ]
    table = found[0][1].table  # one and the same for all
    rows.append(
        {"model": "prefix table", "cross-entropy, nats": ""}
        | {letters_known(known): percent(table[known]) for known in KNOWN}
    )
    st.caption("How often the first suggestion is the word that is being typed, in books that none has learnt from")
    st.table(rows, hide_index=True)


def letters_known(count: int) -> str:
    """The heading of a column."""
    return f"{count} letter known" if count == 1 else f"{count} letters known"


def pick(kind: Family, models: Sequence[ModelCard]) -> ModelCard:
    """The model of a kind to be drawn; no choice where there is only one."""
    if len(models) == 1:
        return models[0]
    name = st.segmented_control(
        "Model",
        [card.name for card in models],
        default=models[0].name,
        format_func=lambda name: MODELS[name].short,
        required=True,
        key=f"{kind} card",
        label_visibility="collapsed",
    )
    return MODELS[name or models[0].name]


def show_kind(kind: Family, models: Sequence[ModelCard], theme: viz.Theme) -> None:
    """The models of a kind: what they do, all beside each other, and one whole card."""
    title, what = KINDS[kind]
    st.header(title, anchor=kind)
    st.caption(what)
    if kind in COMPARED:
        with others_are_well():
            COMPARED[kind](models)
    card = pick(kind, models)
    with st.container(key=f"model {card.name}"), others_are_well():
        show_model(card, theme)


def show_bits(models: Sequence[ModelCard]) -> None:
    """What continues texts beside each other; nothing where none was measured."""
    rows = [
        {"model": card.short, "bits per character": f"{scores['bits_per_character']:.3f}"}
        for card in models
        if (scores := cards.scores_of(card).get("books"))
    ]
    if rows:
        st.caption("How surprised each is by books that none has learnt from: less is better")
        st.table(rows, hide_index=True)


COMPARED: Mapping[Family, Callable[[Sequence[ModelCard]], None]] = {"autocomplete": show_comparison, "gpt": show_bits}
"""What stands above the cards of a kind: all its models beside each other."""


@contextmanager
def others_are_well() -> Iterator[None]:
    """Say what is wrong with a model's files and go on: it is no reason not to show the others."""
    try:
        yield
    except SaccadeError as error:
        st.error(_shared.literal(str(error)))


def page() -> None:
    """Draw the page."""
    st.title("Models", anchor=False)
    st.caption(
        "Every model here was trained by this project's own code, and its scores are those of the very file it ships."
    )
    with _shared.errors_as_sentences():
        theme = _shared.theme()
        st.markdown(
            "A model of your own, from a folder or Hugging Face, is opened on the page [Your model](your_model)."
        )
        for kind in KINDS:
            models = [card for card in MODELS.values() if TOGETHER.get(card.family, card.family) == kind]
            if models:
                show_kind(kind, models, theme)


page()
