"""Translate: type a sentence, read its translation, and see every head that made it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

import viz
from engine.analysis import merge_logprobs
from engine.catalogue import ModelCard
from engine.errors import InputError
from engine.types import Trace
from pages import _shared, _state, _views
from pages._cards import made_with, no_longer
from pages._permalink import CODEC, View
from pages._presets import PRESETS
from pages._session import OF_MODELS

SENTENCE_ENDS = (".", "?", "!", '"', ")")
# In the presenter mode; Streamlit measures in rem, and a heatmap's larger numbers need room.
LARGE = "html { font-size: 125%; } .st-key-heatmap > * { min-width: 50rem !important; }"
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, and into the figure |
| ↑ ↓ ← → | in *Lines* from token to token and to the other side; among layers and heads to the next |
| | in *Playback* ← → a step; in *All heads* from thumbnail to thumbnail |
| Enter or Space | pin a token, show or hide a head, open a thumbnail; Space plays |
| Shift + Enter | in *Lines*, on a head: this head alone |
| 1 … 9 | in *Lines* and *Playback*: show or hide a head |
| a, [ and ], Esc | in *Lines*: all heads; the layer before, the layer after; clear the pins |
| Home, End | first, last |
"""


def arrive(card: ModelCard) -> list[str]:
    """Take over the address, if the reader has come by one; returns what of it could not be used.

    A run that a button caused still carries the address of the view before, and a run without an address has nothing
    to say: both leave the session as it is, but for a model that was unloaded meanwhile.
    """
    state, address = st.session_state, st.query_params.to_dict()
    acted = state.pop("acted", False)
    if state.pop("arrived", False):  # a request file was opened
        view, problems = state["opened"], state.pop("problems")
    elif "asked" in state and (acted or not address or address == state.get("address")):
        state.setdefault("text", state["asked"])  # widgets forget what they held while another page was shown
        state.setdefault("own target", state["target"] or "")
        return [*filter(None, [no_longer(state.get("shown model", ""))])]
    else:
        view, problems = CODEC.decode(address)
        first = next(iter(PRESETS.values()))
        if not address:
            view = first.view(card)
        elif "text" not in address:
            view = replace(view, text=first.text)
            if not address.keys() <= OF_MODELS:
                problems.append("The address holds no text: what you see is the first example.")
    state["address"] = address
    _show(view)
    return [*problems, *filter(None, [made_with(view.model, card)])]


def _show(view: View) -> None:
    """Put a whole view into the session."""
    state = st.session_state
    _state.open_view(view)
    state["text"] = state["asked"] = view.text
    state["target"], state["own target"] = view.target, view.target or ""


def act() -> None:
    """A button changes the session: the address of the view before no longer counts."""
    st.session_state["acted"] = True
    _state.touch()


def ask() -> None:
    """Take over what is in the box."""
    act()
    state = st.session_state
    if state["text"] != state["asked"]:
        state["asked"], state["target"], state["own target"] = state["text"], None, ""
        _state.clear_pins()


def ask_for_text(card: ModelCard) -> str:
    """The box and its button; returns the sentence to show."""
    whole = "Type a whole English sentence with its full stop, and press Enter"
    with st.form("question", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "English",
            key="text",
            label_visibility="collapsed",
            placeholder=whole if card.path is None else "Type what the model reads, and press Enter",
        )
        st.form_submit_button("Translate", type="primary", on_click=ask)
    asked: str = st.session_state["asked"]
    return asked


