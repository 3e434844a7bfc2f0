"""Translate: type a sentence, read its translation, and see every head that made it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

import viz
from engine.analysis import merge_logprobs
from engine.catalogue import ModelCard
from engine.types import Trace
from pages import _permalink, _shared, _state, _views
from pages._permalink import View
from pages._presets import PRESETS

SENTENCE_ENDS = (".", "?", "!", '"', ")")
# In the presenter mode; Streamlit measures in rem, and a heatmap's larger numbers need room.
LARGE = "html { font-size: 125%; } .st-key-heatmap > * { min-width: 50rem !important; }"
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, and into the figure |
| ↑ ↓ | from token to token; in *All heads* from layer to layer |
| ← → | to the other side; among layers, heads and steps to the next |
| Enter or Space | pin a token, show or hide a head, open a head; Space plays |
| Shift + Enter | on a head: this head alone |
| 1 … 9, a | show or hide a head; all heads |
| [ and ] | the layer before, the layer after |
| Esc | clear the pins |
| Home, End | first, last |
"""


def arrive(card: ModelCard) -> list[str]:
    """Take over the address, if it is not the one this page wrote; returns what of it could not be used."""
    state, address = st.session_state, st.query_params.to_dict()
    if state.pop("arrived", False):  # a request file was opened
        view: View = state["opened"]
        problems: list[str] = state.pop("problems")
    elif "asked" not in state or address != state.get("address"):
        view, problems = _permalink.decode(address)
        first = next(iter(PRESETS.values()))
        if not address:
            view = first.view(card)
        elif "text" not in address:
            view = replace(view, text=first.text)
    else:
        return []
    if view.model and view.model != card.identity:
        problems.append(f"This link was made with {view.model}; what you see is computed with {card.identity}.")
    _state.open_view(view)
    state["text"] = state["asked"] = view.text
    state["target"] = view.target
    state["own target"] = view.target or ""
    return problems


def ask() -> None:
    """Take over what is in the box."""
    state = st.session_state
    if state["text"] != state["asked"]:
        state["asked"], state["target"] = state["text"], None
        _state.clear_pins()


def ask_for_text(card: ModelCard) -> str:
    """The box and its button; returns the sentence to show."""
    with st.form("question", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "English",
            key="text",
            label_visibility="collapsed",
            placeholder="Type a whole English sentence with its full stop, and press Enter",
        )
        st.form_submit_button("Translate", type="primary", on_click=ask)
    asked: str = st.session_state["asked"]
    return asked


def tools(card: ModelCard, own: Trace) -> None:
    """What stands above the translation: presets, the reader's own translation, the presenter switch, the keys."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not st.session_state.get("presenter"):
            with st.popover("Examples", icon=":material/lightbulb:"):
                for name, preset in PRESETS.items():
                    st.button(
                        preset.title,
                        key=f"preset {name}",
                        help=preset.explanation(card),
                        on_click=open_preset,
                        args=(card, name),
                        width="stretch",
                        disabled=not preset.available(card),
                    )
            with st.popover("Edit the translation", icon=":material/edit:"):
                _target_form(own)
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle(
            "Presenter",
            key="presenter",
            help="Larger type and fewer controls, for a projector",
            persist_state="session",
            on_change=_state.touch,
        )


def _target_form(own: Trace) -> None:
    st.markdown("Give the model words of your own, and see its attention and what it thinks of them.")
    state = st.session_state
    if not state.get("own target"):
        state["own target"] = own.translation
    with st.form("target form", border=False):
        st.text_input("French", key="own target")
        st.form_submit_button("Force this translation", type="primary", on_click=force)
    st.button("Back to the model's own", on_click=unforce, disabled=state.get("target") is None)


def force() -> None:
    """Force the translation that was typed; an empty one is the model's own."""
    state = st.session_state
    state["target"] = state["own target"].strip() or None
    _state.clear_pins()


def unforce() -> None:
    """Back to what the model says by itself."""
    st.session_state["target"], st.session_state["own target"] = None, ""
    _state.clear_pins()


def open_preset(card: ModelCard, name: str) -> None:
    """Show a preset."""
    state = st.session_state
    view = replace(PRESETS[name].view(card), presenter=state.get("presenter", False))
    _state.open_view(view)
    state["text"] = state["asked"] = view.text
    state["target"], state["own target"] = view.target, ""


def show_translation(card: ModelCard, trace: Trace, own: Trace) -> None:
    """The output as text, and what to see in a preset."""
    forced, presenter = trace is not own, st.session_state.get("presenter", False)
    _shared.plain_text(trace.translation, size="2.4rem" if presenter else "1.7rem", lang="fr")
    if forced:
        st.markdown(
            f"This translation is **yours**, forced on the model: log-probability {_total(trace)}. Its own has "
            f"{_total(own)}: {_shared.literal(own.translation)}"
        )
    if hint := None if forced else _hint(card, trace):
        st.markdown(hint)
    if not trace.request.text.endswith(SENTENCE_ENDS):
        st.info("The model was trained on whole sentences: try ending yours with a full stop.")
    for note in trace.notes:
        st.info(_shared.literal(note))


def _hint(card: ModelCard, trace: Trace) -> str | None:
    """What to see, where a preset is shown that is about the chosen map and figure."""
    for preset in PRESETS.values():
        same = (preset.chosen.map, preset.chosen.view) == (st.session_state["map"], st.session_state["view"])
        if same and preset.text == trace.request.text:
            return preset.explanation(card)
    return None


def _total(trace: Trace) -> str:
    """Log-probability of the whole output, in nats."""
    return f"{np.sum(trace.token_logprobs, dtype=np.float64):.1f}".replace("-", "−")


def show_strips(trace: Trace, own: Trace, view: View, theme: viz.Theme) -> None:
    """The probability of each output token or word; beside a forced output's the model's own."""
    words = view.tokens == "words" and view.view != "playback"
    noun = "word" if words else "token"
    if trace is own:
        _strip(own, theme, f"Probability of each output {noun}", "strip", words=words)
        return
    _strip(trace, theme, f"Your translation: probability of each {noun}", "strip", words=words)
    _strip(own, theme, f"The model's own: probability of each {noun}", "own-strip", words=words)


def _strip(trace: Trace, theme: viz.Theme, title: str, key: str, *, words: bool) -> None:
    tokens, logprobs, alternatives = trace.predicted, trace.token_logprobs, trace.alternatives
    if words:
        (tokens, logprobs), alternatives = merge_logprobs(logprobs, tokens), ()
    strip = viz.token_strip(tokens.labels, logprobs, tokens.special, theme, title=title, alternatives=alternatives)
    with st.container(key=key):
        st.html(strip)


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
    with _shared.errors_as_sentences():
        card = _shared.pick_model("translate")
        problems = arrive(card)
        presenter = st.session_state.get("presenter", False)
        if presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Translate", anchor=False)
        text = ask_for_text(card)
        for problem in problems:
            st.warning(_shared.literal(problem))
        own = _shared.trace(card, text)
        target = st.session_state["target"]
        trace = own if target is None else _shared.trace(card, text, target)
        theme = _shared.theme()
        tools(card, own)
        show_translation(card, trace, own)
        if not presenter:
            st.caption(summary(trace))
        _views.explore(trace, theme, lambda view: None if presenter else show_strips(trace, own, view, theme))


page()
