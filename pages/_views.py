"""Every view of a trace's attention: which map, how it is put together, the figure, and what can be saved of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.heads import Pattern, head_patterns
from engine.saliency import SIDES
from engine.types import KINDS, AttentionMap, Kind, Trace
from pages import _gradient, _save, _shared
from pages._address import fits
from pages._host import Host
from pages._lab import PRESENTER
from pages._permalink import CODEC, View
from pages._shown import NAMES, Figure, Shown, hidden_tokens, renormalises
from pages._state import chosen, current_view, follow, look_key, look_of, ready, started, touch, warn_beyond
from viz.components.grid import grid, grid_data
from viz.components.lines import Controls, LinesView, lines, lines_data
from viz.components.playback import PlaybackView, playback, playback_data
from viz.components.save import save_picture

MAP_HELP = (
    "**Source → source**: encoder self-attention. **Output → output**: decoder self-attention, masked: a token sees "
    "only itself and those before it. **Output → source**: cross-attention, a row is the step that predicts its token."
)

SPECIAL = r"Special tokens (\<s>, \</s>)"
LONG_NAME = 12  # characters
SINK = "First token"
SINK_HELP = (
    "Heads that have nothing to look for often rest on the first token, whatever it is: an attention sink (Xiao et al. "
    "2024). Without it the rest is easier to see; what it took is stated."
)

# ---- the controls ----


def choose(label: str, name: str, *, options: Sequence[str] | None = None, **of_widget: Any) -> None:
    """One of several under a field's name, always exactly one."""
    st.segmented_control(
        label,
        options or list(NAMES[name]),
        key=name,
        format_func=NAMES[name].__getitem__,
        required=True,
        persist_state="session",
        on_change=touch,
        **of_widget,
    )


def _controls(trace: Trace, host: Host, presenter: bool) -> None:
    state = st.session_state
    kinds: Sequence[Kind] = [kind for kind in KINDS if kind in trace.maps]
    if host.gradients is None:
        state["measure"] = "attention"
    elif not kinds and state.get("measure") != "gradient":
        state["measure"] = "gradient"
        st.info("This model has no attention. Gradients show what each output word rests on all the same.")
    gradient = state.get("measure") == "gradient"
    if gradient:
        kinds = _gradient.fall_back(host.sides)
    elif state.get("map") not in kinds:
        state["map"] = kinds[0]
    views = _gradient.FIGURES if gradient else [name for name in NAMES["view"] if host.playback or name != "playback"]
    if state.get("view") not in views:  # an address asked for the playback
        state["view"] = "lines"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if host.gradients is not None:
            measures = list(NAMES["measure"]) if trace.maps else ["gradient"]
            choose("Show", "measure", options=measures, help=None if presenter else _gradient.HELP)
        playing = state.get("view") == "playback"  # which shows all the maps
        if len(host.maps) > 1:
            about, told = ("What moves what", _gradient.MAP_HELP) if gradient else ("Who looks at whom", MAP_HELP)
            choose(about, "map", options=kinds, help=None if presenter else told, disabled=playing)
        choose("View", "view", options=views)
        if gradient and not presenter:
            with st.popover("Tokens & norm", icon=":material/tune:"):
                choose("Tokens", "tokens")
                choose(host.special, "special")
                choose(SINK, "sink", help=SINK_HELP)
                choose("Norm", "norm", help=_gradient.NORM_HELP)
                st.caption(_gradient.NO_HEADS)
        elif not presenter and not playing:
            with st.popover("Tokens & heads", icon=":material/tune:"):
                choose("Tokens", "tokens")
                choose(host.special, "special")
                choose(SINK, "sink", help=SINK_HELP)
                choose("Heads", "over_heads")
                choose("Layers", "over_layers")


# ---- the figures ----


def explore(
    card: ModelCard, trace: Trace, theme: viz.Theme, below: Callable[[View], None], host: Host | None = None
) -> None:
    """Draw controls, figure and what can be saved; only this part runs again while a reader explores.

    Args:
        card: of the model that made the trace.
        trace: whose maps.
        theme: of the page.
        below: draws what comes under the figure, for the view that is shown; above it would move the figure.
        host: the page, if it is another one than Translate.
    """
    if host is not None and host.page is not None:
        follow(host.page)
    ready()
    _fragment(card, trace, theme, below, host or _translate())


def _translate() -> Host:
    return Host(
        remember=remember,
        save=_save.menu,
        maps=NAMES["map"],
        special=SPECIAL,
        gradients=_gradient.made,
        sides=SIDES,
        arriving=lambda: bool(st.session_state.get("arrived")),
    )


