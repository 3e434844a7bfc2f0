"""One node of the tree, closely: what was said, what may follow, where each step looked, and forcing it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import viz
from engine.analysis import merge_words
from engine.catalogue import ModelCard
from engine.decoding.tree import Look, SearchRequest, look_at, prefix_of, token_of
from engine.errors import InputError
from engine.types import AttentionMap, BeamNode, BeamTree
from pages import _shared
from pages._lab import PRESENTER
from pages._languages import languages_of
from pages._search import MOST_FORCED, VIEW, SearchView
from viz.components.lines import LinesView, lines, lines_data


def draw(card: ModelCard, tree: BeamTree, request: SearchRequest, view: SearchView, theme: viz.Theme) -> None:
    """The chosen node's prefix, its distribution and its attention, with what can be forced."""
    node = tree.nodes[view.node]
    found: Look = _shared.computed_slowly(
        card, "Looking", 1, lambda runner, report: look_at(runner, tree, view.node), key=(request, view.node)
    )
    scale = PRESENTER if view.presenter else 1.0
    with st.container(border=True, key="node"):
        size = "1.4rem" if view.presenter else "1.15rem"
        _shared.plain_text(found.text, size=size, lang=languages_of(card).written)
        st.caption(_said(node))
        left, right = st.columns([2, 3], gap="large")
        with left:
            if found.following:
                chart = viz.distribution(found.following, theme, title="What may follow", scale=scale)
                _shared.draw_chart(chart, "following", "Bars: the ten most probable next tokens")
                if found.asked:
                    st.caption("The search did not go on from here: the model was asked anew.")
            else:
                st.markdown("Nothing follows: the output has ended.")
            if not view.presenter:
                _force(card, tree, view, found.text)
        with right:
            if found.attention is None:
                st.markdown("This model has no attention: every step read the same summary of the source.")
            else:
                _looks(found.attention, view, theme, scale)


def _looks(attention: AttentionMap, view: SearchView, theme: viz.Theme, scale: float) -> None:
    """Where the steps to the node looked."""
    attention = merge_words(attention)
    shown = LinesView(
        layer=attention.layers - 1,
        heads=tuple(range(attention.heads)),
        query=(len(attention.query_tokens) - 1,),
    )
    data = lines_data(
        attention,
        shown,
        theme=theme,
        scale=scale,
        controls="heads",
        start_id=f"{VIEW.epoch()} {view.tree} {view.node}",
        file_name="beam-attention",
    )
    st.markdown("Where each step on the way looked in the source, as the search recorded it")
    with st.container(key="node-lines"):
        lines(data, key="beam node lines")


def _said(node: BeamNode) -> str:
    reason = f" ({node.reason})" if node.reason and node.reason != node.state else ""
    logprob, score = (f"{value:.3f}".replace("-", "−") for value in (node.logprob, node.score))
    return _shared.literal(
        f"Step {node.step}, rank {node.rank + 1}, {node.state}{reason}: log-probability {logprob}, sum {score}"
    )


def _force(card: ModelCard, tree: BeamTree, view: SearchView, text: str) -> None:
    """Search on from this node, from a token after it, or from a beginning of one's own; and back."""
    runner = _shared.runner(card)
    prefix = tuple(tree.nodes[index].token for index in tree.path(view.node))
    ended = prefix[-1] == runner.vocabulary.end
    with st.container(horizontal=True):
        st.button(
            "Force this beginning",
            icon=":material/push_pin:",
            on_click=force,
            args=(prefix,),
            disabled=ended or prefix in view.forced or len(view.forced) >= MOST_FORCED,
            help="Search on from here; the new tree is drawn below.",
        )
        st.button("Undo", on_click=undo, disabled=not view.forced, help="Take the last forced tree away.")
    with st.form("force token", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input("Then a token of your own", placeholder="one of those above, or another", disabled=ended)
        if st.form_submit_button("Force it", disabled=ended):
            _try(lambda: (*prefix, token_of(runner, typed, prefix)))
    with st.form("force beginning", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.text_input("Or a whole beginning", value=text if not ended else "")
        if st.form_submit_button("Force it"):
            _try(lambda: prefix_of(runner, typed))


def _try(make: Callable[[], tuple[int, ...]]) -> None:
    """Force what was typed, or say why it cannot be."""
    try:
        force(make())
    except InputError as reason:
        st.error(_shared.literal(str(reason)))
        return
    st.rerun()


def force(prefix: tuple[int, ...]) -> None:
    """One more search, from a beginning; drawn beside the others, with its last forced node chosen."""
    view = VIEW.current()
    if prefix not in view.forced and len(view.forced) >= MOST_FORCED:
        raise InputError(f"{MOST_FORCED} forced trees are drawn already. Undo one first.")
    forced = view.forced if prefix in view.forced else (*view.forced, prefix)
    VIEW.change(forced=forced, tree=1 + forced.index(prefix), node=len(prefix) - 1, step=-1)
    VIEW.touch()


def undo() -> None:
    """Without the last forced tree."""
    VIEW.change(forced=VIEW.current().forced[:-1], tree=0, node=-1)
    VIEW.touch()
