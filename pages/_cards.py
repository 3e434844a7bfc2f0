"""Several models on one page: what an address says of them, pills of all, and a menu of the one that a part shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from engine import catalogue
from engine.catalogue import ModelCard
from pages._session import PageView

Name = Callable[[ModelCard], str]
_CHECKSUM = re.compile(r"@[0-9a-f]{8}$")
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")
LONGEST_NAME = 100  # characters of a name or an identity from an address, in a sentence
OPEN_FIRST = "One of your own has to be opened first, on the page “Your model”."


def name_in(identity: str) -> str:
    """The name in `name@sha256[:8]`; all of it where there is no checksum: a name may hold an @ of its own."""
    return _CHECKSUM.sub("", identity)


def file_name(name: str) -> str:
    """A model's name as part of a file's: nothing in it that means a folder or is typed with difficulty."""
    return _UNUSUAL.sub("-", name).strip("-.") or "model"


def chosen_of(identities: Sequence[str], cards: Sequence[ModelCard]) -> list[ModelCard]:
    """Those that some identities name, in the order of `cards`; all that ship where none of them is there."""
    names = {name_in(identity) for identity in identities}
    return [card for card in cards if card.name in names] or shipped_of(cards)


def shipped_of(cards: Sequence[ModelCard]) -> list[ModelCard]:
    """Those that ship: what a page begins with, whatever was opened here."""
    return [card for card in cards if card.path is None]


def made_with(asked: str, card: ModelCard) -> str:
    """What is to be said where a view was made with other weights than those shown; "" where it was made with these.

    Args:
        asked: `name@sha256[:8]` or a name, as an address has it; "" for none.
        card: of the model that is shown.
    """
    if not asked or asked in (card.name, card.identity):
        return ""
    if not _is_there(name := name_in(asked)):
        return (
            f"There is no model “{name[:LONGEST_NAME]}” here; what you see is computed with another one. {OPEN_FIRST}"
        )
    return f"This link was made with {asked[:LONGEST_NAME]}; what you see is computed with {card.identity}."


def no_longer(shown: str, where: str = "on the page “Your model”") -> str:
    """What is to be said of a model that was shown and has been unloaded since; "" where it is still there.

    Args:
        shown: its identity; "" for none.
        where: it can be opened again.
    """
    name = name_in(shown)
    if not name or _is_there(name):
        return ""
    return f"{name[:LONGEST_NAME]} is no longer open here. Open it again {where}."


def _is_there(name: str) -> bool:
    return any(card.name == name for card in catalogue.cards())


def known_of(identities: Sequence[str], cards: Sequence[ModelCard], noun: str) -> tuple[tuple[str, ...], list[str]]:
    """The identities of an address as they are now, those that ship where none is known, and what is to be said of it.

    Args:
        identities: `name@sha256[:8]` of the weights that an address was made with.
        cards: that there are.
        noun: what one is called.
    """
    there, known, said = {card.name: card for card in cards}, [], []
    for identity in identities:
        name = name_in(identity)
        if name in there:
            known.append(there[name].identity)
            said.append(made_with(identity, there[name]))
        else:
            said.append(f"There is no {noun} “{name[:LONGEST_NAME]}” here; it was left out. {OPEN_FIRST}")
    return tuple(known) or tuple(card.identity for card in shipped_of(cards)), [*filter(None, said)]


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
