"""Beam search: the tree of a search that really ran, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

import viz
from engine.cards import beam_preset
from engine.catalogue import ModelCard
from engine.decoding.options import MOST_BEAMS, MOST_SAMPLES, BeamOptions
from engine.decoding.tree import SearchRequest, search
from engine.errors import InputError
from engine.text import normalise
from engine.types import BeamTree
from pages import _beam_node, _beam_save, _beam_table, _shared
from pages._cards import made_with, no_longer
from pages._lab import PRESENTER
from pages._languages import languages_of
from pages._search import LONGEST, MOST_CANDIDATES, VIEW, SearchView, requests_of
from viz.components.beam import BeamView, beam, beam_data

LARGE = "html { font-size: 125%; }"
METHODS = {"beam": "Beam search", "samples": "Samples"}
FORMULAS = {
    "length": r"$\text{score} = \sum_t \log p(y_t) \,/\, \text{len}^{\alpha}$",
    "gnmt": r"$\text{score} = \sum_t \log p(y_t) \,/\, \left(\frac{5 + \text{len}}{6}\right)^{\alpha}$",
}
STOPS = {
    "likely": "no better one is likely",
    "full": "k are finished",
    "never": "no better one is possible",
}
STOP_HELP = (
    "When the search ends. **No better one is likely**: the best live prefix, divided by the penalty of its length "
    "now, is below the k-th finished one (`early_stopping=False`). **k are finished** (`True`). **No better one is "
    'possible**: the same with the penalty of the longest output, for α > 0 (`"never"`).'
)
TEXT = "When the old man opened the small box, he found a letter from his sister."
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, and into the tree |
| ← → | in the tree: to the parent, to the best child |
| ↑ ↓ | to the rank above, the rank below |
| Home, End | first step, last step |
| Enter | choose the node |
| Space | play, pause |
| + − | larger, smaller |
"""


def complete(view: SearchView, addressed: bool) -> tuple[SearchView, list[str]]:
    """A view with a sentence, and what is to be said of it."""
    if view.text:
        return view, []
    said = ["The address holds no sentence: what you see is the first example."] if addressed else []
    return replace(view, text=TEXT), said


def ask() -> None:
    """Search for what is in the box."""
    text = st.session_state["beam box"]
    if text != VIEW.current().text:
        VIEW.change(text=text, forced=(), tree=0, node=-1, step=-1)
        VIEW.touch()
    else:
        VIEW.change()


def again() -> None:
    """Other options: another search, of which nothing is chosen yet."""
    VIEW.change(node=-1, tree=0, step=-1)
    VIEW.touch()


def open_example(view: SearchView) -> None:
    """Show an example."""
    VIEW.open(replace(view, presenter=VIEW.current().presenter))
    VIEW.change()


def tools(card: ModelCard) -> None:
    """The box, examples, keys, presenter."""
    view, state, languages = VIEW.current(), st.session_state, languages_of(card)
    if state.get("beam asked") != view.text or "beam box" not in state:
        state["beam box"] = state["beam asked"] = view.text
    with st.form("search", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            languages.source,
            key="beam box",
            label_visibility="collapsed",
            placeholder=f"Type {languages.sentence}",
        )
        st.form_submit_button("Search", type="primary", on_click=ask)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not view.presenter:
            with st.popover("Examples", icon=":material/lightbulb:"):
                _examples(card)
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def _examples(card: ModelCard) -> None:
    fresh = SearchView()
    found = beam_preset(card)
    if found is not None:
        st.button(
            "Where greedy goes astray",
            help=f"Greedy says “{found.greedy}”. At step {found.left} the beam also keeps another prefix.",
            on_click=open_example,
            args=(replace(fresh, text=found.english, beams=found.beams, alpha=found.alpha),),
            width="stretch",
        )
    for title, view in {
        "The lecture's beam, k = 2": replace(fresh, text="He hit me with a pie.", beams=2, shrinking=True),
        "Wide: k = 10": replace(fresh, text=TEXT, beams=10),
        "Samples": replace(fresh, text=TEXT, method="samples", temperature=0.8),
    }.items():
        st.button(title, on_click=open_example, args=(view,), width="stretch")


def show_hint(card: ModelCard, view: SearchView) -> None:
    """What to see in the example that the command found."""
    found = beam_preset(card)
    if found is None:
        return
    options = BeamOptions(found.beams, alpha=found.alpha)
    if requests_of(card, view) != [SearchRequest(card.identity, normalise(found.english), options)]:
        return
    st.markdown(
        f"Greedy search takes the most probable token at every step and ends with “{_shared.literal(found.greedy)}” "
        f"The beam keeps {found.beams} prefixes: at step {found.left} one that was less probable so far lives on, and "
        f"its whole sentence is better: “{_shared.literal(found.beam)}”"
    )