@st.fragment
def _fragment(card: ModelCard, trace: Trace, theme: viz.Theme, below: Callable[[View], None], host: Host) -> None:
    if host.arriving():  # a request file was opened: the whole page has to change
        st.rerun()
    with _shared.errors_as_sentences():
        trace = host.prepare(trace)
        _controls(trace, host, st.session_state.get("presenter", False))
        view = chosen()
        made = None
        if view.measure == "gradient" and host.gradients is not None:
            made = host.gradients(card, trace, view.norm)
        shown = Shown.of(trace.maps[view.map], view) if made is None else _gradient.shown(made, view)
        figure = _FIGURES[view.view](trace, shown, view, theme, PRESENTER if view.presenter else 1.0)
        if not view.presenter:
            st.caption(_statement(shown, view, trace) if made is None else _gradient.statement(made, view))
        whole = current_view(trace)
        below(whole)
        host.remember(whole)
        if not view.presenter:
            host.save(whole, lambda: _save.downloads(trace, shown, whole, figure, theme, host.maps, made))


def remember(view: View) -> None:
    """Write the view into the address, so that reloading, going back and copying it work."""
    address = CODEC.encode(view)
    if not fits(address):
        address = CODEC.without_text(address)
        st.info("This text is too long for the address. “Save & share” has a request file that opens the same view.")
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)
    st.session_state["address"] = address


def _lines(trace: Trace, shown: Shown, view: View, theme: viz.Theme, scale: float) -> Figure:
    look = look_of(view, shown.attention)
    start, name = started(look)
    controls: Controls = "heads" if view.presenter else "all"
    pack = partial(
        lines_data,
        shown.attention,
        layer=look.layer,
        removed=shown.removed,
        theme=theme,
        scale=scale,
        controls=controls,
        start_id=name,
        file_name=f"{view.map}-{_name(view)}",
    )
    key = look_key(view)

    def changed() -> None:
        sent = st.session_state["diagram"].view
        if sent and key in st.session_state["looks"]:
            st.session_state["looks"][key] = LinesView.of(sent)

    with st.container(key="lines"):  # a place that style sheets and tests can name
        lines(pack(start), key="diagram", on_change=changed)
    return Figure("lines", partial(pack, look), look.layer, look.heads)


def _name(view: View) -> str:
    """What a file of the figure holds."""
    return "attention" if view.measure == "attention" else f"gradient-{view.norm}"


def _grid(trace: Trace, shown: Shown, view: View, theme: viz.Theme, scale: float) -> Figure:
    look = look_of(view, shown.attention)
    patterns = [[_pattern(found) for found in row] for row in head_patterns(shown.attention)]
    one = (look.layer, look.heads[0]) if len(look.heads) == 1 else None
    data = grid_data(shown.attention, patterns, chosen=one, theme=theme, scale=scale, file_name=f"{view.map}-heads")
    key = look_key(view)

    def picked() -> None:
        head = st.session_state["thumbnails"].picked
        if head:
            layer, number = int(head["layer"]), int(head["head"])
            st.session_state["looks"][key] = replace(look, layer=layer, heads=(number,))
            st.session_state["view"] = "lines"
            touch()

    with st.container(key="grid"):
        grid(data, key="thumbnails", on_change=picked)
    return Figure("grid", lambda: data, look.layer, ())


def _pattern(found: Pattern) -> str:
    """E.g. "previous token 0.82"; what fits no pattern has no score."""
    return f"{found.name} {found.score:.2f}" if found.score else found.name


def _playback(trace: Trace, shown: Shown, view: View, theme: viz.Theme, scale: float) -> Figure:
    steps = len(trace.predicted) + (trace.maps["encoder"].layers if "encoder" in trace.maps else 0)
    played = st.session_state["playback"]
    warn_beyond("step", [played.step], steps)
    st.session_state["playback"] = played = replace(played, step=min(played.step, steps - 1))
    start, name = started(played)
    pack = partial(
        playback_data, trace.maps, trace.token_logprobs, trace.alternatives, theme=theme, scale=scale, start_id=name
    )

    def changed() -> None:
        sent = st.session_state["playing"].view
        if sent:
            st.session_state["playback"] = PlaybackView.of(sent)

    with st.container(key="player"):
        playback(pack(start), key="playing", on_change=changed)
    return Figure("playback", partial(pack, played), 0, ())


