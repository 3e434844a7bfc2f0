"""The view of the Alignment page, its address, and the sentence that its models translate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from engine import catalogue
from engine.alignment import alignment_of, detokenised, given_hits, word_map
from engine.analysis import merge_words
from engine.card_alignment import best_alignment_head
from engine.cards import alignment_scores
from engine.catalogue import ModelCard
from engine.errors import InputError
from engine.gold_links import read_pairs_file, shipped_pairs
from engine.reduce import hide_special
from engine.types import AttentionMap, LinkedPair, Tokens, Trace
from pages import _shared
from pages._address import IDENTITIES, NUMBER, POSITION, SWITCH, TEXT, Codec, choice
from pages._cards import chosen_of, known_of, no_longer, pick_one
from pages._session import PageView
from viz.components.alignments import Gold, Panel, Pin

Outputs = Literal["own", "common"]
Figure = Literal["heatmap", "lines"]
Unit = Literal["words", "pieces"]
Section = Literal["steps", "states", "thread", "lengths", "quality"]
Direction = Literal["overview", "forwards", "backwards"]
Summary = Literal["change", "end"]
Score = Literal["bleu", "accuracy", "gain"]
PRESENTER = 1.4  # of type and cells
TEXT_ASKED = "We need a common European policy to protect the environment."
EXAMPLES = {
    "Adjectives change sides": TEXT_ASKED,
    "The paper's sentence (Bahdanau et al. 2015, figure 3)": (
        "The agreement on the European Economic Area was signed in August 1992."
    ),
    "An adjective changes places": "She opened the old red door and looked at the quiet garden.",
    "What is short needs no attention": "I am very tired.",
    "A long sentence": (
        "Mr President, I would like to thank the members of the committee for their work on this report, which shows "
        "that we can protect the environment and create new jobs at the same time."
    ),
}


@dataclass(frozen=True, slots=True)
class AlignView:
    """Everything that the Alignment page shows.

    Attributes:
        models: `name@sha256[:8]` of each model shown, as the view was made with; none stands for all.
        text: the source.
        outputs: each model's own translation, or one that all are forced to.
        target: the common translation; "" for that of one of the models (`best_card`).
        pair: which shipped sentence with gold links is shown, from 0; −1 for none.
        links: a sentence pair of the reader's own with its gold links, as a line of a file has it; "" for none.
        view: heatmaps or lines.
        tokens: whole words or the models' pieces.
        special: whether special tokens are shown.
        layer, head: of the Transformer's cross attention, from 0; −1 for the head that aligns best.
        source, row: what is pinned, from 0; −1 for none.
        panel: the name of the model whose row it is; "" for the first shown.
        numbers: whether weights are printed.
        section: what is open below the panels.
        network: whose steps, states or gradients are shown; "" for the first that has some.
        step: of the decoder, from 0.
        depth: the encoder's layer, from 0.
        direction: what is shown of the encoder.
        summary: what the encoder's overview draws.
        score: by the length of the source.
        every: whether the table of alignment quality has every head.
        presenter: larger type and fewer controls.
    """

    models: tuple[str, ...] = ()
    text: str = ""
    outputs: Outputs = "own"
    target: str = ""
    pair: int = -1
    links: str = ""
    view: Figure = "heatmap"
    tokens: Unit = "words"
    special: bool = False
    layer: int = -1
    head: int = -1
    source: int = -1
    row: int = -1
    panel: str = ""
    numbers: bool = False
    section: Section = "steps"
    network: str = ""
    step: int = 0
    depth: int = 0
    direction: Direction = "overview"
    summary: Summary = "change"
    score: Score = "bleu"
    every: bool = False
    presenter: bool = False


VIEW = PageView(
    Codec(
        page="alignment",
        fresh=AlignView(),
        forms={
            "models": IDENTITIES,
            "text": TEXT,
            "outputs": choice(Outputs),
            "target": TEXT,
            "pair": POSITION,
            "links": TEXT,
            "view": choice(Figure),
            "tokens": choice(Unit),
            "special": SWITCH,
            "layer": POSITION,
            "head": POSITION,
            "source": POSITION,
            "row": POSITION,
            "panel": TEXT,
            "numbers": SWITCH,
            "section": choice(Section),
            "network": TEXT,
            "step": NUMBER,
            "depth": NUMBER,
            "direction": choice(Direction),
            "summary": choice(Summary),
            "score": choice(Score),
            "every": SWITCH,
            "presenter": SWITCH,
        },
        of_text=("text", "target", "links", "source", "row", "panel", "step"),
    )
)


def all_cards() -> list[ModelCard]:
    """The recurrent translators, then the Transformers, in the catalogue's order."""
    able = [card for card in catalogue.cards() if "translate" in card.supports]
    return sorted(able, key=lambda card: card.family != "seq2seq")


