"""Alignment: which source word became which output word, from one vector for the sentence to attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.errors import InputError
from engine.types import Trace
from pages import _align_gold, _align_lengths, _align_save, _align_sections, _shared
from pages._align import (
    EXAMPLES,
    NO_PIN,
    PRESENTER,
    VIEW,
    AlignView,
    all_cards,
    asked,
    best_card,
    chosen_cards,
    complete,
    gold,
    gold_pair,
    head_of,
    name_of,
    panel,
    pin,
    pinned_by,
    source_of,
    traces,
    unloaded,
)
from pages._align_gold import leave_gold
from pages._cards import pick_several
from pages._languages import languages_of
from viz.components.alignments import Panel, Pin, alignments, alignments_data

LARGE = "html { font-size: 125%; }"
OUTPUTS = {"own": "Own outputs", "common": "One output for all"}
FIGURES = {"heatmap": "Heatmaps", "lines": "Lines"}
UNITS = {"words": "Words", "pieces": "Pieces"}
SECTIONS = {
    "steps": "Step by step",
    "states": "Encoder states",
    "thread": "Where the thread is lost",
    "lengths": "Quality by length",
    "quality": "Alignment quality",
}
OUTPUTS_HELP = (
    "**Own outputs**: what each model says by itself. **One output for all**: every model is forced to the same "
    "translation, so that rows can be compared: the Transformer's, where it is shown, or yours."
)
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, and into the panels |
| ↑ ↓ ← → | in a panel: from cell to cell, or from word to word |
| Enter or Space, click | pin |
| Esc | let go |
| ← → Home End | in *Step by step*: a step back, forward; first, last |
| Space | in *Step by step*: play, pause |
"""


def show() -> None:
    """Translate what is in the box."""
    text = st.session_state["align box"]
    if text != source_of(VIEW.current()):
        leave_gold()
        VIEW.change(text=text, target="", step=0, **NO_PIN)
    else:
        VIEW.change()
    VIEW.touch()


def open_example(text: str) -> None:
    """Translate an example."""
    leave_gold()
    VIEW.change(text=text, target="", step=0, **NO_PIN)
    VIEW.touch()


def force() -> None:
    """Take over the common translation that was typed; an empty one is that of `best_card`."""
    VIEW.change(target=st.session_state["align target"].strip(), step=0, **NO_PIN)
    VIEW.touch()


def header(view: AlignView) -> None:
    """Examples, gold sentences, keys, the presenter's switch."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not view.presenter:
            with st.popover("Examples", icon=":material/lightbulb:"):
                for title, text in EXAMPLES.items():
                    st.button(title, help=text, on_click=open_example, args=(text,), width="stretch")
            with st.popover("Sentences with gold links", icon=":material/rule:"):
                _align_gold.menu()
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def box(view: AlignView, cards: Sequence[ModelCard]) -> None:
    """The sentence."""
    state, text, languages = st.session_state, source_of(view), languages_of(*cards)
    if state.get("align asked") != text or "align box" not in state:
        state["align box"] = state["align asked"] = text
    with st.form("align form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            languages.source,
            key="align box",
            label_visibility="collapsed",
            placeholder=f"Type {languages.sentence} with its full stop, and press Enter",
        )
        st.form_submit_button("Translate", type="primary", on_click=show)


def options(view: AlignView, cards: Sequence[ModelCard], found: Mapping[str, Trace]) -> None:
    """Which models, whose outputs, which figure."""
    with_gold = gold_pair(view) is not None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_models(cards)
        if not with_gold:
            _choose("Outputs", "outputs", OUTPUTS, OUTPUTS_HELP, on_change=other_words)
        _choose("View", "view", FIGURES)
        with st.popover("Tokens & heads", icon=":material/tune:"):
            if with_gold:
                st.caption("A sentence with gold links is shown in the words that were linked.")
            else:
                _choose("Tokens", "tokens", UNITS, on_change=other_words)
                st.toggle(r"Special tokens (\<s>, \</s>)", **VIEW.widget("special") | {"on_change": other_words})
            st.toggle("Numbers in cells", **VIEW.widget("numbers"))
            for card in cards:
                if "decoder" in card.supports:
                    pick_head(view, card, found[card.name])
    if view.outputs == "common" and not with_gold:
        common(view, cards, found)


def _choose(label: str, field: str, names: Mapping[str, str], said: str | None = None, **more: Any) -> None:
    st.segmented_control(
        label, list(names), format_func=names.__getitem__, required=True, help=said, **VIEW.widget(field) | more
    )


def other_words(field: str) -> None:
    """Take over a choice after which rows or columns are other words: what was pinned is elsewhere."""
    VIEW.change(**{field: st.session_state[VIEW.key(field)]}, **NO_PIN)
    VIEW.touch()


def pick_models(chosen: Sequence[ModelCard]) -> None:
    """Pills of all models; the last one cannot be taken away."""

    def then() -> None:
        view = VIEW.current()
        if view.outputs == "common" and best_card(chosen_cards(view)) != best_card(chosen):
            VIEW.change(step=0, **NO_PIN)  # all may say something else now
        VIEW.touch()  # panels are counted anew: a pin stays with its model

    pick_several("Models", all_cards(), chosen, VIEW, "models", name_of, then)


def pick_head(view: AlignView, card: ModelCard, trace: Trace) -> None:
    """Which of a Transformer's cross heads is shown."""
    cross = trace.maps["cross"]
    place = head_of(view, card, cross)
    for field, at, count in (("layer", place[0], cross.layers), ("head", place[1], cross.heads)):
        key = VIEW.key(field) if card.path is None else f"{VIEW.key(field)} {card.name}"
        st.session_state[key] = at

        def changed(key: str = key, field: str = field) -> None:
            VIEW.change(**{"layer": place[0], "head": place[1]} | {field: st.session_state[key]})

        st.selectbox(
            f"{name_of(card)}, {field}", range(count), key=key, format_func=lambda i: str(i + 1), on_change=changed
        )


