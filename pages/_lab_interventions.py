"""Which heads matter: heads switched off, patched from the other sentence, or made to look at the other noun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.coreference import Decision
from engine.errors import InputError
from engine.experiments import (
    How,
    Outcome,
    align_pieces,
    all_heads,
    force_at,
    force_onto,
    outcome,
    patch_from,
    sweep_heads,
)
from engine.interventions import Head, Intervention, KnockOut
from engine.reference import NAME
from engine.types import KINDS
from engine.verdict import Side, ranked, signed, turning
from pages import _lab, _lab_heads, _shared
from pages._lab import VIEW
from pages._languages import languages_of
from pages._pair import PairShown
from pages._shown import NAMES
from viz.components.matrix import Matrix, matrix, matrix_data

BY = {"zero": "Zero", "mean": "Its mean", "other": "From the other sentence"}
BY_HELP = (
    "What stands in place of a head's output. **Zero**: it says nothing. **Its mean**: it says what it says on "
    f"average, {NAME}. **From the other sentence** (activation patching): it says what it says there, at the "
    "words that stand for each other."
)
SENTENCES = {"first": "First sentence", "second": "Second sentence"}
Changes = tuple[tuple[Intervention, ...], tuple[Intervention, ...]]
"""What is done under the forced beginning, and while the translation is decoded."""
SCOPES = {"head": "This head", "layer": "All heads of its layer", "kind": "All heads of its kind"}


def draw(card: ModelCard, pair: PairShown, sides: tuple[Side, Side] | None, theme: viz.Theme) -> None:
    """The sweep of all heads, then what one head or several do to the whole translation."""
    if sides is None or pair.decision is None:
        st.info("Nothing can be compared yet: choose two words under “What is decided”.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Each head in turn becomes",
            list(BY),
            format_func=BY.__getitem__,
            required=True,
            help=BY_HELP,
            **VIEW.widget("by"),
        )
        st.segmented_control(
            "In the", list(SENTENCES), format_func=SENTENCES.__getitem__, required=True, **VIEW.widget("sentence")
        )
    view = VIEW.current()
    number = 0 if view.sentence == "first" else 1
    here, there = pair.sides[number], pair.sides[1 - number]
    if view.by == "other":
        for reason in align_pieces(*(side.trace.source for side in pair.sides)).refused:
            st.info(_shared.literal(f"Not patched: {reason}"))
    found = _shared.computed(
        card, sweep_heads, here.text, pair.decision, view.by, there.text if view.by == "other" else ""
    )
    order = ranked(found.change)
    head = _lab_heads.chosen_head(found.change) if view.head else order[0][0]
    assert head is not None
    first, second = pair.decision.words
    matrices = [Matrix(id=kind, name=NAMES["map"][kind], values=found.change[kind]) for kind in KINDS]
    data = matrix_data(
        matrices,
        quantity=f"Change of the log-odds “{first}” against “{second}” (now {signed(found.base)})",
        ends=(f"towards {second}", f"towards {first}"),
        chosen=head,
        theme=theme,
        scale=_lab.scale(),
        file_name=f"heads-off-{view.by}",
    )
    with st.container(key="matrix"):
        matrix(data, key="lab sweep", on_change=_lab_heads.picked("lab sweep"))
    turned = [one.name for one in turning(found)]
    st.caption(
        f"{len(order)} heads, one at a time, under the common beginning. "
        + (f"These turn the answer: {', '.join(turned[:6])}." if turned else "None of them turns the answer by itself.")
    )
    _several(card, pair, sides, head, theme)
    _forced(card, pair, sides, head, theme)


def _several(card: ModelCard, pair: PairShown, sides: tuple[Side, Side], head: Head, theme: viz.Theme) -> None:
    """The chosen head, and those the reader adds, changed together; both sentences are translated anew."""
    assert pair.decision is not None
    st.subheader(f"{head.name[0].upper()}{head.name[1:]}, and what is said without it", anchor=False)
    view = VIEW.current()
    options = sorted((one for one, _ in ranked(sides[0].sweep.off) if one != head), key=_place)
    st.session_state["lab off"] = [one for one in view.off if one in options]
    for one in view.off:
        if one not in options and one != head:
            st.warning(f"There is no {one.name}: it is left out.")
    st.multiselect(
        "Together with",
        options,
        key="lab off",
        format_func=lambda one: one.name,
        placeholder="Add heads that are changed at the same time",
        on_change=lambda: VIEW.change(off=tuple(st.session_state["lab off"])),
    )
    heads = (head, *st.session_state["lab off"])
    changes: list[Changes | str] = []
    for number in (0, 1):
        try:
            made = _changes(card, pair, heads, view.by, number)
            changes.append((made, made))
        except InputError as reason:
            changes.append(str(reason))
    _before_and_after(card, pair, sides, changes, theme)


def _changes(card: ModelCard, pair: PairShown, heads: Sequence[Head], by: How, number: int) -> tuple[Intervention, ...]:
    """What is done to the heads in one of the sentences."""
    if by != "other":
        return (KnockOut(tuple(heads), by),)
    assert pair.decision is not None
    here, there = pair.sides[number], pair.sides[1 - number]
    runner, decision = _shared.runner(card), pair.decision
    kinds = dict.fromkeys(head.kind for head in heads)
    return tuple(
        patch_from(runner, [head for head in heads if head.kind == kind], there.text, here.text, decision)
        for kind in kinds
    )


def _forced(card: ModelCard, pair: PairShown, sides: tuple[Side, Side], head: Head, theme: viz.Theme) -> None:
    """The pronoun's attention moved from one noun to the other."""
    st.subheader("Make the pronoun look at the other noun", anchor=False)
    a, b = map(_shared.literal, pair.names)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Move its attention",
            ["B", "A"],
            format_func={"A": f"from {b} to {a}", "B": f"from {a} to {b}"}.__getitem__,
            required=True,
            **VIEW.widget("onto"),
        )
        scopes = {name: text.replace("kind", f"kind ({NAMES['map'][head.kind]})") for name, text in SCOPES.items()}
        st.segmented_control("In", list(scopes), format_func=scopes.__getitem__, required=True, **VIEW.widget("scope"))
    view = VIEW.current()
    runner = _shared.runner(card)
    heads = {
        "head": (head,),
        "layer": all_heads(runner, head.kind, head.layer),
        "kind": all_heads(runner, head.kind),
    }[view.scope]
    assert pair.decision is not None
    changes: list[Changes | str] = []
    for side in pair.sides:
        try:
            under = force_at(runner, side.trace, side.where, pair.decision, heads, view.onto)
            changes.append(((under,), (force_onto(side.where, heads, view.onto),)))
        except InputError as reason:
            changes.append(str(reason))
    _before_and_after(card, pair, sides, changes, theme)
    st.caption("The moved attention keeps its sum: a row still sums to 1. Every other row stays as it is.")


