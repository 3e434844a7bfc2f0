"""Sections of the Memorization page about one network: states and gates, attention, other measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

import viz
from engine.attributions import STEPS, Attributions, attributions
from engine.catalogue import ModelCard
from engine.completion import Completer, Target
from engine.completion_inside import CellRecord, attention, busiest_units, cell_record, mean_of
from engine.connectivity_attributions import Baseline
from engine.memorization import agreement_by_position
from engine.types import ConnectedText
from engine.verdict import signed
from pages import _shared
from pages._memo import VIEW, folded, pick_network, word_of

BUSIEST = 40  # units in the heatmap
FOLLOWED = 4  # units as lines
BASELINES = {"zero": "Nothing (zero vector)", "mean": "The mean of all characters"}

Texts = Mapping[str, ConnectedText]


def states(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """Hidden states and gates of a recurrent network over the text."""
    able = [card for card in cards if "states" in card.supports]
    if not able:
        st.info("A Transformer has no recurrent state. Choose a recurrent network above.")
        return
    place = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    with place:
        card = pick_network(able)
    record: CellRecord = _shared.computed_arrays(card, cell_record, folded(VIEW.current()).text)
    with place:
        layer = _pick_layer(len(record.states))
        part = _pick_part(record, layer)
    view = VIEW.current()
    gate = part in record.gates[layer]
    values = (record.gates if gate else record.states)[layer][part]
    units = busiest_units(values, BUSIEST)
    marked = view.position if 0 <= view.position < len(record.text) else None
    title = f"{card.short}, layer {layer + 1}: {part} {'gate' if _is_gate(part) else ''}".rstrip()
    kind: Any = "gate" if _is_gate(part) else "state"
    with st.container(key="heatmap"):
        st.plotly_chart(
            viz.state_heatmap(values, record.text, title, kind=kind, theme=theme, marked=marked, units=units),
            theme=None,
            key="memo states",
            config={"displaylogo": False},
        )
    st.caption(
        f"The {len(units)} units of {values.shape[1]} that change most over this text, most first. "
        + ("A gate is 0 when it is shut and 1 when it is open." if kind == "gate" else "")
    )
    _follow_units(values, record.text, units, theme, marked)


def _is_gate(part: str) -> bool:
    """Candidates are let in by gates and are none themselves."""
    return part.removeprefix("inner ") in ("reset", "update", "input", "forget", "output")


def _pick_layer(layers: int) -> int:
    chosen = min(max(VIEW.current().layer, 0), layers - 1)
    return _choose("Layer", "layer", list(range(layers)), chosen, lambda layer: str(layer + 1))


def _pick_part(record: CellRecord, layer: int) -> str:
    names = [*record.states[layer], *record.gates[layer]]
    view = VIEW.current()
    chosen = view.part if view.part in names else names[0]
    return _choose("What", "part", names, chosen, str)


def _choose(label: str, field: str, options: list[Any], chosen: Any, name: Any) -> Any:
    """A segmented control of a field whose value may not be among the options; returns what is shown."""
    if len(options) == 1:
        return options[0]
    key = VIEW.key(field)
    st.session_state[key] = chosen

    def changed() -> None:
        VIEW.change(**{field: st.session_state[key]})

    st.segmented_control(label, options, format_func=name, required=True, key=key, on_change=changed)
    return chosen


def _follow_units(values: np.ndarray, text: str, units: Sequence[int], theme: viz.Theme, marked: int | None) -> None:
    """A few units as lines over the text, the busiest unless the reader chooses others."""
    count = values.shape[1]
    chosen = st.multiselect(
        "Follow units",
        list(range(count)),
        default=list(units[:FOLLOWED]),
        format_func=lambda unit: f"unit {unit + 1}",
        max_selections=8,
    )
    if chosen:
        names = [f"unit {unit + 1}" for unit in chosen]
        _shared.draw_chart(
            viz.unit_lines(values[:, chosen], text, names, theme=theme, marked=marked),
            "units",
            "The chosen units over the text",
        )


def attention_beside_gradient(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """The Transformer's attention of a position beside the gradient of the same position."""
    able = [card for card in cards if "decoder" in card.supports]
    if not able:
        st.info("Only the Transformer has attention. Choose it above.")
        return
    view = VIEW.current()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_network(able)
        config = _shared.completer(card).model.config
        layer = _pick_of("Layer", "layer", config.layers)
        head = _pick_of("Head", "head", config.heads)
    text = texts[card.name]
    weights: np.ndarray = _shared.computed_arrays(
        card, attention, text.text, None if layer < 0 else layer, None if head < 0 else head
    )
    agreement = agreement_by_position(text, weights)
    marked = view.position if 0 <= view.position < len(text) else None
    st.markdown(_agreement_words(agreement, marked))
    if marked is not None:
        rows = {"gradient": text.connectivity.relative[marked], "attention": weights[marked]}
        _shared.draw_chart(
            viz.row_comparison(text.text, {name: row.tolist() for name, row in rows.items()}, marked, theme=theme),
            "rows",
            "Gradient and attention of the pinned character over the characters before it",
        )
    _shared.draw_chart(
        viz.agreement_chart({"gradient and attention": agreement.tolist()}, text.text, theme=theme, marked=marked),
        "agreement",
        "Rank agreement of gradient and attention at each character",
    )


