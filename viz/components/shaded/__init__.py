"""A running text token by token, each shaded by a value; clicking picks a token or presses it, as masking a word does.

For the surprise of each token, for a hidden unit that fires over a text, and for words to be masked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import streamlit as st

from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.marks import ink
from viz.components.packing import pack, unpack
from viz.components.shaded.shades import LEVELS, Colours, legend_ticks, levels, limits_of, shade_colours
from viz.labels import isolate
from viz.theme import HEAD_COLOURS, LIGHT, Theme

SPECIAL = -1  # the group of tokens that are no part of the text

Mode = Literal["look", "pick", "toggle"]

_mount = register("shaded")


@dataclass(frozen=True, slots=True)
class Clicked:
    """What the reader did in the text.

    Attributes:
        picked: the token, counted from 0, that this very run is due to; None in every other run.
        pressed: the tokens that are pressed since this start, ascending; None until the reader changes them.
    """

    picked: int | None
    pressed: tuple[int, ...] | None


def shaded_data(
    labels: Sequence[str],
    texts: Sequence[str],
    values: Sequence[float] | np.ndarray | None = None,
    *,
    titles: Sequence[str] = (),
    colours: Colours = "sequential",
    limits: tuple[float, float] | None = None,
    legend: str = "",
    mode: Mode = "look",
    pressed: Sequence[int] = (),
    blank: str = "",
    reveal: bool = True,
    groups: Sequence[int] = (),
    group_names: Sequence[str] = (),
    name: str = "Text",
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    file_name: str = "text",
) -> bytes:
    """What the component receives; 5,000 tokens are about 0.2 MB with their titles.

    Args:
        labels: the tokens' names, T of them; shown where a token is special or adds no text, and in the hover line.
        texts: what each token adds to the running text, with the spaces and line breaks before, within and after it.
        values: one for each token, (T,); NaN where there is none, which is said by a dotted line. None: no shading.
        titles: what the hover line says of each token; "" or none at all for its label and value.
        colours: "sequential" from the lowest to the highest value, or "diverging", where 0 has the page's colour.
        limits: the values of the first and the last colour; values beyond have the colour of the end, and the legend
            says so. None for 0 to the largest, from the lowest where that is below 0. Diverging colours reach equally
            far on both sides of 0, to the larger of the two.
        legend: what the values are, with their unit: "surprise (bits)". No legend stands without values.
        mode: "look" has hover lines alone; "pick" tells Python each click; in "toggle" a click presses a token.
        pressed: tokens from 0. In "toggle" those pressed at first, else those to outline.
        blank: what pressed tokens become, as the reader is told: "[MASK]". Written in the box where there is room.
        reveal: whether a pressed token's own text stands struck through below its box; False hides it.
        groups: for each token its group, from 0, or `SPECIAL`; underlined in the group's colour. None at all: no lines,
            and nothing is special. A special token cannot be pressed.
        group_names: of the groups from 0, for the legend.
        name: of the text, for screen readers and above a saved picture.
        theme: colours and type sizes.
        scale: of type; above 1 for a projector.
        start_id: in "toggle" the browser takes `pressed` over only when this or a text changes, else it keeps what the
            reader did; in the other modes always.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when lengths differ, a token or a group does not exist, or limits are not in order.
    """
    count = len(texts)
    _check(mode, get_args(Mode), "mode")
    _check(colours, get_args(Colours), "colours")
    for what, size in (("labels", len(labels)), ("titles", len(titles)), ("groups", len(groups))):
        if size != count and (size or what == "labels"):
            raise ValueError(f"{size} {what} for {count} texts: give one for each")
    _check_indices(pressed, groups, group_names, count)
    header: dict[str, Any] = {
        **theme_header(theme, scale),
        "name": name,
        "labels": list(labels),
        "texts": list(texts),
        "titles": [title and isolate(title) for title in titles],
        "groups": [int(group) for group in groups],
        "group_names": list(group_names),
        "group_colours": [HEAD_COLOURS[n % len(HEAD_COLOURS)] for n in range(max(groups, default=-1) + 1)],
        "mode": mode,
        "pressed": sorted({int(token) for token in pressed}),
        "blank": {"label": blank, "colour": theme.mask, "ink": ink(theme.mask), "reveal": reveal},
        "legend": None,
        "file_name": file_name,
        "start_id": _identity(texts, start_id),
    }
    if values is None:
        return pack(header, {})
    given = np.asarray(values, dtype=np.float64)
    if given.shape != (count,):
        raise ValueError(f"values {given.shape} for {count} texts: give one number for each")
    ends = limits_of(given, colours, limits)
    header["shades"] = [(colour, ink(colour)) for colour in shade_colours(theme, colours)]
    header["legend"] = {
        "title": legend,
        "ticks": legend_ticks(given, ends),
        "unknown": bool(np.isnan(given).any()),
    }
    return pack(header, {"levels": levels(given, ends), "values": given.astype(np.float32)})


def shaded(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> Clicked:
    """Mount the text.

    Args:
        data: from `shaded_data`.
        key: its name on the page.
        on_change: called when the reader has picked a token, or has pressed some and settled; `picked_in` and
            `pressed_in` say which.

    Returns:
        What the reader did.
    """
    made = _mount(key=key, data=data, on_picked_change=on_change, on_pressed_change=on_change)
    header = unpack(data)[0]
    start, count = header["start_id"], len(header["texts"])
    return Clicked(_picked(made.picked, start, count), _pressed(made.pressed, start, count, key))


def picked_in(key: str, texts: Sequence[str], *, start_id: str = "") -> int | None:
    """The token that this run is due to, before the text is mounted; None in every other run.

    Args:
        key: of the text.
        texts: those that were shown; a pick in another text means nothing in this one.
        start_id: as `shaded_data` got it.
    """
    return _picked(_sent(key, "picked"), _identity(texts, start_id), len(texts))


def pressed_in(key: str, texts: Sequence[str], *, start_id: str = "") -> tuple[int, ...] | None:
    """The tokens that the reader has pressed since this start, before the text is mounted; None until then.

    Args:
        key: of the text.
        texts: as `shaded_data` gets them.
        start_id: as `shaded_data` gets it.
    """
    return _pressed(_sent(key, "pressed"), _identity(texts, start_id), len(texts), key)


def _sent(key: str, what: str) -> Any:
    return getattr(st.session_state.get(key), what, None)


def _picked(sent: Any, start: str, count: int) -> int | None:
    """The token that the browser sent, if it is one of this text's: anybody can send anything."""
    if not isinstance(sent, Mapping) or sent.get("start_id") != start:
        return None
    return _token(sent.get("picked"), count)


