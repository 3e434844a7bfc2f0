"""What a reader has chosen: kept in the session under the names of `View`'s fields.

What belongs to one map (layer, heads, pins, threshold) is kept for each map by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from engine.types import AttentionMap, Tokens, Trace
from pages._permalink import Over, View
from pages._session import PageView
from viz.components.lines import LinesView
from viz.components.playback import PlaybackView

CHOICES = (
    "measure", "norm", "map", "view", "tokens", "special", "sink", "over_heads", "over_layers", "compare",
    "presenter",
)  # fmt: skip
"""The fields of a view that a widget of that name holds."""

LEAST_GRADIENT = 0.3
"""The least gradient of a line, as a share of its row's largest: below it nearly every pair has one."""


KEPT = ("opened", "looks", "other", "axes", "playback", "shown model")
"""What else of exploring a trace is a page's own."""


def enter(page: str) -> None:
    """Pages explore traces under the same names: one that is come back to finds its own choices again."""
    state = st.session_state
    before, state["explorer"] = state.get("explorer", page), page
    if before == page:
        return
    names = (*CHOICES, *KEPT)
    state[f"explored {before}"] = {name: state[name] for name in names if name in state}
    open_view(View())
    for name, value in state.get(f"explored {page}", {}).items():
        state[name] = value


def follow(page: PageView[Any]) -> None:
    """Take over what a page's view has chosen of its traces, when that was opened anew.

    Args:
        page: whose views have a `look`, a `View`, and `presenter`.
    """
    state, view = st.session_state, page.current()
    enter(page.name)
    if state.get(f"{page.name} followed") != page.epoch():
        state[f"{page.name} followed"] = page.epoch()
        open_view(view.look)
    state["presenter"] = view.presenter


def open_view(view: View) -> None:
    """Take over a whole view: an address, a preset or a request file was opened."""
    state = st.session_state
    for name in CHOICES:
        state[name] = getattr(view, name)
    state["opened"], state["looks"], state["other"], state["axes"] = view, {}, {}, {}
    state["playback"] = _opened_playback(view)
    if view.view == "playback":
        state["over_layers"] = "each"  # said something about the playback, which is taken over
    touch()


def _opened_playback(view: View) -> PlaybackView:
    """Where a playback begins; an address says "mean over layers" for the mean of the decoder's layers."""
    fresh = PlaybackView(step=view.step)
    if view.view != "playback":
        return fresh
    layer = None if view.over_layers == "mean" else fresh.layer if view.layer is None else view.layer
    return replace(fresh, layer=layer, least=fresh.least if view.least is None else view.least)


def ready() -> None:
    """What the rest of this file and the figures expect to find in the session."""
    fresh: dict[str, Any] = {
        "opened": View(),
        "looks": {},
        "other": {},
        "axes": {},
        "playback": PlaybackView(),
        "epoch": 0,
    }
    for name, value in fresh.items():
        st.session_state.setdefault(name, value)


def meet(model: str) -> None:
    """Another model than before: layers and heads of one mean nothing in another.

    Args:
        model: identity of the one that is shown now.
    """
    state = st.session_state
    before, state["shown model"] = state.get("shown model", model), model
    if before != model and state["opened"].model != model:
        state["opened"], state["looks"], state["other"], state["axes"] = View(), {}, {}, {}
        state["playback"] = PlaybackView()
        touch()


def touch() -> None:
    """Another map or view was chosen: components take over what Python holds, not what the reader did before."""
    st.session_state["epoch"] = st.session_state.get("epoch", 0) + 1


