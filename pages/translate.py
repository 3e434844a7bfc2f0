"""Translate: type a sentence, read its translation, and see every head that made it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import viz
from engine.analysis import merge_logprobs, merge_words
from engine.cards import pronoun_head
from engine.catalogue import ModelCard
from engine.errors import SaccadeError
from engine.types import KINDS, AttentionMap, Kind, Trace
from pages import _shared

T = TypeVar("T")
PRESETS = {
    "it was too tired": (
        "The animal didn't cross the street because it was too tired.",
        "Here “it” is the animal, so French wants **il**. Point at “it” and see where it looks.",
    ),
    "it was too wide": (
        "The animal didn't cross the street because it was too wide.",
        "One word has changed: now “it” is the street, and French wants **elle**.",
    ),
}
MAP_NAMES: dict[Kind, str] = {
    "encoder": "Source → source",
    "decoder": "Output → output",
    "cross": "Output → source",
}
MAP_HELP = (
    "**Source → source**: encoder self-attention. **Output → output**: decoder self-attention, masked: a word sees "
    "only itself and those before it. **Output → source**: cross-attention, a row is the step that predicts its word."
)
UNITS = ("Words", "Pieces")
THRESHOLD = 0.05  # the least weight that is drawn at first
SENTENCE_ENDS = (".", "?", "!", '"', ")")
LINES_WIDTH = 900  # pixels; wider, the lines of a short sentence get too flat to follow
VIEWS = ("Lines", "Heatmap")


def open_preset(card: ModelCard, name: str) -> None:
    """Put a preset's sentence into the box and select the head that best finds a pronoun's noun."""
    state = st.session_state
    state["text"] = state["asked"] = PRESETS[name][0]
    state["map"], state["view"], state["unit"], state["threshold"] = "encoder", VIEWS[0], UNITS[0], THRESHOLD
    found = None
    with contextlib.suppress(SaccadeError):  # a preset's sentence opens without a head too
        found = pronoun_head(card, "encoder")
    if found:
        layer, head = found
        state["layer encoder"], state["heads encoder"], state["head encoder"] = layer, [head], head


def ask() -> None:
    """Take over what is in the box."""
    st.session_state["asked"] = st.session_state["text"]


def ask_for_text(card: ModelCard) -> str:
    """The box, the button and the presets; returns the sentence to show."""
    if "asked" not in st.session_state:
        open_preset(card, next(iter(PRESETS)))
    with st.form("question", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "English", key="text", placeholder="Type a whole English sentence with its full stop, and press Enter"
        )
        st.form_submit_button("Translate", type="primary", on_click=ask)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Try", width="content")
        for name in PRESETS:
            st.button(f"… {name}", key=f"preset {name}", on_click=open_preset, args=(card, name))
    asked: str = st.session_state["asked"]
    return asked


def choose(label: str, options: Sequence[T], key: str, default: T, **options_of_widget: Any) -> T:
    """One of several, always exactly one; the choice survives while the control is hidden."""
    st.session_state.setdefault(key, default)
    chosen = st.segmented_control(label, options, key=key, required=True, persist_state="session", **options_of_widget)
    return default if chosen is None else chosen


def show_translation(trace: Trace, theme: viz.Theme, *, words: bool) -> None:
    """The output as text, what to see in a preset, and the probability of each token or word."""
    _shared.plain_text(trace.translation, size="1.7rem", lang="fr")
    for sentence, hint in PRESETS.values():
        if trace.request.text == sentence:
            st.markdown(hint)
    if not trace.request.text.endswith(SENTENCE_ENDS):
        st.info("The model was trained on whole sentences: try ending yours with a full stop.")
    for note in trace.notes:
        st.info(_shared.literal(note))
    title = f"Probability of each output {'word' if words else 'token'}"
    if words:
        tokens, logprobs = merge_logprobs(trace.token_logprobs, trace.predicted)
        strip = viz.token_strip(tokens.labels, logprobs, tokens.special, theme, title=title)
    else:
        tokens = trace.predicted
        strip = viz.token_strip(
            tokens.labels,
            trace.token_logprobs,
            tokens.special,
            theme,
            title=title,
            alternatives=trace.alternatives,
        )
    _shared.draw_chart(strip, "strip", title)


def from_one(index: int) -> str:
    """Layers and heads count from 1 on screen."""
    return str(index + 1)


def choose_map(trace: Trace) -> tuple[AttentionMap, str, int]:
    """What to look at: map, layer, view."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = choose("Who looks at whom", KINDS, "map", "encoder", help=MAP_HELP, format_func=MAP_NAMES.__getitem__)
        attention = trace.maps[kind]
        layers = range(attention.layers)
        layer = choose("Layer", layers, f"layer {kind}", layers[-1], format_func=from_one)
        view = choose("View", VIEWS, "view", VIEWS[0])
    return attention, view, layer


def show_lines(controls: DeltaGenerator, attention: AttentionMap, layer: int, theme: viz.Theme) -> None:
    """The line diagram; its own controls go beside those there are."""
    with controls:
        key = f"heads {attention.kind}"
        st.session_state.setdefault(key, list(range(attention.heads)))
        heads = st.pills(
            "Heads",
            range(attention.heads),
            key=key,
            selection_mode="multi",
            format_func=from_one,
            persist_state="session",
        )
        threshold = st.slider(
            "Hide weights below", 0.0, 0.5, step=0.01, key="threshold", width=240, persist_state="session"
        )
    if not heads:
        st.info("No head is selected. Choose one or more above to see their lines.")
    chart = viz.lines(attention, layer, sorted(heads), threshold=threshold, theme=theme)
    _shared.draw_chart(chart, "lines", f"Lines of {attention.kind} attention, layer {layer + 1}", LINES_WIDTH)


def show_heatmap(controls: DeltaGenerator, attention: AttentionMap, layer: int, theme: viz.Theme) -> None:
    """The heatmap of one head; its own control goes beside those there are."""
    with controls:
        head = choose("Head", range(attention.heads), f"head {attention.kind}", 0, format_func=from_one)
    figure = viz.heatmap(attention, layer, head, theme=theme)
    alt = f"Heatmap of {attention.kind} attention, layer {layer + 1}, head {head + 1}"
    with st.container(key="heatmap"):
        st.plotly_chart(figure, theme=None, width="content", alt=alt)


def summary(trace: Trace) -> str:
    """One line: what was done."""
    words = len(trace.request.text.split())
    maps = ", ".join(f"{kind} {m.layers}×{m.heads}" for kind, m in trace.maps.items())
    return (
        f"{words} words in {len(trace.source)} tokens → {len(trace.predicted)} tokens · maps: {maps} · "
        f"{trace.milliseconds:.0f} ms on {trace.device} · {trace.request.model}"
    )


def page() -> None:
    """Draw the page."""
    st.title("Translate", anchor=False)
    st.caption("A trained Transformer translates your sentence; see where each of its heads looks, word by word.")
    with _shared.errors_as_sentences():
        card = _shared.pick_model("translate")
        trace = _shared.trace(card, ask_for_text(card))
        theme = _shared.theme()
        show_translation(trace, theme, words=st.session_state.get("unit", UNITS[0]) == UNITS[0])
        st.caption(summary(trace))
        attention, view, layer = choose_map(trace)
        controls = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
        with controls:
            unit = choose("Tokens", UNITS, "unit", UNITS[0])
        shown = merge_words(attention) if unit == UNITS[0] else attention
        show = show_lines if view == VIEWS[0] else show_heatmap
        show(controls, shown, layer, theme)


page()
