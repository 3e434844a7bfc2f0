"""A connected text in the browser: each character shaded by how much the word suggested at one of them rests on it.

Source: Madsen 2019, "Visualizing memorization in RNNs" (Distill): the figures, their colours and their linked panels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.types import ConnectedText
from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack
from viz.influence import INFLUENCE_COLOURS
from viz.theme import LIGHT, Theme

LEVELS = 255  # the number that stands for a row's largest influence
SUGGESTED = 3  # words named at a position

SHADES = INFLUENCE_COLOURS[::8]
"""Thirteen of the colours, at equal steps of influence; the browser takes what lies between from its neighbours."""

_mount = register("connectivity")


@dataclass(frozen=True, slots=True)
class TextView:
    """Which position the linked panels show.

    Attributes:
        position: counted from 0; −1 for none. Beyond a text's end it is the last.
        pinned: whether it stays when the pointer moves on.
    """

    position: int = -1
    pinned: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TextView:
        """The view that the browser sent."""
        return cls(int(values["position"]), bool(values["pinned"]))


def connectivity_data(
    text: ConnectedText,
    view: TextView,
    *,
    group: str,
    controls: bool = False,
    subtitle: str = "",
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    file_name: str = "memorization",
) -> bytes:
    """What one panel receives: the lower triangle of the relative influences with 8 bits each, 0.5 MB for 1,000
    characters, and the words once each.

    An influence is its size, the sign of an attribution aside; it is off by at most half of 1/255 of its row's largest.

    Args:
        text: at least one character.
        view: what is shown first.
        group: panels on a page with the same one show the same position, pin it together and play together.
        controls: whether this panel draws the group's transport; give it to one of them.
        subtitle: beside the network's name, e.g. "2 × 600 units".
        theme: colours and type sizes.
        scale: of type and characters; above 1 for a projector.
        start_id: the group takes `view` over only when this changes, else it keeps what the reader did. The same for
            all panels of a group.
        file_name: of saved pictures, without suffix.
    """
    assert len(text) > 0, "a panel needs a character to show"
    words = _vocabulary(text)
    numbers = {word: number for number, word in enumerate(words)}
    suggested, probabilities = _suggested(text, numbers)
    header = {
        **theme_header(theme, scale),
        "hatch": theme.hatch,
        "shades": SHADES,
        "levels": LEVELS,
        "name": text.name,
        "subtitle": subtitle,
        "text": text.text,
        "words": words,
        "suggested": SUGGESTED,
        "window": text.window,
        "group": group,
        "controls": controls,
        "file_name": file_name,
        "start": asdict(view),
        "start_id": start_id,
    }
    arrays = {
        "influence": triangle(text.connectivity.relative),
        "suggestions": suggested,
        "probabilities": probabilities,
        "first": text.reached_from.astype(np.uint16),
        "desired": np.array([numbers[word] for word in text.desired], dtype=np.uint16),
        "targets": np.array([numbers[word] for word in text.targets], dtype=np.uint16),
    }
    return pack(header, arrays)


def connectivity_text(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> TextView | None:
    """Mount one panel.

    Args:
        data: from `connectivity_data`.
        key: its name on the page.
        on_change: called when the reader has chosen or pinned a position in this panel, or let it play, and settled;
            of a group's panels the one that was acted on speaks for all.

    Returns:
        What the reader made of the view in this panel; None until then.
    """
    result = _mount(key=key, data=data, on_view_change=on_change)
    return TextView.of(result.view) if result.view else None


def triangle(relative: np.ndarray) -> np.ndarray:
    """Row after row up to its own time, uint8 (T (T + 1) / 2,): t + 1 sizes of row t, with 255 for 1.

    Args:
        relative: float32 (T, T) in [−1, 1], row = output time, column = input time.
    """
    below = relative[np.tril_indices(len(relative))]
    return np.rint(np.clip(np.abs(np.nan_to_num(below)), 0, 1) * LEVELS).astype(np.uint8)


def _vocabulary(text: ConnectedText) -> list[str]:
    """Every word that the panel may name, once, "" first."""
    suggested = (word for step in text.suggestions for word, _ in step)
    words = list(dict.fromkeys(("", *text.desired, *text.targets, *suggested)))
    assert len(words) <= 1 << 16, "more words than 16 bits can number"
    return words


def _suggested(text: ConnectedText, numbers: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """At each character the best words' numbers, uint16 (T, 3), 0 for none, and probabilities, float32 (T, 3)."""
    words = np.zeros((len(text), SUGGESTED), dtype=np.uint16)
    probabilities = np.zeros((len(text), SUGGESTED), dtype=np.float32)
    for position, step in enumerate(text.suggestions):
        for rank, (word, probability) in enumerate(step[:SUGGESTED]):
            words[position, rank], probabilities[position, rank] = numbers[word], probability
    return words, probabilities
