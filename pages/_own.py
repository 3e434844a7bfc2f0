"""The view of the page "Your model", its address, and the models that its sections are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import streamlit as st

from engine import catalogue
from engine.catalogue import ModelCard
from engine.types import Kind
from pages._address import NUMBER, POSITION, SWITCH, TEXT, Codec, choice
from pages._cards import LONGEST_NAME, made_with, name_in, no_longer
from pages._permalink import LOOK, View, without_pins
from pages._session import PageView
from pages._shown import NAMES

Section = Literal["open", "attention", "neurons", "long", "upload"]
OF_MODEL: tuple[Section, ...] = ("attention", "neurons", "long")
"""Sections that show a model."""
LINKED = "own linked"  # in the session: the view of a link to a model that is not open here
NO_PLACES: dict[str, Any] = {"query": -1, "key": -1, "row": 0, "column": 0}
"""What another text leaves nothing of."""
NO_HEAD: dict[str, Any] = {"kind": None, "layer": -1, "head": -1, "look": View(), **NO_PLACES}
"""What another model leaves nothing of."""


@dataclass(frozen=True, slots=True)
class OwnView:
    """Everything that the page shows. None stands for the page's own example.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        section: what is open.
        text: what the model reads.
        second: a second text: the other segment of a pair, or an output that is forced; None for none.
        kind: which attention the neurons and the overview are of.
        layer, head: of the neurons and the overview, from 0; −1 for the page's own choice.
        query, key: the pair of positions whose neurons are shown, from 0; −1 for the page's own choice.
        row, column: where the detail window of a long text begins, from 0.
        look: how a trace's attention is looked at.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    section: Section = "open"
    text: str | None = None
    second: str | None = None
    kind: Kind | None = None
    layer: int = -1
    head: int = -1
    query: int = -1
    key: int = -1
    row: int = 0
    column: int = 0
    look: View = field(default_factory=View)
    presenter: bool = False


VIEW = PageView(
    Codec(
        page="your-model",
        fresh=OwnView(),
        forms={
            "model": TEXT,
            "section": choice(Section),
            "text": TEXT,
            "second": TEXT,
            "kind": choice(Kind),
            "layer": POSITION,
            "head": POSITION,
            "query": POSITION,
            "key": POSITION,
            "row": NUMBER,
            "column": NUMBER,
            "look": LOOK,
            "presenter": SWITCH,
        },
        of_text=("text", "second", "query", "key", "row", "column", "look"),
    ),
    name="own",
)


# ---- models ----


def readable() -> list[ModelCard]:
    """The models that read a text with attention: those opened here first."""
    able = [card for card in catalogue.cards() if "read" in card.supports]
    return sorted(able, key=lambda card: card.path is None)


def card_of(view: OwnView) -> ModelCard:
    """The model of a view; the first there is where that one is not open."""
    able = {card.name: card for card in readable()}
    return able.get(name_in(view.model)) or next(iter(able.values()))


def pick_model() -> ModelCard:
    """A menu of the models that read a text; it begins with the view's."""
    able = {card.identity: card for card in readable()}
    chosen, key = card_of(VIEW.current()), VIEW.key("model")
    st.session_state[key] = chosen.identity
    st.selectbox(
        "Model",
        list(able),
        format_func=lambda identity: able[identity].title,
        key=key,
        width=320,
        on_change=lambda: show_model(able[st.session_state[key]]),
    )
    return chosen


def pick_kind(kinds: Sequence[Kind]) -> Kind:
    """A menu of who looks at whom, where there is a choice; what is asked for and not there becomes the first."""
    asked = VIEW.current().kind
    kind: Kind = asked if asked is not None and asked in kinds else kinds[0]
    if len(kinds) > 1:
        key = VIEW.key("kind")
        st.session_state[key] = kind
        st.segmented_control(
            "Who looks at whom",
            kinds,
            format_func=NAMES["map"].__getitem__,
            required=True,
            key=key,
            on_change=lambda: VIEW.change(kind=st.session_state[key], layer=-1, head=-1, **NO_PLACES),
        )
    return kind


def show_model(card: ModelCard) -> None:
    """Show another model: layers and heads of the one before mean nothing in it."""
    if name_in(VIEW.current().model) != card.name:
        VIEW.change(model=card.identity, **NO_HEAD)
        VIEW.touch()
    else:
        VIEW.change(model=card.identity)


def ask(text: str, second: str | None) -> None:
    """Another text: its positions are others."""
    view = VIEW.current()
    if (text, second) != (view.text, view.second):
        VIEW.change(text=text, second=second, look=without_pins(view.look), **NO_PLACES)
    else:
        VIEW.change()
    VIEW.touch()


def complete(view: OwnView, addressed: bool) -> tuple[OwnView, list[str]]:
    """A view of a model that is there, and what is to be said of it; else that of opening one."""
    name, there = name_in(view.model), {card.name: card for card in readable()}
    if not name or view.section not in OF_MODEL:
        return view, []
    if name not in there:
        st.session_state[LINKED] = view
        shown = name[:LONGEST_NAME]
        said = f"This link shows {shown}, which is not open here. Open it below, and the view of the link follows."
        return replace(view, section="open", model="", **NO_HEAD), [said]
    card = there[name]
    return replace(view, model=card.identity), [*filter(None, [made_with(view.model, card)])]


def unloaded() -> list[str]:
    """Offer to open the view's model again where a section shows it and it is open no longer; what is to be said."""
    view = VIEW.current()
    said = no_longer(view.model, "below, and what you saw follows")
    if not said or view.section not in (*OF_MODEL, "open"):
        return []
    if view.section == "open":  # which lists those that are open
        VIEW.change(model="", **NO_HEAD)
        return []
    VIEW.open(complete(view, addressed=False)[0])
    return [said]