def chosen_cards(view: AlignView) -> list[ModelCard]:
    """The models of the view; all that ship where it names none that is there."""
    return chosen_of(view.models, all_cards())


def name_of(card: ModelCard) -> str:
    """What a model is called beside the others."""
    return "Transformer" if card.family == "transformer" else card.short


def complete(view: AlignView, addressed: bool) -> tuple[AlignView, list[str]]:
    """A view with a text and models that are there, and what is to be said of it."""
    models, said = known_of(view.models, all_cards(), "translator")
    there = {card.name for card in all_cards()}
    view = replace(view, models=models)
    for field in ("network", "panel"):
        name = getattr(view, field)
        if name and name not in there:
            said.append(f"“{field}={name[:40]}” in the address could not be used: there is no such model.")
            view = replace(view, network="") if field == "network" else replace(view, panel="")
    count = len(shipped_pairs())
    if view.pair >= count:
        said.append(f"“pair={view.pair + 1}” in the address is not there: the highest is {count}.")
        view = replace(view, pair=-1)
    try:
        gold_pair(view)
    except InputError as reason:
        said.append(f"The links in the address could not be used. {reason}")
        view = replace(view, links="")
    if view.text or view.pair >= 0 or view.links:
        return view, said
    if addressed:
        said.append("The address holds no text: what you see is an example.")
    return replace(view, text=TEXT_ASKED), said


def unloaded() -> list[str]:
    """Go on without the view's models that are open no longer; what is to be said of them."""
    view = VIEW.current()
    said = [*filter(None, map(no_longer, view.models))]
    if said:
        VIEW.open(complete(view, addressed=False)[0])
    return said


def gold_pair(view: AlignView) -> LinkedPair | None:
    """The sentence pair with gold links that is shown: one that ships, or one of the reader's own file.

    Raises:
        InputError: the reader's own cannot be read.
    """
    if view.pair >= 0:
        return shipped_pairs()[view.pair]
    return read_pairs_file(view.links)[0] if view.links else None


def source_of(view: AlignView) -> str:
    """The source that is translated."""
    pair = gold_pair(view)
    return detokenised(pair.source, "en")[0] if pair else view.text


def common_target(view: AlignView, cards: Sequence[ModelCard]) -> str | None:
    """The translation that all models are forced to; None where each gives its own."""
    pair = gold_pair(view)
    if pair is not None:
        return detokenised(pair.target, "fr")[0]
    if view.outputs == "own":
        return None
    return view.target or _shared.trace(best_card(cards), view.text).translation


def is_given(view: AlignView) -> bool:
    """Whether the common translation was typed, or came with gold links."""
    return gold_pair(view) is not None or (view.outputs == "common" and bool(view.target))


def best_card(cards: Sequence[ModelCard]) -> ModelCard:
    """The model whose translation stands for all: our Transformer, if it is shown, or else another."""
    ours = (card for card in cards if card.family == "transformer")
    others = (card for card in cards if "decoder" in card.supports)
    return next(ours, next(others, cards[-1]))


def traces(view: AlignView, cards: Sequence[ModelCard]) -> dict[str, Trace]:
    """The sentence through each model, by name.

    Raises:
        InputError: a text that cannot be used.
    """
    text = source_of(view)
    try:
        target = common_target(view, cards)
        return {card.name: _shared.trace(card, text, target) for card in cards}
    except InputError as reason:
        if view.outputs == "common":
            raise InputError(f"The common translation could not be used. {reason}") from None
        raise


