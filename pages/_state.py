"""What a reader has chosen: kept in the session under the names of `View`'s fields.

What belongs to one map (layer, heads, pins, threshold) is kept for each map by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from engine.types import AttentionMap, Trace
from pages._permalink import View
from viz.components.lines import LinesView
from viz.components.playback import PlaybackView

CHOICES = ("map", "view", "tokens", "special", "over_heads", "over_layers", "compare", "presenter")
"""The fields of a view that a widget of that name holds."""


def open_view(view: View) -> None:
    """Take over a whole view: an address, a preset or a request file was opened."""
    state = st.session_state
    for name in CHOICES:
        state[name] = getattr(view, name)
    state["opened"], state["looks"], state["other"], state["axes"] = view, {}, {}, None
    state["playback"] = PlaybackView(step=view.step)
    touch()


def ready() -> None:
    """What the rest of this file and the figures expect to find in the session."""
    fresh: dict[str, Any] = {
        "opened": View(),
        "looks": {},
        "other": {},
        "axes": None,
        "playback": PlaybackView(),
        "epoch": 0,
    }
    for name, value in fresh.items():
        st.session_state.setdefault(name, value)


def touch() -> None:
    """Another map or view was chosen: components take over what Python holds, not what the reader did before."""
    st.session_state["epoch"] = st.session_state.get("epoch", 0) + 1


def clear_pins() -> None:
    """Another sentence: its positions are others."""
    state = st.session_state
    state["looks"] = {name: replace(look, query=(), key=()) for name, look in state.get("looks", {}).items()}
    state["opened"] = replace(state["opened"], pins=(), at=())
    state["playback"], state["axes"] = PlaybackView(), None
    touch()


def chosen() -> View:
    """The choices that widgets hold."""
    state = st.session_state
    return replace(View(), **{name: state.get(name, getattr(View(), name)) for name in CHOICES})


def current_view(trace: Trace) -> View:
    """The whole view, as an address restores it."""
    view = chosen()
    look = st.session_state["looks"].get(look_key(view))
    request = trace.request
    whole = replace(view, model=request.model, text=request.text, target=request.target)
    if view.view == "playback":
        return replace(whole, step=st.session_state["playback"].step)
    if look is None:
        return whole
    by_mass = look.by == "mass"
    other = st.session_state["other"].get(look_key(view)) if view.compare != "one" else None
    return replace(
        whole,
        layer=look.layer,
        heads=look.heads,
        pins=look.query,
        at=look.key,
        least=None if by_mass else look.least,
        mass=look.mass if by_mass else None,
        other=other,
    )


def look_key(view: View) -> str:
    """Under which name layer, heads and pins are kept: a mean of heads has others than the heads themselves."""
    return f"{view.map} {view.over_heads} {view.over_layers}"


def look_of(view: View, attention: AttentionMap) -> LinesView:
    """Layer, heads, pins and threshold for a map, fitted to it; problems with an address's choice are said once."""
    looks = st.session_state["looks"]
    key = look_key(view)
    if key not in looks:
        opened = st.session_state["opened"]
        looks[key] = _opened_look(opened if look_key(opened) == key else View(), attention)
    look = _carried(view, attention, looks[key])
    looks[key] = replace(
        look,
        layer=min(look.layer, attention.layers - 1),
        heads=tuple(head for head in look.heads if head < attention.heads),
        query=tuple(i for i in look.query if i < len(attention.query_tokens)),
        key=tuple(i for i in look.key if i < len(attention.key_tokens)),
    )
    return looks[key]


def _opened_look(opened: View, attention: AttentionMap) -> LinesView:
    """What an address chose of a map, with the page's own choice where it is silent; what is not there is named."""
    limits = {
        "layer": ([opened.layer] if opened.layer is not None else [], attention.layers),
        "heads": (opened.heads or (), attention.heads),
        "pins": (opened.pins, len(attention.query_tokens)),
        "at": (opened.at, len(attention.key_tokens)),
    }
    for name, (numbers, count) in limits.items():
        beyond = [str(number + 1) for number in numbers if number >= count]
        if beyond:
            st.warning(f"“{name}={'.'.join(beyond)}” in the address is not there: this map has {count}.")
    fresh = LinesView()
    return LinesView(
        layer=attention.layers - 1 if opened.layer is None else opened.layer,
        heads=tuple(range(attention.heads)) if opened.heads is None else opened.heads,
        query=opened.pins,
        key=opened.at,
        by="weight" if opened.mass is None else "mass",
        least=fresh.least if opened.least is None else opened.least,
        mass=fresh.mass if opened.mass is None else opened.mass,
    )


def _carried(view: View, attention: AttentionMap, look: LinesView) -> LinesView:
    """Pins stay on their text where words become pieces, or special tokens go."""
    rows = attention.row_tokens
    axes = (view.map, rows.text, attention.key_tokens.text), (rows.spans, attention.key_tokens.spans)
    before, st.session_state["axes"] = st.session_state["axes"], axes
    if before is None or before[0] != axes[0] or before[1] == axes[1]:
        return look
    return replace(
        look,
        query=_moved(look.query, before[1][0], axes[1][0]),
        key=_moved(look.key, before[1][1], axes[1][1]),
    )


Spans = Sequence[tuple[int, int]]


def _moved(pins: Sequence[int], old: Spans, new: Spans) -> tuple[int, ...]:
    held = [old[pin] for pin in pins if pin < len(old)]
    return tuple(i for i, (a, b) in enumerate(new) if any(a < end and b > start for start, end in held))


def started(view: Any) -> tuple[Any, str]:
    """The view that a component begins with, and its name: both stay until `touch`, whatever the reader does."""
    state = st.session_state
    if state.get("started") != state["epoch"]:
        state["started"], state["start"] = state["epoch"], view
    return state["start"], str(state["epoch"])
