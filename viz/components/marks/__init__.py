"""Short texts word by word, in which a reader marks roles: a pronoun, say, and the two nouns that it may stand for."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack, unpack
from viz.theme import LIGHT, Theme

LONGEST_BADGE = 4  # characters; it stands above a word and must not reach far over the next
HEX = re.compile(r"#[0-9a-fA-F]{6}")

Marks = tuple[dict[str, tuple[int, ...]], ...]
"""For each text the words, counted from 0, of each role that may be marked in it."""

_mount = register("marks")


@dataclass(frozen=True, slots=True)
class Role:
    """What a word can be.

    Attributes:
        id: its name in Python.
        name: on its chip and for screen readers: "Pronoun".
        colour: "#rrggbb"; of its chip, its badge and, mixed with the page's, behind its words.
        badge: at most four characters above its words, as colour is not to be the only sign; "" for the name's first.
    """

    id: str
    name: str
    colour: str
    badge: str = ""


@dataclass(frozen=True, slots=True)
class MarkedText:
    """One text and what is marked in it.

    Attributes:
        name: "Sentence 1"; shown small beside it.
        words: in reading order, punctuation apart.
        spaces: whether a space stands before each word.
        marks: for each role id its words, counted from 0; a role without words may be left out.
        differs: words that another text has otherwise; underlined.
        lang: the text's language, as HTML names it.
        roles: ids that may be marked here; None for all.
    """

    name: str
    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    marks: Mapping[str, tuple[int, ...]]
    differs: tuple[int, ...] = ()
    lang: str = "en"
    roles: tuple[str, ...] | None = None


def marks_data(
    texts: Sequence[MarkedText],
    roles: Sequence[Role],
    *,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
) -> bytes:
    """What the component receives.

    Args:
        texts: from top to bottom.
        roles: in the order of their chips; the first is active at first.
        theme: colours and type sizes.
        scale: of type; above 1 for a projector.
        start_id: the browser takes the texts' marks over only when this, a word or a role changes, else it keeps what
            the reader did.

    Raises:
        ValueError: when there is no text or no role, two roles share an id, a colour or a badge is none, a text's words
            and spaces differ in number, or a text names a word or a role that there is not, or two roles for a word.
    """
    _check_roles(roles)
    if not texts:
        raise ValueError("texts: give at least one")
    sent = [_text(text, [role.id for role in roles]) for text in texts]
    header = {
        **theme_header(theme, scale),
        "roles": [
            {
                "id": role.id,
                "name": role.name,
                "badge": role.badge or role.name[:1],
                "colour": role.colour,
                "ink": ink(role.colour),
            }
            for role in roles
        ],
        "texts": sent,
        "start_id": _start(start_id, sent),
    }
    return pack(header, {})


def marks(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> Marks | None:
    """Mount the texts.

    Args:
        data: from `marks_data`.
        key: its name on the page.
        on_change: called when the reader has changed a mark and settled; `marks_of(st.session_state[key].marks)` are
            the marks then.

    Returns:
        What the reader made of the marks since this start; None until they are changed for the first time.
    """
    made = _mount(key=key, data=data, on_marks_change=on_change).marks
    start = unpack(data)[0]["start_id"]
    # Streamlit keeps what was sent last, though back at an earlier start the browser has Python's marks again.
    last, old = st.session_state.get(f"{key} start", (None, None))
    if start != last:
        old = made
        st.session_state[f"{key} start"] = start, old
    return marks_of(made) if made and made != old and made["start_id"] == start else None


def marks_of(sent: Mapping[str, Any]) -> Marks:
    """The marks that the browser sent: for each text a list of words for each role."""
    return tuple({role: tuple(map(int, words)) for role, words in text.items()} for text in sent["texts"])


def ink(colour: str) -> str:
    """Black or white, whichever reads better on "#rrggbb": a contrast of at least 4.58:1 (WCAG 2.1) on any colour."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#ffffff"


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _check_roles(roles: Sequence[Role]) -> None:
    if not roles:
        raise ValueError("roles: give at least one")
    if len({role.id for role in roles}) < len(roles):
        raise ValueError("roles: give each its own id")
    for role in roles:
        if not HEX.fullmatch(role.colour):
            raise ValueError(f"role {role.id}: colour {role.colour!r}: write it as #rrggbb")
        if len(role.badge) > LONGEST_BADGE:
            raise ValueError(f"role {role.id}: badge {role.badge!r}: at most {LONGEST_BADGE} characters")


def _text(text: MarkedText, known: Sequence[str]) -> dict[str, Any]:
    """A text as it travels; every role that may be marked has its list of words, in order."""
    count = len(text.words)
    if len(text.spaces) != count:
        raise ValueError(f"{text.name}: {count} words but {len(text.spaces)} spaces: give one for each word")
    allowed = list(known) if text.roles is None else [role for role in known if role in text.roles]
    for role in (*(text.roles or ()), *text.marks):
        if role not in known:
            raise ValueError(f"{text.name}: no role {role!r}: there are {', '.join(known)}")
    for role, words in text.marks.items():
        if words and role not in allowed:
            raise ValueError(f"{text.name}: role {role!r} has words but is not among the text's roles")
    marked = [word for words in text.marks.values() for word in words]
    for word in (*marked, *text.differs):
        if not 0 <= word < count:
            raise ValueError(f"{text.name}: no word {word}: there are {count}, counted from 0")
    if len(set(marked)) < len(marked):
        raise ValueError(f"{text.name}: a word is marked twice: it can have one role")
    return {
        "name": text.name,
        "words": text.words,
        "spaces": [bool(space) for space in text.spaces],
        "marks": {role: sorted(text.marks.get(role, ())) for role in allowed},
        "differs": sorted(set(text.differs)),
        "lang": text.lang,
    }


def _start(start_id: str, sent: Sequence[Mapping[str, Any]]) -> str:
    """A name of the start that no other words or roles have: marks of one text mean nothing in another."""
    parts = [start_id, [[text["words"], list(text["marks"])] for text in sent]]
    return hashlib.sha1(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()