def common(view: AlignView, cards: Sequence[ModelCard], found: Mapping[str, Trace]) -> None:
    """The one translation, to be changed."""
    target = next(iter(found.values())).translation
    if st.session_state.get("align common") != target or "align target" not in st.session_state:
        st.session_state["align target"] = st.session_state["align common"] = target
    with st.form("align target form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        whose = "yours" if view.target else f"that of {name_of(best_card(cards))}"
        st.text_input(f"Forced on all models: {whose}", key="align target")
        st.form_submit_button("Force", on_click=force)


def all_traces(view: AlignView, cards: Sequence[ModelCard]) -> Mapping[str, Trace]:
    """The sentence through each model; a common translation that cannot be used is given up, with a sentence."""
    try:
        return traces(view, cards)
    except InputError as reason:
        if view.outputs == "own" or gold_pair(view) is not None:
            raise
        instead: dict[str, Any] = {"target": ""} if view.target else {"outputs": "own"}
        found = all_traces(replace(view, **instead), cards)  # raises where it is the text that cannot be used
        st.error(_shared.literal(str(reason)))
        VIEW.change(**instead)
        st.session_state["align common"] = next(iter(found.values())).translation  # what was typed stays in the box
        return found


def show_outputs(cards: Sequence[ModelCard], found: Mapping[str, Trace], view: AlignView) -> None:
    """What each model says, or thinks of what it is forced to say."""
    forced = any(trace.request.target is not None for trace in found.values())
    if forced:
        said_by_all = next(iter(found.values())).translation
        _shared.plain_text(said_by_all, size="1.4rem", lang=languages_of(*cards).written)
        totals = " · ".join(f"{name_of(card)} {_total(found[card.name])}" for card in cards)
        st.caption(f"Log-probability of this output, in nats: {totals}")
    else:
        said = {name_of(card): _shared.literal(found[card.name].translation) for card in cards}
        rows = [{"model": f"**{name}**", "says": text} for name, text in said.items()]
        with st.container(key="outputs"):
            st.table(rows, hide_index=True, hide_header=True)
    noted: dict[str, list[str]] = {}
    for card in cards:
        for note in found[card.name].notes:
            noted.setdefault(note, []).append(name_of(card))
    for note, names in noted.items():
        st.info(_shared.literal(note if len(names) == len(cards) else f"{', '.join(names)}: {note}"))


def _total(trace: Trace) -> str:
    return f"{np.sum(trace.token_logprobs, dtype=np.float64):.1f}".replace("-", "−")


def show_panels(view: AlignView, cards: Sequence[ModelCard], panels: Sequence[Panel], theme: viz.Theme) -> None:
    """The alignments side by side."""

    def changed() -> None:
        sent = st.session_state["align panels"].pinned
        if sent and sent.get("start_id") == VIEW.epoch():  # a late one may be of the sentence before
            VIEW.change(**pinned_by(Pin.of(sent), cards))

    data = alignments_data(
        panels,
        view=view.view,
        gold=gold(view),
        numbers=view.numbers,
        pinned=pin(view, cards, panels),
        start_id=VIEW.epoch(),
        theme=theme,
        scale=PRESENTER if view.presenter else 1.0,
    )
    with st.container(key="alignments"):
        alignments(data, key="align panels", on_change=changed)


@st.fragment
def explore(
    cards: Sequence[ModelCard], found: Mapping[str, Trace], before: tuple[object, ...], theme: viz.Theme
) -> None:
    """The panels and what is open below them; only this part runs again while a reader explores."""
    with _shared.errors_as_sentences():
        view = VIEW.current()
        if VIEW.arriving() or asked(view) != before:
            st.rerun()
        panels = [panel(view, card, found[card.name]) for card in cards]
        show_panels(view, cards, panels, theme)
        st.segmented_control(
            "Below",
            list(SECTIONS),
            format_func=SECTIONS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("section"),
        )
        DRAW[VIEW.current().section](cards, found, theme)
        VIEW.remember(models=tuple(card.identity for card in cards))
        if not view.presenter:
            _align_save.menu(cards, found, panels, theme)


DRAW: Mapping[str, Callable[[Sequence[ModelCard], Mapping[str, Trace], viz.Theme], Any]] = {
    "steps": _align_sections.steps_of_one,
    "states": _align_sections.states,
    "thread": _align_sections.thread,
    "lengths": _align_lengths.lengths,
    "quality": _align_lengths.quality,
}


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        problems = [*VIEW.arrive(complete), *unloaded()]
        view = VIEW.current()
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Alignment: which word became which?", anchor=False)
        header(view)
        for problem in problems:
            st.warning(_shared.literal(problem))
        cards, theme = chosen_cards(view), _shared.theme()
        box(view, cards)
        if gold_pair(view) is not None:
            st.caption("Gold links are outlined. All models are made to say the French that was linked.")
        found = all_traces(view, cards)
        view = VIEW.current()
        if not view.presenter:
            options(view, cards, found)
        show_outputs(cards, found, view)
        explore(cards, found, asked(view), theme)


page()
