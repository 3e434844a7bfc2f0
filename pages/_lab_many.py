"""The same question over many sentences: how often heads and model are right, and what is lost with heads off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

import viz
from engine.ablation import Ablation, ablation
from engine.cards import score_rows
from engine.cases import Case, grammar_cases, read_cases
from engine.catalogue import ModelCard
from engine.decisions import ask, head_effects, largest_effects
from engine.errors import InputError
from engine.evidence import Rate, Resolution, best_resolvers, cases_csv, rates, read_heads, resolve_cases, resolvers_csv
from engine.interventions import Head, Means
from engine.types import Kind
from engine.verdict import signed
from pages import _lab, _lab_heads, _shared
from pages._lab import VIEW
from pages._shown import NAMES
from viz.components.matrix import Matrix, matrix, matrix_data

Source = Literal["a-test", "b", "file"]
SOURCES = {
    "a-test": "Nouns never seen together",
    "b": "Adjectives never seen",
    "file": "Your own sentences",
}
COUNTS = (50, 100, 200, 500, 1200)
CHOSEN_ON = 100  # sentences of the validation half, on which heads are chosen
RANDOM_SETS = 10
BY: Means = "mean"
CRITERIA = {"matter": "that matter most, one by one", "look": "that look most at the right noun"}
FRENCH = (
    "The sentences are English, and what is asked is whether the output says il or elle: cross heads, the model's own "
    "answer and what is lost with heads off can be measured of models that write French."
)
EXAMPLE = (
    "sentence,pronoun,candidate A,candidate B,answer,french\n"
    "The dog didn't cross the river because it was too tired.,it,dog,river,A,il\n"
    "The dog didn't cross the river because it was too wide.,it,dog,river,B,elle\n"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was measured, and on which sentences.

    Attributes:
        name: of the set, for titles.
        identity: of the model's weights.
        found: of heads and model.
        problems: rows of a file that could not be used.
    """

    name: str
    identity: str
    found: Resolution
    problems: tuple[str, ...]


def draw(card: ModelCard, theme: viz.Theme) -> None:
    """What the card says, the choice of sentences, and what was measured of them."""
    measured = score_rows(card) if card.path is None else []
    if rows := [line for name, line in measured if name == "coreference"]:
        with st.expander("Measured once for these weights, on the whole test half"):
            st.markdown("\n".join(f"- {line}" for line in rows))
    _choose(card)
    if card.path is not None:
        st.caption(FRENCH)
    asked: Asked | None = st.session_state.get("lab many")
    if asked is None or asked.identity != card.identity:
        return
    _show(asked, theme)
    _switch_off(card, asked, theme)


def _choose(card: ModelCard) -> None:
    """Which sentences, how many of them, and the button."""
    state = st.session_state
    state.setdefault("lab source", "a-test")
    state.setdefault("lab count", 100)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Sentences",
            list(SOURCES),
            key="lab source",
            format_func=SOURCES.__getitem__,
            required=True,
            persist_state="session",
            help="Held-out sentences of the pronoun grammar that our model was trained with, or a CSV file of yours.",
        )
        if state["lab source"] != "file":
            st.select_slider("How many", COUNTS, key="lab count", width=260, persist_state="session")
    content = b""
    if state["lab source"] == "file":
        uploaded = st.file_uploader("CSV: sentence, pronoun, candidate A, candidate B, answer, french", type="csv")
        st.download_button("A file to begin with", EXAMPLE, "pronouns.csv", "text/csv", on_click="ignore")
        content = uploaded.getvalue() if uploaded else b""
    if st.button("Measure", type="primary", disabled=state["lab source"] == "file" and not content):
        state["lab many"], state["lab ablation"] = (
            _measure(card, state["lab source"], state["lab count"], content),
            None,
        )


def _measure(card: ModelCard, source: Source, count: int, content: bytes) -> Asked | None:
    """The sentences through the model, with a progress bar."""
    problems: tuple[str, ...] = ()
    try:
        cases, problems = read_cases(content) if source == "file" else (grammar_cases(source, count), ())
    except InputError as reason:
        st.error(_shared.literal(str(reason)))
        return None
    if not cases:
        st.error("None of the file's rows can be used.")
        _list("Rows that cannot be used", problems)
        return None
    found = _shared.computed_slowly(
        card, "Reading the sentences", len(cases), lambda runner, report: resolve_cases(runner, cases, report)
    )
    return Asked(f"{len(cases):,} × {SOURCES[source].lower()}", card.identity, found, problems)


def _show(asked: Asked, theme: viz.Theme) -> None:
    """How often the model and each head are right."""
    found = asked.found
    st.subheader(asked.name, anchor=False)
    if found.accuracy.total and not any(found.said):
        st.info("None of the model's outputs has il or elle: only where its encoder's heads look can be said.")
    elif found.accuracy.total:
        st.markdown(f"The model's own **il** or **elle** is right in **{_said(found.accuracy)}**.")
    else:
        st.info("Nobody knows the right French pronoun of these sentences: give it in the column “french”.")
    kinds: tuple[Kind, ...] = tuple(kind for kind in found.hits.right)
    shares = {kind: rates(found.hits, kind) for kind in kinds}
    matrices = [
        Matrix(
            id=kind,
            name=NAMES["map"][kind],
            values=np.array([[one.share for one in row] for row in shares[kind]]),
            notes=tuple(tuple(f"{_said(one)}" for one in row) for row in shares[kind]),
            empty="No sentence could be read here.",
        )
        for kind in kinds
    ]
    head = VIEW.current().head
    data = matrix_data(
        matrices,
        quantity="Share of sentences in which the head looks most at the right noun",
        diverging=False,
        limit=1.0,
        chosen=head if head is not None and _is_in(head, matrices) else None,
        theme=theme,
        scale=_lab.scale(),
        file_name="resolvers",
    )
    with st.container(key="matrix"):
        matrix(data, key="lab resolvers", on_change=_lab_heads.picked("lab resolvers"))
    with st.container(horizontal=True):
        st.download_button("Heads, CSV", lambda: resolvers_csv(found.hits), "heads.csv", "text/csv", on_click="ignore")
        st.download_button(
            "Sentences, CSV",
            lambda: cases_csv(found, best_resolvers(found.hits, 5)),
            "sentences.csv",
            "text/csv",
            help="What the model said of each, and whether the five best heads looked at the right noun.",
            on_click="ignore",
        )
    _list("Rows and sentences that could not be used, or not as a whole", (*asked.problems, *found.hits.problems))