def _before_and_after(
    card: ModelCard,
    pair: PairShown,
    sides: tuple[Side, Side],
    changes: Sequence[Changes | str],
    theme: viz.Theme,
) -> None:
    """Log-odds and translation of both sentences, as they are and with the changes made."""
    assert pair.decision is not None
    for column, number, side, change in zip(st.columns(2, gap="large"), (1, 2), sides, changes, strict=True):
        with column, st.container(border=True):
            if isinstance(change, str):
                st.info(_shared.literal(f"Sentence {number}: {change}"))
                continue
            try:
                after = _shared.computed(card, outcome, pair.sides[number - 1].text, pair.decision, *change)
            except InputError as reason:
                st.info(_shared.literal(f"Sentence {number}: {reason}"))
                continue
            written = languages_of(card).written
            st.html(_compared(pair.decision, side.outcome, after, number, written, theme))


def _compared(decision: Decision, before: Outcome, after: Outcome, number: int, lang: str, theme: viz.Theme) -> str:
    rows = [
        (name, *(f"{share:.1%}" for share in one.probabilities), signed(one.log_odds))
        for name, one in (("as it is", before), ("changed", after))
    ]
    table = viz.small_table((f"sentence {number}", *decision.words, "log-odds"), rows, theme=theme)
    larger = replace(theme, font_size=round(theme.font_size * _lab.scale()))
    return table + viz.text_change(before.translation, after.translation, lang=lang, theme=larger)


def _place(head: Head) -> tuple[int, int, int]:
    return KINDS.index(head.kind), head.layer, head.head
