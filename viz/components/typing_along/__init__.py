"""A text box beside which networks complete the word being typed, and show what their first suggestion rests on.

Source: Madsen 2019, "Visualizing memorization in RNNs", the drawing of influence; the box that answers while it is
typed in is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack, unpack
from viz.influence import INFLUENCE_COLOURS
from viz.theme import LIGHT, Theme

LIMIT = 1000  # characters of the box
SHOWN = 80  # characters of a network's row, those nearest to the end
SUGGESTED = 3  # words for each network

FIRST, LAST = 0.29, 2 / 3  # where on viridis an influence of 0 and the row's largest are drawn
STEPS = 256  # colours of viridis
_mount = register("typing_along")


@dataclass(frozen=True, slots=True)
class Rest:
    """What one network suggests for the word being typed, and what its first suggestion rests on.

    Attributes:
        name: of the network, for people.
        suggestions: at most three words and their probabilities in [0, 1], most probable first.
        text: what the network read, as it read it, up to the end of what is typed.
        influence: float32 (T,) in [0, 1], one for each character of `text`: how strongly it bears on the first
            suggestion. Only its ratio to the row's largest is drawn.
        start: where in `text` the letters of the word being typed begin; T where there are none yet.

    Raises:
        ValueError: when the parts do not fit together, or a number is outside its range.
    """

    name: str
    suggestions: tuple[tuple[str, float], ...]
    text: str
    influence: np.ndarray
    start: int

    def __post_init__(self) -> None:
        if len(self.suggestions) > SUGGESTED:
            raise ValueError(f"{self.name}: {len(self.suggestions)} suggestions: give at most {SUGGESTED}")
        if any(not 0 <= probability <= 1 for _, probability in self.suggestions):
            raise ValueError(f"{self.name}: a suggestion's probability is outside [0, 1]")
        if self.influence.shape != (len(self.text),):
            shape = f"influence {self.influence.shape} for {len(self.text)} characters"
            raise ValueError(f"{self.name}: {shape}: give one number for each")
        if not np.all((self.influence >= 0) & (self.influence <= 1)):
            raise ValueError(f"{self.name}: an influence is outside [0, 1]: divide them by the row's largest")
        if not 0 <= self.start <= len(self.text):
            raise ValueError(f"{self.name}: start {self.start}: there are {len(self.text)} characters")


@dataclass(frozen=True, slots=True)
class Typed:
    """What stood in the box when the browser asked.

    Attributes:
        text: as typed, at most as many characters as the box takes.
        serial: the number of the question, rising; 0 before the first.
    """

    text: str
    serial: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any], limit: int = LIMIT) -> Typed:
        """What the browser sent, checked: anybody can send anything.

        Args:
            values: with "text" and "serial".
            limit: characters beyond it are cut off.

        Raises:
            ValueError: when the text is none, or the serial is no whole number from 0.
        """
        text, serial = values.get("text"), values.get("serial")
        if not isinstance(text, str):
            raise ValueError(f"text {type(text).__name__}: the box sends a string")
        if isinstance(serial, bool) or not isinstance(serial, int | float) or not (serial >= 0 and serial % 1 == 0):
            raise ValueError(f"serial {serial!r}: the box sends a whole number from 0")
        whole = text[:limit].encode("utf-8", "replace").decode()  # half a character is none
        return cls(whole, int(serial))


def typing_data(
    rests: Sequence[Rest],
    typed: Typed,
    *,
    changes: Sequence[str] = (),
    limit: int = LIMIT,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
) -> bytes:
    """What the component receives: the answer to `typed`.

    Args:
        rests: from top to bottom, one for each network; Alt + 1, 2, 3 insert the first one's suggestions.
        typed: what is answered. Its text fills the box at the start; later the box keeps what the reader types.
        changes: what the networks read otherwise than it is typed, for people: "é → e".
        limit: the most characters that the box takes.
        theme: colours and type sizes; influence is drawn in the same colours on every page.
        scale: of type and rows; above 1 for a projector.
        start_id: the box takes `typed.text` over only when this changes: an example was chosen, a link opened.

    Raises:
        ValueError: when `limit` is below 1.
    """
    if limit < 1:
        raise ValueError(f"limit {limit}: give the box room for at least one character")
    rows = [_shades(rest.influence)[-SHOWN:] for rest in rests]
    header = {
        **theme_header(theme, scale),
        "text": typed.text[:limit],
        "serial": typed.serial,
        "limit": limit,
        "changes": list(changes),
        "colours": INFLUENCE_COLOURS,
        "networks": [_network(rest) for rest in rests],
        "start_id": start_id,
    }
    return pack(header, {"shades": np.concatenate(rows) if rows else np.zeros(0, np.uint8)})


def typing_along(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> Typed | None:
    """Mount the box.

    Args:
        data: from `typing_data`.
        key: its name on the page.
        on_change: called when the browser asks; the page then runs again and answers `typed_in(key)`.

    Returns:
        What was typed since this start; None until something is.
    """
    made = _mount(key=key, data=data, on_typed_change=on_change).typed
    header = unpack(data)[0]
    return _since(made, header["start_id"], header["limit"])


def typed_in(key: str, *, start_id: str = "", limit: int = LIMIT) -> Typed | None:
    """What was typed, before the box is mounted: what a run of the page has to answer.

    Args:
        key: of the box.
        start_id: as `typing_data` gets it; what was typed into another start's box is nobody's question any more.
        limit: characters beyond it are cut off.
    """
    return _since(getattr(st.session_state.get(key), "typed", None), start_id, limit)


def _since(made: Mapping[str, Any] | None, start_id: str, limit: int) -> Typed | None:
    return Typed.of(made, limit) if made and made.get("start_id") == start_id else None


def _shades(influence: np.ndarray) -> np.ndarray:
    """For each character a number of `INFLUENCE_COLOURS`, uint8: 0 for none, the last for the row's largest."""
    largest = influence.max(initial=0.0)
    ratio = influence.astype(np.float64) / largest if largest > 0 else np.zeros(len(influence))
    return (np.floor((FIRST + ratio * (LAST - FIRST)) * STEPS) - np.floor(FIRST * STEPS)).astype(np.uint8)


def _network(rest: Rest) -> dict[str, Any]:
    """A network as it travels, with the end of its text."""
    hidden = max(0, len(rest.text) - SHOWN)
    return {
        "name": rest.name,
        "suggestions": [(word, round(float(probability), 6)) for word, probability in rest.suggestions],
        "text": rest.text[hidden:],
        "start": max(0, rest.start - hidden),
        "cut": hidden > 0,
    }