def _is_in(head: Head, matrices: Sequence[Matrix]) -> bool:
    shapes = {one.id: one.values.shape for one in matrices}
    layers, heads = shapes.get(head.kind, (0, 0))
    return head.layer < layers and head.head < heads


def _said(found: Rate) -> str:
    """E.g. "97.5 % of 200 (95 % interval 94.3 to 98.9 %)"."""
    if not found.total:
        return "none of 0 sentences"
    return f"{found.share:.1%} of {found.total:,} (95 % interval {found.low:.1%} to {found.high:.1%})"


def _list(title: str, problems: Sequence[str]) -> None:
    if problems:
        with st.expander(f"{title}: {len(problems)}"):
            st.markdown("\n".join(f"- {_shared.literal(problem)}" for problem in problems[:200]))


# ---- heads off ----


def _switch_off(card: ModelCard, asked: Asked, theme: viz.Theme) -> None:
    """The best few heads off, beside equally many random ones."""
    state = st.session_state
    state.setdefault("lab few", 4)
    state.setdefault("lab criterion", "matter")
    st.subheader("Does the answer depend on them?", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Heads", list(CRITERIA), key="lab criterion", format_func=CRITERIA.__getitem__, required=True
        )
        st.select_slider("How many are off", (1, 2, 4, 8), key="lab few", width=200)
        pressed = st.button("Switch them off", type="primary")
    st.caption(
        f"Heads are chosen on {CHOSEN_ON} other sentences, of the validation half; in place of each stands its mean "
        f"output. {RANDOM_SETS} random sets of as many heads of the same kinds show what any such loss does."
    )
    if pressed:
        state["lab ablation"] = _ablated(card, asked.found.cases, state["lab criterion"], state["lab few"])
    done: Ablation | None = state.get("lab ablation")
    if done is not None:
        _show_ablation(done, theme)


def _ablated(card: ModelCard, cases: Sequence[Case], criterion: str, count: int) -> Ablation | None:
    """Choose, switch off, compare; None, with the reason on the page, where nothing can be asked."""
    try:
        heads = _chosen(card, criterion, count)
        questions = _shared.computed_slowly(
            card, "Asking for il or elle", len(cases), lambda runner, report: ask(runner, cases, report)
        )
        total = len(questions.asked) * (1 + RANDOM_SETS)
        return _shared.computed_slowly(
            card,
            "Switching heads off",
            total,
            lambda runner, report: ablation(runner, questions, heads, BY, RANDOM_SETS, 0, report),
        )
    except InputError as reason:
        st.error(_shared.literal(str(reason)))
        return None


def _chosen(card: ModelCard, criterion: str, count: int) -> tuple[Head, ...]:
    """The best heads on the validation half; kept, since they are the same for every set."""
    known = st.session_state.setdefault("lab chosen", {})
    key = (card.identity, criterion)
    if key not in known:
        cases = grammar_cases("a-valid", CHOSEN_ON)
        if criterion == "look":
            hits = _shared.computed_slowly(
                card, "Choosing heads", len(cases), lambda runner, report: read_heads(runner, cases, report)
            )
            known[key] = best_resolvers(hits, 8)
        else:
            effects = _shared.computed_slowly(
                card,
                "Choosing heads",
                2 * len(cases),
                lambda runner, report: head_effects(runner, ask(runner, cases, report), report, BY),
            )
            known[key] = largest_effects(effects, 8)
    heads: tuple[Head, ...] = known[key][:count]
    return heads


def _show_ablation(done: Ablation, theme: viz.Theme) -> None:
    mean, low, high = done.random_shares
    rows = [
        ("all heads on", f"{done.on.right.share:.1%}", _interval(done.on.right), signed(done.on.log_odds)),
        ("these heads off", f"{done.off.right.share:.1%}", _interval(done.off.right), signed(done.off.log_odds)),
        (
            f"{len(done.random)} random sets off",
            f"{mean:.1%}",
            f"{low:.1%} to {high:.1%}",
            signed(done.random_log_odds),
        ),
    ]
    st.html(
        viz.small_table(
            ("", "il or elle right", "interval or range", "mean log-odds of the right word"),
            rows,
            caption="Off: " + "; ".join(head.name for head in done.off.heads),
            theme=theme,
        )
    )
    points = [signed(100 * share, 1) for share in (done.drop, done.low, done.high)]
    sure = "does not hold 0" if done.low > 0 or done.high < 0 else "holds 0"
    st.markdown(
        f"The drop is **{points[0]} points**; its 95 % interval, {points[1]} to {points[2]}, {sure}. "
        f"{done.on.right.total:,} sentences, after the beginning of their translation"
        + (f", {done.left_out} left out." if done.left_out else ".")
    )


def _interval(found: Rate) -> str:
    return f"{found.low:.1%} to {found.high:.1%}"
