"""Memorization: how far back a network looks when it completes a word, character by character."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.characters import Folded
from engine.completion import LONGEST
from engine.types import ConnectedText
from pages import _memo_files, _memo_inside, _memo_save, _memo_sections, _memo_type, _shared
from pages._cards import pick_several
from pages._memo import (
    EXAMPLES,
    PRESENTER,
    VIEW,
    MemoView,
    all_cards,
    chosen_cards,
    complete,
    differs,
    folded,
    go_on,
    known,
    read,
    stopped,
)
from viz.components.connectivity import TextView, connectivity_data, connectivity_text

LARGE = "html { font-size: 125%; }"
DOING = {"read": "Read a text", "type": "Type along"}
TARGETS = {
    "desired": "Word being typed",
    "first": "1st suggestion",
    "second": "2nd",
    "third": "3rd",
    "word": "Own word",
}
MODES = {"one-hot": "one-hot", "embedding": "embedding", "squared": "squared"}
MODE_HELP = (
    r"What the gradient of the word's logit is taken with respect to, at each earlier character. **one-hot**: "
    r"$\sqrt{g^\top E^\top E\, g}$, the norm of the gradient with respect to the one-hot input. **embedding**: "
    r"$\lVert g \rVert_2$, with respect to the character's vector, as the article writes. **squared**: "
    r"$g^\top E^\top E\, g$, without the root: what the article's figures plot; it makes memories look shorter."
)
SECTIONS = {
    "matrix": "Whole matrix",
    "distance": "By distance",
    "memory": "Memorization score",
    "accuracy": "Accuracy",
    "inside": "States & gates",
    "attention": "Attention beside gradient",
    "measures": "Other measures",
}
SHORTCUTS = """
| keys, in the text | what they do |
|---|---|
| ← → | one character back, forward |
| Shift + ← → | one word |
| Home, End | first, last character |
| Enter, click | pin a character; again: let go |
| Esc | let go |
| Space | play, pause |
"""


def show() -> None:
    """Read what is in the box."""
    text = st.session_state["memo box"]
    VIEW.change(**({"text": text, "position": -1} if text != VIEW.current().text else {}))
    VIEW.touch()


def open_example(text: str) -> None:
    """Read an example."""
    VIEW.change(text=text, position=-1, doing="read")
    VIEW.touch()


def tools(view: MemoView) -> None:
    """The box."""
    state = st.session_state
    if state.get("memo asked") != view.text or "memo box" not in state:
        state["memo box"] = state["memo asked"] = view.text
    with st.form("memo form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_area(
            "Text",
            key="memo box",
            height=68 if view.presenter else 100,
            label_visibility="collapsed",
            placeholder=f"Type or paste English text, up to {LONGEST:,} characters",
        )
        st.form_submit_button("Show", type="primary", on_click=show)


def options(view: MemoView, cards: Sequence[ModelCard]) -> None:
    """Which networks read, and whose logit is followed."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_networks(cards)
        st.segmented_control(
            "Whose logit", list(TARGETS), format_func=TARGETS.__getitem__, required=True, **VIEW.widget("target")
        )
        if view.target == "word":
            st.text_input("Word", width=160, placeholder="grammar", **VIEW.widget("word"))
        st.segmented_control("Gradient", list(MODES), required=True, help=MODE_HELP, **VIEW.widget("mode"))


def pick_networks(chosen: Sequence[ModelCard]) -> None:
    """Pills of all networks; the last one cannot be taken away."""
    pick_several("Networks", all_cards(), chosen, VIEW, "networks", lambda card: card.short)


def show_folding(text: Folded) -> None:
    """What the networks read instead of what was typed."""
    if text.changes:
        changes = ", ".join(str(change) for change in text.changes[:12])
        more = f" and {len(text.changes) - 12} more" if len(text.changes) > 12 else ""
        st.caption(_shared.literal(f"The networks read a to z and the space. Folded: {changes}{more}."))