def tools(card: ModelCard, own: Trace) -> None:
    """What stands above the translation: presets, the reader's own translation, the presenter switch, the keys."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not st.session_state.get("presenter"):
            if card.path is None:  # examples speak of our own models
                with st.popover("Examples", icon=":material/lightbulb:"):
                    _examples(card)
            with st.popover("Edit the translation", icon=":material/edit:"):
                _target_form(own, "French" if card.path is None else "Output")
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle(
            "Presenter",
            key="presenter",
            help="Larger type and fewer controls, for a projector",
            persist_state="session",
            on_change=act,
        )


def _examples(card: ModelCard) -> None:
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


def _target_form(own: Trace, label: str) -> None:
    st.markdown("Give the model words of your own, and see its attention and what it thinks of them.")
    state = st.session_state
    if not state.get("own target"):
        state["own target"] = own.translation
    with st.form("target form", border=False):
        st.text_input(label, key="own target")
        st.form_submit_button("Force this translation", type="primary", on_click=force)
    st.button("Back to the model's own", on_click=unforce, disabled=state.get("target") is None)


def force() -> None:
    """Force the translation that was typed; an empty one is the model's own."""
    act()
    state = st.session_state
    state["target"] = state["own target"].strip() or None
    _state.clear_pins()


def unforce() -> None:
    """Back to what the model says by itself."""
    act()
    st.session_state["target"], st.session_state["own target"] = None, ""
    _state.clear_pins()


def open_preset(card: ModelCard, name: str) -> None:
    """Show a preset."""
    act()
    _show(replace(PRESETS[name].view(card), presenter=st.session_state.get("presenter", False)))


def show_translation(card: ModelCard, trace: Trace, own: Trace) -> None:
    """The output as text, and what is to be said of it; what a model of somebody's own writes is of any language."""
    forced, presenter = trace is not own, st.session_state.get("presenter", False)
    _shared.plain_text(
        trace.translation, size="2.4rem" if presenter else "1.7rem", lang="fr" if card.path is None else ""
    )
    if forced:
        st.markdown(
            f"This translation is **yours**, forced on the model: log-probability {_total(trace)}. Its own has "
            f"{_total(own)}: {_shared.literal(own.translation)}"
        )
    if card.path is None and not trace.request.text.endswith(SENTENCE_ENDS):
        st.info("The model was trained on whole sentences: try ending yours with a full stop.")
    for note in trace.notes:
        st.info(_shared.literal(note))


def show_hint(card: ModelCard, view: View) -> None:
    """What to see, as long as a preset's own map, figure and heads are shown."""
    for preset in PRESETS.values():
        if not preset.available(card):
            continue
        meant = preset.view(card)
        wanted: list[object] = [meant.text, meant.target, meant.measure, meant.map, meant.view]
        if preset.find:
            wanted += [meant.layer, meant.heads]
        shown = [view.text, view.target, view.measure, view.map, view.view, view.layer, view.heads]
        if wanted == shown[: len(wanted)]:
            st.markdown(preset.explanation(card))
            return


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
    maps = ", ".join(f"{kind} {m.layers}×{m.heads}" for kind, m in trace.maps.items()) or "none"
    return (
        f"{words} words in {len(trace.source)} tokens → {len(trace.predicted)} tokens · maps: {maps} · "
        f"{trace.milliseconds:.0f} ms on {trace.device} · {trace.request.model}"
    )


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        _state.enter("translate")
        card = _shared.pick_model("translate")
        problems = arrive(card)
        _state.meet(card.identity)
        presenter = st.session_state.get("presenter", False)
        if presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Translate", anchor=False)
        text = ask_for_text(card)
        for problem in problems:
            st.warning(_shared.literal(problem))
        own = _shared.trace(card, text)
        trace = own
        if (target := st.session_state["target"]) is not None:
            try:
                trace = _shared.trace(card, text, target)
            except InputError as reason:
                st.error(_shared.literal(f"Your translation could not be forced. {reason}"))
                st.session_state["target"] = None
        theme = _shared.theme()
        tools(card, own)
        show_translation(card, trace, own)
        if not presenter:
            st.caption(summary(trace))

        def below(view: View) -> None:
            show_hint(card, view)
            if not view.presenter:
                show_strips(trace, own, view, theme)

        _views.explore(card, trace, theme, below)


page()
