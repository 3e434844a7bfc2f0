"""The finished hypotheses of a search as a table, ranked under any penalty at once."""

from __future__ import annotations

from dataclasses import replace

import pandas  # type: ignore[import-untyped]
import streamlit as st

from engine.decoding.options import BeamOptions, Penalty
from engine.decoding.tree import SearchRequest, rescored
from engine.types import BeamTree, Hypothesis
from pages import _shared
from pages._search import VIEW

PENALTIES: dict[Penalty, str] = {"length": "length", "gnmt": "GNMT"}


def draw(tree: BeamTree, request: SearchRequest) -> None:
    """The finished hypotheses, re-ranked at once when the penalty moves."""
    st.subheader("Finished hypotheses" if isinstance(request.options, BeamOptions) else "Samples", anchor=False)
    _news(tree)
    shown: tuple[Hypothesis, ...] = tree.hypotheses
    options = request.options
    if isinstance(options, BeamOptions):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            penalty = _rank_with(options)
        other = replace(options, penalty=penalty[0], alpha=penalty[1])
        if other != options:
            shown = rescored(tree, other)
            st.info(
                "The same hypotheses in a new order: nothing was searched. A search run under this penalty may stop "
                "elsewhere and find others."
            )
            st.button("Search with this penalty", type="primary", on_click=_search_with, args=(tree, *penalty))
        options = other
    places = {one.node: one.rank for one in tree.hypotheses}
    rows = [
        {
            "rank": one.rank + 1 if one.rank >= 0 else None,
            "was": places[one.node] + 1 if places[one.node] >= 0 else None,
            "output": one.text,
            "length": one.length,
            "sum": one.score,
            "divided by": options.divisor(one.length) if isinstance(options, BeamOptions) else 1.0,
            "final": one.final,
        }
        for one in shown
    ]
    needless = set()
    if shown == tree.hypotheses:
        needless.add("was")
    if not isinstance(options, BeamOptions):
        needless.update(("divided by", "final"))  # a sample's score is its sum
    rows = [{name: value for name, value in row.items() if name not in needless} for row in rows]

    def chosen() -> None:
        picked = st.session_state["beam table"].selection.rows
        if picked:
            VIEW.change(tree=0, node=shown[picked[0]].node, step=-1)
            VIEW.touch()

    if not rows:
        st.info("No hypothesis was finished.")
        return
    st.dataframe(
        pandas.DataFrame(rows),
        hide_index=True,
        key="beam table",
        on_select=chosen,
        selection_mode="single-row",
        column_config={
            "rank": st.column_config.NumberColumn(
                "rank", width=70, help="None: better ones pushed it out of the k best."
            ),
            "was": st.column_config.NumberColumn("was", width=70),
            "output": st.column_config.TextColumn("output", width=640),
            "length": st.column_config.NumberColumn("length", width=70, help="In tokens, </s> with them."),
            **{
                name: st.column_config.NumberColumn(name, format="%.3f", width=85)
                for name in ("sum", "divided by", "final")
            },
        },
    )


def _rank_with(options: BeamOptions) -> tuple[Penalty, float]:
    """The penalty that the table ranks by."""
    view, state = VIEW.current(), st.session_state
    state["beam again"] = view.again or options.penalty
    state["beam other"] = options.alpha if view.other is None else view.other

    def moved() -> None:
        VIEW.change(again=state["beam again"], other=state["beam other"])

    st.segmented_control(
        "Rank them with",
        list(PENALTIES),
        key="beam again",
        format_func=PENALTIES.__getitem__,
        required=True,
        on_change=moved,
    )
    values = sorted({*(step / 10 for step in range(-10, 31)), state["beam other"]})
    st.select_slider("and α =", values, key="beam other", on_change=moved, width=300)
    return state["beam again"], state["beam other"]


def _search_with(tree: BeamTree, penalty: Penalty, alpha: float) -> None:
    """Run the search under the penalty that was only tried; what it changed is said once."""
    st.session_state["beam before"] = (tree.stopped, [one.text for one in tree.hypotheses if one.rank >= 0])
    VIEW.change(penalty=penalty, alpha=alpha, again=None, other=None, tree=0, node=-1, step=-1)
    VIEW.touch()


def _news(tree: BeamTree) -> None:
    """What a search under another penalty changed."""
    before = st.session_state.pop("beam before", None)
    if before is None:
        return
    stopped, texts = before
    now = [one.text for one in tree.hypotheses if one.rank >= 0]
    new, gone = [text for text in now if text not in texts], [text for text in texts if text not in now]
    parts = [f"{verb}: {'; '.join(texts)}" for verb, texts in (("it found", new), ("it lost", gone)) if texts]
    said = ". ".join(parts) or "it found the same hypotheses"
    st.success(_shared.literal(f"Searched under this penalty: {said}. It stopped: {tree.stopped} (before: {stopped})."))