def head_of(view: AlignView, card: ModelCard, cross: AttentionMap) -> tuple[int, int]:
    """Layer and head of a model's cross attention that are shown, both from 0."""
    if cross.layers * cross.heads == 1:
        return 0, 0
    measured = alignment_scores(card)
    layer, head = (measured and best_alignment_head(measured)) or (cross.layers - 1, 0)
    if 0 <= view.layer < cross.layers:
        layer = view.layer
    if 0 <= view.head < cross.heads:
        head = view.head
    return layer, head


def one_head(cross: AttentionMap, place: tuple[int, int]) -> AttentionMap:
    """A map of one layer and one head."""
    layer, head = place
    return replace(
        cross,
        weights=cross.weights[layer : layer + 1, head : head + 1].copy(),
        layer_names=cross.layer_names[layer : layer + 1],
        head_names=cross.head_names[head : head + 1],
    )


def drawn(view: AlignView, cross: AttentionMap) -> AttentionMap:
    """A map as the view says: gold words, words or pieces, with or without special tokens."""
    pair = gold_pair(view)
    if pair is not None:
        return word_map(cross, pair.source, pair.target)
    if view.tokens == "words":
        cross = merge_words(cross)
    return cross if view.special else hide_special(cross, renormalise=False).attention


def rows_of(view: AlignView, trace: Trace) -> Tokens:
    """The output of a model without a map, put together as maps are: their rows can be compared with it."""
    nothing = np.zeros((1, 1, len(trace.predicted), len(trace.source)), dtype=np.float32)
    return drawn(view, AttentionMap("cross", nothing, trace.read, trace.source, trace.predicted)).row_tokens


def panel(view: AlignView, card: ModelCard, trace: Trace) -> Panel:
    """One model's panel."""
    cross = trace.maps.get("cross")
    if cross is None:
        return Panel(
            name_of(card), "No attention: one vector stands for the sentence", None, output=rows_of(view, trace)
        )
    place = head_of(view, card, cross)
    shown = drawn(view, one_head(cross, place))
    note = "" if cross.layers * cross.heads == 1 else f"cross attention, layer {place[0] + 1}, head {place[1] + 1}"
    return Panel(name_of(card), note, shown, _on_gold(shown, gold_pair(view)))


def _on_gold(shown: AttentionMap, pair: LinkedPair | None) -> str:
    """How many linked target words look most at one of their gold words."""
    if pair is None:
        return ""
    right, linked = given_hits(alignment_of(shown.weights[0, 0]), pair)
    return f"{right} of {linked} linked words look most at a gold word"


def gold(view: AlignView) -> Gold | None:
    """The links that are drawn over every map."""
    pair = gold_pair(view)
    return None if pair is None else Gold(pair.sure, pair.possible)


def pin(view: AlignView, cards: Sequence[ModelCard], panels: Sequence[Panel]) -> Pin:
    """What is pinned, as far as it is there."""
    names = [card.name for card in cards]
    there = view.panel in names
    alike = view.outputs == "common" or gold_pair(view) is not None or not view.panel
    number = names.index(view.panel) if there else 0
    columns = next((len(one.attention.key_tokens) for one in panels if one.attention), 0)
    tokens = panels[number].rows
    rows = len(tokens) if tokens is not None and (there or alike) else 0
    source = view.source if 0 <= view.source < columns else None
    return Pin(source, view.row if 0 <= view.row < rows else None, number)


def pinned_by(found: Pin, cards: Sequence[ModelCard]) -> dict[str, Any]:
    """The fields of a view that hold a pin."""
    source, row = (-1 if place is None else place for place in (found.source, found.row))
    known = row >= 0 and found.panel < len(cards)
    return {"source": source, "row": row, "panel": cards[found.panel].name if known else ""}


NO_PIN: dict[str, Any] = {"source": -1, "row": -1, "panel": ""}


def asked(view: AlignView) -> tuple[object, ...]:
    """What the panels depend on: where it changes, the whole page does."""
    return (
        [card.name for card in chosen_cards(view)], view.text, view.outputs, view.target, view.pair, view.links,
        view.view, view.tokens, view.special, view.layer, view.head, view.numbers, view.presenter,
    )  # fmt: skip


def pick_network(cards: Sequence[ModelCard], label: str = "Model") -> ModelCard:
    """The model of a section that shows one: a menu, where there are several, that begins with one that attends."""
    first = next((card for card in cards if "cross" in card.supports), cards[0])
    return pick_one(label, cards, VIEW, "network", name_of, first)