def panels(cards: Sequence[ModelCard], view: MemoView, theme: viz.Theme) -> dict[str, ConnectedText]:
    """One panel for each network, each drawn when it is ready; the texts by network."""
    found: dict[str, ConnectedText] = {}
    waiting = stopped(view)
    places = {card.name: st.container(key=f"panel {card.name}") for card in cards}
    reading = st.container()  # a bar that comes and goes within a panel's place would make the browser build it anew
    for card in cards:
        if waiting and not known(card, view):
            continue
        with reading:
            found[card.name] = text = read(card, view)
        with places[card.name]:
            panel(text, view, theme, controls=len(found) == 1, group="text", note=_note(text))
    if left := [card.short for card in cards if card.name not in found]:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(f"Stopped. Not read: {', '.join(left)}.")
            st.button("Go on", on_click=go_on)
    for number, (name, text) in enumerate(_memo_files.opened().items()):
        with st.container(key=f"panel file {name}"):
            panel(text, view, theme, controls=number == 0, group="file", note="from a file, squared gradients")
    return found


def _note(text: ConnectedText) -> str:
    return f"reads {text.window} characters at once: what lies further back is out of its reach" if text.window else ""


@st.fragment
def panel(text: ConnectedText, view: MemoView, theme: viz.Theme, *, controls: bool, group: str, note: str) -> None:
    """The connected text of one network; a fragment, so that a pin waits for the networks that still read."""
    if st.session_state.pop("memo pinned", False):
        st.rerun()  # what is open below follows
    key = f"memo text {text.name}"
    start = TextView(view.position if view.position < len(text) else -1, 0 <= view.position < len(text))

    def changed() -> None:
        sent = st.session_state[key].view
        if sent and group == "text":
            made = TextView.of(sent)
            position = made.position if made.pinned else -1
            if position != VIEW.current().position:
                VIEW.change(position=position)
                st.session_state["memo pinned"] = True

    data = connectivity_data(
        text,
        start,
        theme=theme,
        scale=PRESENTER if view.presenter else 1.0,
        group=group,
        controls=controls,
        subtitle=note,
        start_id=VIEW.epoch(),
        file_name=f"memorization-{text.name.lower().replace(' ', '-')}",
    )
    connectivity_text(data, key=key, on_change=changed)


@st.fragment
def explore(
    cards: Sequence[ModelCard], texts: Mapping[str, ConnectedText], view_asked: MemoView, theme: viz.Theme
) -> None:
    """What is open below the panels; only this part runs again while a reader explores.

    The panels are read outside: a button in a fragment, and one stops a reading, waits until a run has ended.
    """
    with _shared.errors_as_sentences():
        view = VIEW.current()
        if VIEW.arriving() or differs(view, view_asked):
            st.rerun()
        if texts:
            st.segmented_control(
                "Below",
                list(SECTIONS),
                format_func=SECTIONS.__getitem__,
                required=True,
                label_visibility="collapsed",
                **VIEW.widget("section"),
            )
            DRAW[VIEW.current().section]([card for card in cards if card.name in texts], texts, theme)
        VIEW.remember(networks=tuple(card.identity for card in cards))
        if not view.presenter:
            _memo_save.menu(texts, theme)


DRAW: Mapping[str, Any] = {
    "matrix": _memo_sections.matrix,
    "distance": _memo_sections.distance,
    "memory": _memo_sections.memory,
    "accuracy": _memo_sections.accuracy,
    "inside": _memo_inside.states,
    "attention": _memo_inside.attention_beside_gradient,
    "measures": _memo_inside.measures,
}


def header(view: MemoView) -> None:
    """What the page does, and what there is beside the box."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Do",
            list(DOING),
            format_func=DOING.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("doing"),
        )
        if not view.presenter:
            with st.popover("Examples", icon=":material/lightbulb:"):
                for title, text in EXAMPLES.items():
                    st.button(title, help=text, on_click=open_example, args=(text,), width="stretch")
            if view.doing == "read":
                with st.popover("The article's run", icon=":material/description:"):
                    _memo_files.menu()
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        problems = VIEW.arrive(complete)
        view = VIEW.current()
        st.session_state.pop("memo pinned", None)  # this run shows it
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Memorization: how far back does it look?", anchor=False)
        header(view)
        for problem in problems:
            st.warning(_shared.literal(problem))
        cards, theme = chosen_cards(view), _shared.theme()
        if view.doing == "type":
            if not view.presenter:
                pick_networks(cards)
            _memo_type.draw(cards, theme)
            return
        tools(view)
        if not view.presenter:
            options(view, cards)
        show_folding(folded(view))
        explore(cards, panels(cards, view, theme), view, theme)


page()
