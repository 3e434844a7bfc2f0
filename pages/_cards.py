"""Several models on one page: what an address says of them, pills of all, and a menu of the one that a part shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from engine.catalogue import ModelCard
from pages._session import PageView

Name = Callable[[ModelCard], str]
_CHECKSUM = re.compile(r"@[0-9a-f]{8}$")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")


def name_in(identity: str) -> str:
    """The name in `name@sha256[:8]`; all of it where there is no checksum: a name may hold an @ of its own."""
    return _CHECKSUM.sub("", identity)


def file_name(name: str) -> str:
    """A model's name as part of a file's: nothing in it that means a folder or is typed with difficulty."""
    return _UNUSUAL.sub("-", name).strip("-.") or "model"


def chosen_of(identities: Sequence[str], cards: Sequence[ModelCard]) -> list[ModelCard]:
    """Those that some identities name, in the order of `cards`; all that ship where none is named."""
    names = {name_in(identity) for identity in identities}
    return [card for card in cards if card.name in names] if names else shipped_of(cards)


def shipped_of(cards: Sequence[ModelCard]) -> list[ModelCard]:
    """Those that ship: what a page begins with, whatever was opened here."""
    return [card for card in cards if card.path is None]


def known_of(identities: Sequence[str], cards: Sequence[ModelCard], noun: str) -> tuple[tuple[str, ...], list[str]]:
    """The identities of an address as they are now, those that ship where none is known, and what is to be said of it.

    Args:
        identities: `name@sha256[:8]` of the weights that an address was made with.
        cards: that there are.
        noun: what one is called.
    """
    there, said = {card.name: card.identity for card in cards}, []
    for identity in identities:
        name = name_in(identity)
        if name not in there:
            said.append(f"There is no {noun} “{name[:40]}”; it was left out.")
        elif identity not in (name, there[name]):
            said.append(f"This link was made with {identity[:60]}; what you see is computed with {there[name]}.")
    known = tuple(there[name] for name in map(name_in, identities) if name in there)
    return known or tuple(card.identity for card in shipped_of(cards)), said


def pick_several(
    label: str,
    cards: Sequence[ModelCard],
    chosen: Sequence[ModelCard],
    view: PageView[Any],
    field: str,
    name: Name,
    then: Callable[[], None] = lambda: None,
) -> None:
    """Pills of all cards; the last one cannot be taken away.

    Args:
        label: above them.
        cards: to choose from.
        chosen: at least one.
        view: of the page.
        field: of the view, which holds identities.
        name: what a card is called.
        then: called after a change.
    """
    by_identity, key = {card.identity: card for card in cards}, view.key(field)
    st.session_state[key] = [card.identity for card in chosen]

    def changed() -> None:
        view.change(**{field: tuple(st.session_state[key]) or (chosen[0].identity,)})
        then()

    st.pills(
        label,
        list(by_identity),
        format_func=lambda identity: name(by_identity[identity]),
        selection_mode="multi",
        key=key,
        on_change=changed,
        width="content",
    )


def pick_one(
    label: str, cards: Sequence[ModelCard], view: PageView[Any], field: str, name: Name, first: ModelCard | None = None
) -> ModelCard:
    """The card that a part of a page shows: a menu, where there are several.

    Args:
        label: above the menu.
        cards: that can be shown, at least one.
        view: of the page.
        field: of the view, which holds a card's name; one that is not there stands for `first`.
        name: what a card is called.
        first: shown at first; the first of `cards` where it is None.
    """
    by_name = {card.name: card for card in cards}
    if len(cards) == 1:
        return cards[0]
    asked = getattr(view.current(), field)
    chosen = asked if asked in by_name else (first or cards[0]).name
    key = view.key(field)
    st.session_state[key] = chosen

    def changed() -> None:
        view.change(**{field: st.session_state[key]})

    st.segmented_control(
        label, list(by_name), format_func=lambda one: name(by_name[one]), required=True, key=key, on_change=changed
    )
    return by_name[chosen]
