"""Token by token: what may come next, taken by hand; going back, and the branches that this leaves."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import viz
from engine.branches import ROOT, node_at, path_ids
from engine.catalogue import ModelCard
from engine.decoding.options import SampleOptions
from engine.generator import Generator
from engine.types import BeamTree, Choice, NextToken
from pages import _gen_controls, _shared
from pages._cards import file_name
from pages._gen import VIEW, GenView, Ids, go_to, into_prompt, options_of, prompt_of, scale, take, text_so_far
from pages._gen_save import File, csv_of, json_of
from pages._gen_text import Along, following, habit, note, pieces_of, rows, running_text
from viz.components.beam import BeamView, beam, beam_data
from viz.components.choices import taken_in
from viz.components.standalone import standalone_html

TEXT, NEXT, TREE = "gen text", "gen choices", "gen tree"


def walk_of(generator: Generator, prompt: str, branches: tuple[Ids, ...]) -> BeamTree:
    """All walks as a tree, which no search ended."""
    return replace(generator.walk(prompt, branches), stopped="")


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = _gen_controls.pick_model()
        if not VIEW.current().presenter:
            _gen_controls.sampling()
    return by_hand(card, theme)


def by_hand(card: ModelCard, theme: viz.Theme) -> list[File]:
    """The text so far, what may come next, the tree; for one model."""
    view = VIEW.current()
    generator = _shared.generator(card)
    note(generator.prompt(prompt_of(view)).notes)
    left, right = st.columns([3, 2], gap="large")
    with left:
        along = running_text(card, prompt_of(view), view.taken, theme, TEXT, lambda count: _rewind(count))
    ended = bool(view.taken) and view.taken[-1] == generator.end
    found = None if ended else following(card, view)
    with left:
        _buttons(card, view, found)
        if not view.presenter:
            st.caption(
                "Click one of the next tokens to take it, one of the output above to go back to it. What was taken "
                "otherwise stays a branch of the tree."
            )
            habit(generator)
    with right:
        if found is None:
            st.markdown(f"Nothing follows: the text has ended with `{generator.end_label}`.")
        else:
            _next(card, view, found, theme)
    tree = _tree(card, view, theme)
    return _files(card, view, along, found, tree, theme)


def _rewind(count: int) -> None:
    """Back to the first output tokens; a token of the prompt is its end."""
    go_to(VIEW.current().taken[: max(0, count)])


def _next(card: ModelCard, view: GenView, found: NextToken, theme: viz.Theme) -> None:
    place = f"{card.identity} {view.prompt} {view.taken}"

    def changed() -> None:
        row = taken_in(NEXT, len(found.choices), start_id=place)
        if row is not None:
            take(found.choices[row].token)

    rows(found, theme, NEXT, place=place, on_change=changed)
    note(found.note)


def _drawn(generator: Generator, prompt: str, taken: Ids, options: SampleOptions) -> int:
    """The first token of a sample."""
    return next(generator.stream(prompt, taken, options)).token


def _buttons(card: ModelCard, view: GenView, found: NextToken | None) -> None:
    generator = _shared.generator(card)
    with st.container(horizontal=True):
        if st.button("Draw one", icon=":material/casino:", disabled=found is None, help="As the filled bars say."):
            options = replace(options_of(view), seed=view.seed + len(view.taken), max_length=1)
            take(_shared.computed(card, _drawn, prompt_of(view), view.taken, options))
            st.rerun()
        best: tuple[Choice, ...] = found.choices[:1] if found else ()
        st.button(
            "Most probable",
            icon=":material/trending_up:",
            on_click=take,
            args=tuple(one.token for one in best),
            disabled=not best,
        )
        st.button(
            "Back", icon=":material/undo:", on_click=go_to, args=(view.taken[:-1],), disabled=not view.taken,
            help="One token back; the tree keeps it.",
        )  # fmt: skip
        st.button("To the prompt", on_click=go_to, args=((),), disabled=not view.taken)
        st.button(
            "Make it the prompt",
            on_click=into_prompt,
            args=(text_so_far(generator, view),),
            disabled=not view.taken,
            help="Every model can go on from it then.",
        )


def _tree(card: ModelCard, view: GenView, theme: viz.Theme) -> BeamTree | None:
    """Every token that was taken, the way to the text so far chosen."""
    if not view.branches:
        return None
    tree: BeamTree = _shared.computed(card, walk_of, prompt_of(view), view.branches)
    with st.container(key="tree"):
        beam(_tree_data(card, view, tree, theme), key=TREE, on_change=lambda: _chosen(tree))
    return tree


def _chosen(tree: BeamTree) -> None:
    sent = st.session_state[TREE].view
    made = BeamView.of(sent) if sent else None
    if made and made.node and made.node[1] < len(tree.nodes):
        path = path_ids(tree, made.node[1])
        if path != VIEW.current().taken:
            go_to(path)


def _tree_data(card: ModelCard, view: GenView, tree: BeamTree, theme: viz.Theme) -> bytes:
    node = node_at(tree, view.taken)
    return beam_data(
        [tree],
        BeamView(node=None if node == ROOT else (0, node)),
        theme=theme,
        scale=scale(),
        start_id=f"{VIEW.epoch()} {view.taken}",
        controls="none",
        file_name="branches",
        pieces=pieces_of(_shared.generator(card), tree),
    )


def _files(
    card: ModelCard, view: GenView, along: Along, found: NextToken | None, tree: BeamTree | None, theme: viz.Theme
) -> list[File]:
    name = file_name(card.name)
    files = [
        File(
            "Tokens, CSV",
            f"{name}-text.csv",
            lambda: csv_of(
                ("index", "token", "probability", "part"),
                (
                    (place, label, float(f"{probability:.9g}"), "output" if place >= along.begun else "prompt")
                    for place, (label, probability) in enumerate(
                        zip(along.tokens.labels[1:], along.probabilities, strict=True)
                    )
                ),
            ),
            "One line for each token of the text so far, with its probability given those before it.",
        )
    ]
    if found is not None:
        files.append(
            File(
                "Next token, CSV",
                f"{name}-next.csv",
                lambda: csv_of(
                    ("id", "token", "text", "before", "after", "count"),
                    ((c.token, c.label, c.text, c.before, c.after, c.count) for c in found.choices),
                ),
                "The listed tokens with both probabilities.",
            )
        )
    if tree is not None:
        files += [
            File("Branches, JSON", f"{name}-branches.json", lambda: _tree_json(view, tree), "Every token taken."),
            File(
                "Branches, HTML",
                f"{name}-branches.html",
                lambda: standalone_html(
                    "beam", _tree_data(card, view, tree, theme), title=prompt_of(view) or "A text's beginning",
                    note=f"{card.title} · {card.identity} · made with Saccade", theme=theme,
                ),
                "The tree as one file that works in any browser, offline, without Saccade.",
            ),
        ]  # fmt: skip
    return files


def _tree_json(view: GenView, tree: BeamTree) -> str:
    nodes = [
        {"parent": node.parent, "step": node.step, "id": node.token, "token": node.label, "logprob": node.logprob}
        for node in tree.nodes
    ]
    return json_of({"model": view.model, "prompt": prompt_of(view), "nodes": nodes})