def controls(view: SearchView) -> None:
    """How to search."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        _choose("Method", "method", METHODS)
        if view.method == "beam":
            _slide("k", "beams", range(1, MOST_BEAMS + 1), 190)
            _choose("Penalty", "penalty", _beam_table.PENALTIES)
            _slide("α", "alpha", [step / 10 for step in range(0, 21)], 190)
        else:
            _slide("How many", "samples", range(1, MOST_SAMPLES + 1), 190)
            _slide("Temperature", "temperature", [step / 10 for step in range(1, 21)], 190)
        with st.popover("More", icon=":material/tune:"):
            if view.method == "beam":
                _more_of_beam()
            else:
                _slide("Only the most probable tokens (top-k; 0 for all)", "top_k", (0, 1, 2, 5, 10, 20, 50, 100), 330)
                _slide("Only those that together have (top-p)", "top_p", [step / 20 for step in range(1, 21)], 330)
                st.number_input("Seed", 0, 99_999, **_asking("seed"))
            _slide("Longest output, tokens", "length", (8, 16, 32, 48, 64, 96, LONGEST), 330)
    if view.method == "beam":
        st.caption(f"{FORMULAS[view.penalty]}, len with `</s>`.")


def _more_of_beam() -> None:
    st.selectbox("Stop when", list(STOPS), format_func=STOPS.__getitem__, help=STOP_HELP, **_asking("stop"))
    _slide("No n-gram of this length twice (0: allowed)", "repeat", range(5), 330)
    _slide("Candidates recorded at each step (0: those looked at)", "candidates", (0, 10, 20, 30, MOST_CANDIDATES), 330)
    st.toggle(
        "Shrinking beam",
        help="As in the lecture: a finished hypothesis leaves its place empty, and the search goes on with fewer.",
        **_asking("shrinking"),
    )


def _asking(field: str) -> dict[str, Any]:
    """A widget of an option: changing it searches anew."""
    state = st.session_state
    key = VIEW.key(field)
    state[key] = getattr(VIEW.current(), field)

    def changed() -> None:
        VIEW.change(**{field: state[key]})
        again()

    return {"key": key, "on_change": changed}


def _choose(label: str, field: str, names: Mapping[Any, str]) -> None:
    st.segmented_control(label, list(names), format_func=names.__getitem__, required=True, **_asking(field))


def _slide(label: str, field: str, values: Sequence[float], width: int) -> None:
    options = sorted({*values, getattr(VIEW.current(), field)})  # an address may hold one between them
    st.select_slider(label, options, width=width, **_asking(field))


def searched(card: ModelCard, request: SearchRequest) -> BeamTree:
    """The tree of a request; asked again, it comes from memory."""
    return _shared.computed_slowly(
        card,
        "Searching",
        request.options.max_length,
        lambda runner, report: search(runner, request, lambda step: report(1)),
        key=request,
    )


def searches(card: ModelCard, view: SearchView) -> tuple[list[SearchRequest], list[BeamTree]]:
    """The search and the forced ones, with their trees; a beginning that cannot be forced leaves the view."""
    requests = requests_of(card, view)
    trees = {requests[0]: searched(card, requests[0])}
    for request in requests[1:]:
        try:
            trees[request] = searched(card, request)
        except InputError as reason:
            st.error(_shared.literal(f"A forced beginning was left out. {reason}"))
    found = list(trees)
    if found != requests:
        VIEW.change(forced=tuple(request.prefix for request in found[1:]), tree=0, node=-1)
    return found, list(trees.values())


@st.fragment
def explore(card: ModelCard, requests: Sequence[SearchRequest], trees: Sequence[BeamTree], theme: viz.Theme) -> None:
    """The tree, the chosen node, the table; only this part runs again while a reader explores."""
    with _shared.errors_as_sentences():
        view = VIEW.current()
        if VIEW.arriving() or requests_of(card, view) != list(requests):  # another search: the whole page changes
            st.rerun()
        data = _tree(card, trees, view, theme)
        view = VIEW.current()
        if not view.presenter:
            st.caption(_stopped(trees))
        if view.node >= 0 and view.tree < len(trees):
            _beam_node.draw(card, trees[view.tree], requests[view.tree], view, theme)
        else:
            st.info("Choose a node of the tree: its probabilities, and where it looks, are shown here.")
        _beam_table.draw(trees[0], requests[0])
        VIEW.remember(model=card.identity)
        if not view.presenter:
            _beam_save.menu(requests, trees, data, theme)


def _tree(card: ModelCard, trees: Sequence[BeamTree], view: SearchView, theme: viz.Theme) -> bytes:
    chosen = (view.tree, view.node) if view.tree < len(trees) and 0 <= view.node < len(trees[view.tree].nodes) else None
    if view.node >= 0 and chosen is None:
        st.warning(f"Node {view.node + 1} of tree {view.tree + 1} in the address is not there; none is chosen.")
        VIEW.change(tree=0, node=-1)
    start = BeamView(step=view.step, phase=view.phase, node=chosen, pruned=view.pruned)
    tokenizer = _shared.runner(card).tokenizer
    data = beam_data(
        trees,
        start,
        theme=theme,
        scale=PRESENTER if view.presenter else 1.0,
        start_id=VIEW.epoch(),
        pieces={node.token: tokenizer.text_of(node.token) for tree in trees for node in tree.nodes},
    )

    def changed() -> None:
        sent = st.session_state["beam tree figure"].view
        if sent:
            made = BeamView.of(sent)
            tree, node = made.node or (0, -1)
            VIEW.change(step=made.step, phase=made.phase, pruned=made.pruned, tree=tree, node=node)

    with st.container(key="tree"):
        beam(data, key="beam tree figure", on_change=changed)
    return data


def _stopped(trees: Sequence[BeamTree]) -> str:
    first = trees[0]
    noun, what = ("draw", "tokens drawn") if VIEW.current().method == "samples" else ("search", "candidates recorded")
    text = f"{len(first.nodes):,} {what}. The {noun} stopped: {_shared.literal(first.stopped)}."
    if first.left:
        text += f" The greedy output leaves the best one at step {first.left}."
    elif first.greedy:
        text += " The greedy output is the best one."
    return text


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        card = _shared.pick_model("search")
        problems = VIEW.arrive(complete)
        before = VIEW.meet(card.identity, forced=(), tree=0, node=-1, step=-1)  # its trees are others
        view = VIEW.current()
        problems += filter(None, [no_longer(before), made_with(view.model, card)])
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Beam search", anchor=False)
        tools(card)
        for problem in problems:
            st.warning(_shared.literal(problem))
        if not view.presenter:
            controls(view)
        show_hint(card, view)
        theme = _shared.theme()
        explore(card, *searches(card, view), theme)


page()
