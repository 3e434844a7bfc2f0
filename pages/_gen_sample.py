"""Samples: one, as it is drawn token by token, or several to choose from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import streamlit as st

import viz
from engine.branches import path_ids
from engine.catalogue import ModelCard
from engine.decoding.options import SampleOptions
from engine.generator import Generator
from engine.types import BeamTree, Drawn, Hypothesis
from pages import _gen_controls, _shared
from pages._cards import file_name
from pages._gen import VIEW, GenView, Ids, into_prompt, options_of, prompt_of, scale, take
from pages._gen_save import File, csv_of
from pages._gen_text import habit, note, paragraphs, pieces_of, running_text
from viz.components.beam import BeamView, beam, beam_data

MOMENT = 0.1  # seconds between two drawings of a text that grows


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = _gen_controls.pick_model()
        if not VIEW.current().presenter:
            _gen_controls.sampling(length=True, several=True)
        st.button("Draw again", icon=":material/casino:", on_click=_gen_controls.another, help="With the next seed.")
    view, generator = VIEW.current(), _shared.generator(card)
    note(generator.prompt(prompt_of(view)).notes)
    habit(generator)
    if view.taken and view.taken[-1] == generator.end:
        st.info(
            f"The text has ended with {_shared.literal(generator.end_label)}: nothing follows. Go back under “Token by "
            "token”, or type a prompt."
        )
        return []
    return _one(card, view, theme) if view.samples <= 1 else _several(card, view, theme)


# ---- one sample ----


def sampled(
    card: ModelCard,
    prompt: str,
    taken: Ids,
    options: SampleOptions,
    stop: Callable[[], None] | None = None,
    show: Callable[[Sequence[Drawn]], None] = lambda drawn: None,
) -> tuple[Drawn, ...]:
    """A sample, from memory or drawn now.

    Args:
        card: of the model.
        prompt: as it was typed.
        taken: ids after it.
        options: how to draw.
        stop: see `_shared.computed_slowly`.
        show: called with what there is, now and then.
    """

    def compute(generator: Generator, report: Callable[[int], None]) -> tuple[Drawn, ...]:
        drawn: list[Drawn] = []
        shown = time.monotonic()
        for one in generator.stream(prompt, taken, options):
            drawn.append(one)
            if time.monotonic() - shown > MOMENT:
                shown = time.monotonic()
                show(drawn)
            report(1)
        return tuple(drawn)

    key = _key(prompt, taken, options)
    return _shared.computed_slowly(card, f"{card.short}: tokens", options.max_length, compute, key, stop)


def _key(prompt: str, taken: Ids, options: SampleOptions) -> tuple[str, str, Ids, SampleOptions]:
    return "gen sample", prompt, taken, options


def _one(card: ModelCard, view: GenView, theme: viz.Theme) -> list[File]:
    """One sample, streamed; stopped, it is what was drawn so far."""
    prompt, options, state = prompt_of(view), options_of(view), st.session_state
    asked = (card.identity, _key(prompt, view.taken, options))
    known = _shared.is_kept(card, asked[1])
    if state.get("gen stopped") == asked and not known:
        drawn: Sequence[Drawn] = state.get("gen partly", ())
        with st.container(horizontal=True, vertical_alignment="center"):
            st.info(f"Stopped after {len(drawn)} tokens.")
            st.button("Go on", on_click=_go_on)
    else:
        place = st.empty()
        before = _shared.generator(card).text_of(prompt, view.taken)

        def show(so_far: Sequence[Drawn]) -> None:
            state["gen partly"] = tuple(so_far)
            with place:
                paragraphs(before + "".join(one.text for one in so_far))

        state["gen partly"] = ()
        drawn = sampled(card, prompt, view.taken, options, lambda: _stop(asked), show)
        place.empty()
    note(list(dict.fromkeys(one.note for one in drawn)))
    ids = tuple(one.token for one in drawn)
    along = running_text(card, prompt, (*view.taken, *ids), theme, "gen sampled")
    generator = _shared.generator(card)
    _use(ids, generator.typed(generator.text_of(prompt, (*view.taken, *ids))), "one")
    rows = list(zip(along.tokens.labels[1:], along.probabilities.tolist(), strict=True))
    return [
        File(
            "Sample, CSV",
            f"{file_name(card.name)}-sample.csv",
            lambda: csv_of(
                ("index", "token", "probability", "part"),
                ((n, *row, "output" if n >= along.begun else "prompt") for n, row in enumerate(rows)),
            ),
            "One line for each token of prompt and sample, with its probability by the model itself.",
        )
    ]


def _stop(asked: object) -> None:
    st.session_state["gen stopped"] = asked
    VIEW.change()


def _go_on() -> None:
    st.session_state.pop("gen stopped", None)
    VIEW.change()


def _use(ids: Ids, text: str, key: str) -> None:
    """What can be done with a sample."""
    with st.container(horizontal=True):
        st.button("Into the prompt", icon=":material/north_west:", key=f"gen prompt {key}", on_click=into_prompt,
                  args=(text,), help="The text becomes the prompt: change it, or go on from it.")  # fmt: skip
        st.button("Token by token", icon=":material/account_tree:", key=f"gen walk {key}", on_click=_walk, args=(ids,),
                  help="Look at it token by token, and take others.")  # fmt: skip


def _walk(ids: Ids) -> None:
    take(*ids)
    VIEW.change(section="next")


# ---- several ----


def _several(card: ModelCard, view: GenView, theme: viz.Theme) -> list[File]:
    """Several samples as cards, those that are kept first, and as a tree."""
    tree = _drawn_tree(card, view)
    ranked = dict(enumerate(tree.hypotheses))
    gone = [rank for rank in view.gone if rank in ranked]
    order = [rank for rank in view.kept if rank in ranked] + [
        rank for rank in ranked if rank not in (*view.kept, *gone)
    ]
    st.caption(
        f"{tree.title}. Most probable first. Published samples are often the best of several tries: keep those you "
        "like, discard the others."
    )
    for rank in order:
        _card(card, view, tree, rank, ranked[rank])
    if gone:
        st.button(f"{len(gone)} discarded: show again", on_click=VIEW.change, kwargs={"gone": ()})
    with st.expander("As a tree: samples that begin alike share its nodes"):
        _tree(card, tree, theme)
    marks = {rank: "kept" if rank in view.kept else "discarded" if rank in gone else "" for rank in ranked}
    return [
        File(
            "Samples, CSV",
            f"{file_name(card.name)}-samples.csv",
            lambda: csv_of(
                ("rank", "log-probability", "tokens", "mark", "prompt", "text"),
                (
                    (rank + 1, one.score, one.length, marks[rank], prompt_of(view), one.text)
                    for rank, one in ranked.items()
                ),
            ),
            "One line for each sample, with what you kept and discarded.",
        )
    ]


def _drawn_tree(card: ModelCard, view: GenView) -> BeamTree:
    prompt, options = prompt_of(view), options_of(view, view.samples)

    def compute(generator: Generator, report: Callable[[int], None]) -> BeamTree:
        return generator.continuations(prompt, view.taken, options, lambda step: report(1))

    key = ("gen samples", prompt, view.taken, options)
    return _shared.computed_slowly(card, "Tokens drawn for each sample", options.max_length, compute, key)


def _card(card: ModelCard, view: GenView, tree: BeamTree, rank: int, one: Hypothesis) -> None:
    """A sample and what can be done with it."""
    kept = rank in view.kept
    ids = path_ids(tree, one.node)
    with st.container(border=True, key=f"gen sample {rank}"):
        paragraphs(("★ " if kept else "") + one.text.strip())
        score = f"{one.score:.1f}".replace("-", "−")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{one.length} tokens, log-probability {score}")
            st.button("Let go" if kept else "Keep", icon=":material/star:", key=f"gen keep {rank}",
                      on_click=_mark, args=("kept", rank))  # fmt: skip
            st.button("Discard", icon=":material/delete:", key=f"gen drop {rank}", on_click=_mark, args=("gone", rank),
                      disabled=kept)  # fmt: skip
            generator = _shared.generator(card)
            text = generator.text_of(prompt_of(view), (*view.taken, *ids))
            _use(ids, generator.typed(text), str(rank))


def _mark(field: str, rank: int) -> None:
    """Keep or discard a sample, or take that back."""
    marked: Ids = getattr(VIEW.current(), field)
    VIEW.change(**{field: tuple(r for r in marked if r != rank) if rank in marked else (*marked, rank)})


def _tree(card: ModelCard, tree: BeamTree, theme: viz.Theme) -> None:
    data = beam_data(
        [tree],
        BeamView(),
        theme=theme,
        scale=scale(),
        start_id=f"{VIEW.epoch()} {tree.title}",
        file_name="samples",
        pieces=pieces_of(_shared.generator(card), tree),
    )
    beam(data, key="gen samples tree")