def clear_pins() -> None:
    """Another sentence: its positions are others."""
    state = st.session_state
    state["looks"] = {name: replace(look, query=(), key=()) for name, look in state.get("looks", {}).items()}
    state["opened"] = replace(state["opened"], pins=(), at=())
    state["playback"], state["axes"] = PlaybackView(), {}
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
        played = st.session_state["playback"]
        layer = None if played.layer is None or played.layer < 0 else played.layer
        over: Over = "mean" if played.layer is None else "each"
        least = None if played.least == PlaybackView().least else played.least
        return replace(whole, step=played.step, layer=layer, least=least, over_layers=over)
    if look is None:
        return whole
    by_mass = look.by == "mass"
    one = view.measure == "gradient"  # which has neither layers nor heads to choose from
    other = st.session_state["other"].get(look_key(view)) if view.compare != "one" else None
    return replace(
        whole,
        layer=None if one else look.layer,
        heads=None if one else look.heads,
        pins=look.query,
        at=look.key,
        least=None if by_mass else look.least,
        mass=look.mass if by_mass else None,
        other=other,
    )


def look_key(view: View) -> str:
    """Under which name layer, heads and pins are kept: a mean of heads has others than the heads themselves."""
    if view.measure == "gradient":
        return f"{view.map} gradient"
    return f"{view.map} {view.over_heads} {view.over_layers}"


def look_of(view: View, attention: AttentionMap) -> LinesView:
    """Layer, heads, pins and threshold for a map, fitted to it; problems with an address's choice are said once."""
    looks = st.session_state["looks"]
    key = look_key(view)
    if key not in looks:
        opened = st.session_state["opened"]
        looks[key] = _opened_look(opened if look_key(opened) == key else View(), attention)
        axes = st.session_state["axes"]
        known = next((name for name in looks if name in axes and name.split()[0] == view.map), None)
        if known is not None:  # the same tokens, other heads: pins stay
            looks[key] = replace(looks[key], query=looks[known].query, key=looks[known].key)
            axes[key] = axes[known]
    look = _carried(key, attention, looks[key])
    if view.measure == "gradient":
        look = replace(look, layer=0, heads=(0,))
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
        warn_beyond(name, numbers, count)
    fresh = LinesView() if attention.measure == "attention" else LinesView(least=LEAST_GRADIENT)
    return LinesView(
        layer=attention.layers - 1 if opened.layer is None else opened.layer,
        heads=tuple(range(attention.heads)) if opened.heads is None else opened.heads,
        query=opened.pins,
        key=opened.at,
        by="weight" if opened.mass is None else "mass",
        least=fresh.least if opened.least is None else opened.least,
        mass=fresh.mass if opened.mass is None else opened.mass,
    )


def warn_beyond(name: str, numbers: Sequence[int], count: int) -> None:
    """Name what an address asks for and is not there."""
    beyond = [str(number + 1) for number in numbers if number >= count]
    if beyond:
        some = ".".join(beyond[:5]) + (" …" if len(beyond) > 5 else "")
        st.warning(f"“{name}={some}” in the address is not there: the highest is {count}.")


def _carried(key: str, attention: AttentionMap, look: LinesView) -> LinesView:
    """Pins stay on their text where words become pieces, or special tokens go."""
    axes = (attention.row_tokens, attention.key_tokens)
    before, st.session_state["axes"][key] = st.session_state["axes"].get(key, axes), axes
    if before == axes or any(old.text != new.text for old, new in zip(before, axes, strict=True)):
        return look
    return replace(look, query=_moved(look.query, before[0], axes[0]), key=_moved(look.key, before[1], axes[1]))


def _moved(pins: Sequence[int], old: Tokens, new: Tokens) -> tuple[int, ...]:
    """Where the pinned text stands now; special tokens have no place in the text and are known by their labels."""
    held = [pin for pin in pins if pin < len(old)]
    labels = {old.labels[pin] for pin in held if old.special[pin]}
    spans = [old.spans[pin] for pin in held if not old.special[pin]]
    return tuple(
        i
        for i, (a, b) in enumerate(new.spans)
        if (new.labels[i] in labels if new.special[i] else any(a < end and b > start for start, end in spans))
    )


def started(view: Any) -> tuple[Any, str]:
    """The view that a component begins with, and its name: both stay until `touch`, whatever the reader does."""
    state = st.session_state
    if state.get("started") != state["epoch"]:
        state["started"], state["start"] = state["epoch"], view
    return state["start"], str(state["epoch"])
