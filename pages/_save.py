"""What can be taken away from a page: the link, the shown map, all maps, the figure as a page of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import streamlit as st

import viz
from engine.saliency import GradientMap, Saliency, gradient_csv, saliency_json
from engine.tables import map_csv, trace_bytes
from engine.types import Trace
from pages._address import Codec, fits
from pages._cards import file_name, name_in
from pages._permalink import CODEC, View
from pages._shown import NAMES, Figure, Shown
from pages._state import open_view
from viz.components.standalone import standalone_html

V = TypeVar("V")


def menu(view: View, files: Callable[[], None]) -> None:
    """The menu "Save & share" under a figure of the Translate page.

    Args:
        view: that the link opens.
        files: draws what can be saved.
    """
    with st.popover("Save & share", icon=":material/share:"):
        link(CODEC, view, "saccade-view.json", "request file", _open_file)
        if problem := st.session_state.pop("request problem", None):
            st.error(problem)
        files()


def downloads(
    trace: Trace,
    shown: Shown,
    view: View,
    figure: Figure,
    theme: viz.Theme,
    maps: Mapping[str, str],
    saliency: Saliency | None = None,
) -> None:
    """The files of a figure; `maps` is what a screen calls the maps, `saliency` what gradients were made from."""
    st.markdown("**Save**")
    model = file_name(name_in(view.model))
    name = f"{model}-{view.map}" if saliency is None else f"{model}-{view.map}-gradient-{view.norm}"
    with st.container(horizontal=True):
        if shown.gradient is not None and saliency is not None:
            _gradients(shown.gradient, saliency, model, name)
        elif figure.heads:
            st.download_button(
                "Shown map, CSV",
                lambda: map_csv(shown.attention, figure.layer, figure.heads),
                f"{name}-{shown.attention.layer_names[figure.layer].replace(' ', '-')}.csv",
                "text/csv",
                help="One line for each pair of positions of each head on screen.",
                on_click="ignore",
            )
        if saliency is None:
            st.download_button(
                "All maps, NPZ",
                lambda: trace_bytes(trace),
                f"{model}-maps.npz",
                "application/octet-stream",
                help="Every map of the trace as the model computed it, with tokens and request; numpy reads it.",
                on_click="ignore",
            )
        if figure.component:
            st.download_button(
                "Figure, HTML",
                lambda: _standalone(trace, view, figure, theme, maps),
                f"{name}-{view.view}.html",
                "text/html",
                help="This figure as one file that works in any browser, offline, without Saccade.",
                on_click="ignore",
            )
    st.caption("Pictures: the buttons SVG and PNG beside the figure save what is on the screen.")


def _gradients(gradient: GradientMap, saliency: Saliency, model: str, name: str) -> None:
    st.download_button(
        "Shown gradients, CSV",
        lambda: gradient_csv(gradient),
        f"{name}.csv",
        "text/csv",
        help="One line for each pair of positions: the gradient's norm, and its share of the row's largest.",
        on_click="ignore",
    )
    st.download_button(
        "All gradients, JSON",
        lambda: saliency_json(saliency),
        f"{model}-gradient-{saliency.mode}.json",
        "application/json",
        help="Every map between the model's pieces: the norms themselves, with tokens and request.",
        on_click="ignore",
    )


def link(codec: Codec[V], view: V, file_name: str, key: str, opened: Callable[[], None]) -> None:
    """The address of a view to copy, its request file, and a place to open one.

    Args:
        codec: of the page.
        view: what is shown.
        file_name: of the request file.
        key: of the uploader; the session holds what was uploaded under it.
        opened: called when a file was uploaded, or taken away again.
    """
    address = codec.encode(view)
    st.markdown("**Link to exactly this view**")
    if fits(address):
        st.code(f"{(st.context.url or '').split('?')[0]}?{urlencode(address)}", language=None, wrap_lines=True)
    else:
        st.info("The text is too long for a link. Pass on the request file instead: it opens the same view.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.download_button("Request file", codec.to_file(view), file_name, "application/json", on_click="ignore")
        st.file_uploader("Open a request file", type="json", key=key, on_change=opened)


def _open_file() -> None:
    uploaded = st.session_state["request file"]
    if uploaded is None:
        return
    try:
        view, problems = CODEC.from_file(uploaded.getvalue())
    except ValueError as reason:
        st.session_state["request problem"] = str(reason)
        return
    open_view(view)
    st.session_state["problems"] = problems
    st.session_state["arrived"] = True


def _standalone(trace: Trace, view: View, figure: Figure, theme: viz.Theme, maps: Mapping[str, str]) -> str:
    assert figure.component is not None and figure.pack is not None
    noun = "attention" if view.measure == "attention" else f"gradient ({NAMES['norm'][view.norm].lower()})"
    output = f"; output: {trace.translation}" if trace.translation else ""
    made_by = f"{maps[view.map]} {noun} of {trace.request.model}{output}"
    return standalone_html(
        figure.component, figure.pack(), title=trace.request.text, note=f"{made_by} · made with Saccade", theme=theme
    )