def _heatmap(trace: Trace, shown: Shown, view: View, theme: viz.Theme, scale: float) -> Figure:
    attention, key = shown.attention, look_key(view)
    look = look_of(view, attention)
    if view.measure == "gradient":
        return _gradient.heatmap(shown, f"{view.map}-{_name(view)}", theme, scale)
    first = (look.layer, look.heads[0] if look.heads else 0)
    others = st.session_state["other"]
    opened = st.session_state["opened"]
    if key not in others:
        asked = opened.other if look_key(opened) == key else None
        if asked is not None:
            warn_beyond("other, layer", asked[:1], attention.layers)
            warn_beyond("other, head", asked[1:], attention.heads)
        others[key] = asked or _next_head(first, attention)
    others[key] = min(others[key][0], attention.layers - 1), min(others[key][1], attention.heads - 1)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        choose("Compare", "compare")
        compared = st.session_state["compare"] != "one"
        first = _pick_head("First" if compared else "", attention, first, f"first {key}")
        if compared:
            others[key] = _pick_head("Second", attention, others[key], f"second {key}")
    st.session_state["looks"][key] = replace(
        look, layer=first[0], heads=look.heads if first[1] == (*look.heads, 0)[0] else (first[1],)
    )
    head, other = (viz.HeadOf(attention, *place) for place in (first, others[key]))
    if not compared:
        figure = viz.heatmap(attention, *first, theme=theme, scale=scale)
    elif st.session_state["compare"] == "pair":
        figure = viz.heatmap_pair(head, other, theme=theme, scale=scale)
    else:
        figure = viz.heatmap_difference(head, other, theme=theme, scale=scale)
    what = f"{view.map} attention of {head.name}" + (f" and of {other.name}" if compared else "")
    with st.container(key="heatmap"):
        st.plotly_chart(figure, theme=None, width="content", alt=f"Heatmap: {what}")
    save_picture("heatmap", f"{view.map}-attention", key="save picture")
    return Figure(None, None, first[0], (first[1],))


def _next_head(place: tuple[int, int], attention: AttentionMap) -> tuple[int, int]:
    return place[0], (place[1] + 1) % attention.heads


def _pick_head(label: str, attention: AttentionMap, place: tuple[int, int], key: str) -> tuple[int, int]:
    """Two menus: layer and head."""
    found = []
    for noun, names, value in (
        ("layer", attention.layer_names, place[0]),
        ("head", attention.head_names, place[1]),
    ):
        name = f"{key} {noun}"
        if st.session_state.get(f"{name} epoch") != st.session_state["epoch"]:
            st.session_state[name], st.session_state[f"{name} epoch"] = value, st.session_state["epoch"]
        found.append(
            st.selectbox(
                f"{label} {noun}".strip().capitalize(),
                range(len(names)),
                key=name,
                format_func=names.__getitem__,
                width=125 if max(map(len, names)) < LONG_NAME else 200,
                disabled=len(names) == 1,
            )
        )
    return found[0], found[1]


_FIGURES: dict[str, Callable[[Trace, Shown, View, viz.Theme, float], Figure]] = {
    "lines": _lines,
    "playback": _playback,
    "grid": _grid,
    "heatmap": _heatmap,
}


def _statement(shown: Shown, view: View, trace: Trace) -> str:
    """What was done to the model's own weights, in a sentence or two."""
    if view.view == "playback":
        return "The model's own pieces and weights, in the order in which they were computed."
    parts = []
    if view.tokens == "words":
        parts.append("Words: the sum over a word's key pieces, the mean over its query pieces.")
    if shown.removed is not None:
        share = f"{float(shown.removed.mean()) if shown.removed.size else 0:.0%}"
        what = "rows were divided by what is left" if renormalises(view) else "rows no longer sum to 1"
        it = "it" if view.special == "shown" else "they"
        parts.append(f"{hidden_tokens(view)}: {it} took {share} of each head's attention on average; {what}.")
    reduced = [
        name
        for name, over in (
            (shown.attention.head_names[0], view.over_heads),
            (shown.attention.layer_names[0], view.over_layers),
        )
        if over != "each"
    ]
    if reduced:
        parts.append(f"Each weight is the {', then the '.join(reduced)}.")
        if "max" in (view.over_heads, view.over_layers):
            parts.append("Rows of a maximum sum to 1 or more.")
    if parts:
        return " ".join(parts)
    if shown.attention.sums_to_one:
        return "The model's own weights: each row sums to 1."
    return "The model's own weights; a part of some rows' attention lies outside what is shown."