def _pressed(sent: Any, start: str, count: int, key: str) -> tuple[int, ...] | None:
    """The tokens that the browser sent since this start."""
    # Streamlit keeps what was sent last, though back at an earlier start the browser has Python's tokens again.
    last, old = st.session_state.get(f"{key} start", (None, None))
    if start != last:
        old = sent
        st.session_state[f"{key} start"] = start, old
    if not isinstance(sent, Mapping) or sent == old or sent.get("start_id") != start:
        return None
    given = sent.get("pressed")
    tokens = {_token(token, count) for token in given} if isinstance(given, Sequence) else {None}
    return None if None in tokens else tuple(sorted(token for token in tokens if token is not None))


def _token(value: Any, count: int) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in range(count):
        return None
    return int(value)


def _identity(texts: Sequence[str], start_id: str) -> str:
    """A name of the start that no other texts have: a token of one text means nothing in another."""
    return hashlib.sha1(json.dumps([start_id, list(texts)]).encode(), usedforsecurity=False).hexdigest()


def _check(value: str, known: Sequence[str], name: str) -> None:
    if value not in known:
        raise ValueError(f"{name} {value!r}: choose one of {', '.join(known)}")


def _check_indices(pressed: Sequence[int], groups: Sequence[int], names: Sequence[str], count: int) -> None:
    for token in pressed:
        if not 0 <= token < count:
            raise ValueError(f"pressed: no token {token}: there are {count}, counted from 0")
    if lowest := [group for group in groups if group < SPECIAL]:
        raise ValueError(f"group {lowest[0]}: groups count from 0, and {SPECIAL} is special")
    if names and len(names) <= max(groups, default=SPECIAL):
        raise ValueError(f"group {max(groups)} has no name: {len(names)} group names are given")


__all__ = ["LEVELS", "SPECIAL", "Clicked", "Colours", "Mode", "picked_in", "pressed_in", "shaded", "shaded_data"]