def _agreement_words(agreement: np.ndarray, marked: int | None) -> str:
    mean = mean_of(agreement)
    said = (
        "This text is too short to compare ranks: a position needs ten characters before it."
        if mean is None
        else f"Over the text, the ranks of gradient and attention agree by **{signed(mean)}** on average (Spearman: 1 "
        "is the same order, 0 none in common)."
    )
    if marked is None:
        return f"{said} Pin a character above to see its two rows."
    return said + f" At the pinned character: **{signed(agreement[marked])}**."


def _pick_of(label: str, field: str, count: int) -> int:
    """All (−1) or one of several, counted from 1 on the screen."""
    chosen = getattr(VIEW.current(), field)
    options = list(range(-1, count))
    shown = chosen if chosen in options else -1
    picked: int = _choose(label, field, options, shown, lambda number: "mean" if number < 0 else str(number + 1))
    return picked


def measures(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """Gradient × input, integrated gradients and occlusion at the pinned character."""
    view = VIEW.current()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_network(cards)
        st.segmented_control(
            "An absent character is", list(BASELINES), format_func=BASELINES.__getitem__, required=True,
            help="What the other measures compare with: each character's vector is replaced by this one.",
            **VIEW.widget("baseline"),
        )  # fmt: skip
    view, text = VIEW.current(), texts[card.name]
    if not 0 <= view.position < len(text):
        st.info("Pin a character in the text above: what its suggestion rests on is then measured in four ways.")
        return
    if not text.targets[view.position]:
        st.info("The word at the pinned character is outside the vocabulary. Pin another character.")
        return
    found = _attributed(card, text.text, view.position, view.target, word_of(view), view.baseline)
    st.markdown(
        f"What the logit of **{_shared.literal(found.word)}** rests on. A gradient says what a small change would do; "
        "the others compare with a text in which characters are absent. Where they disagree, doubt all of them."
    )
    _shared.draw_chart(
        viz.row_comparison(
            found.text,
            {name: row.tolist() for name, row in found.rows.items()},
            len(found.text) - 1,
            theme=theme,
            signed=True,
        ),
        "measures",
        "Four measures of what the suggestion rests on, over the characters before it",
    )
    st.caption(
        f"Integrated gradients in {found.steps} steps from the baseline: the logit changes by {signed(found.change)} "
        f"and the parts add up to {signed(found.sum)} (completeness: an error of {abs(found.error):.3f}). Gradient: "
        "L2 norm with respect to the one-hot input, so it has no sign. Each strip is scaled by its own largest value."
    )


def _attributed(
    card: ModelCard, text: str, position: int, target: Target, word: str, baseline: Baseline
) -> Attributions:
    """Computed once for each position."""

    def compute(completer: Completer, report: Callable[[int], None]) -> Attributions:
        return attributions(
            completer, text, position, target, baseline, STEPS, _shared.in_steps(report, STEPS), word=word
        )

    return _shared.computed_slowly(
        card, "Measuring", STEPS, compute, key=("attributions", text, position, target, word, baseline)
    )
