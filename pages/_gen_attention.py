"""Attention: one causal map over prompt and output, in every view, and gradients."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.connectivity_blocks import Mode
from engine.generation_trace import saliency_of
from engine.generator import Generator
from engine.saliency import Saliency
from engine.types import Trace
from pages import _gen_controls, _gen_sample, _gen_save, _host, _shared, _views
from pages._gen import VIEW, GenView, Ids, go_to, options_of, prompt_of, take
from pages._gen_text import note, running_text
from pages._permalink import View

MAPS = {"decoder": "Text → text before"}
WRITES = 20  # tokens
HELP = (
    "A row is the step that read its token and predicted the next one: point at it to see both. A token sees only "
    "itself and those before it. Rows of the output are the steps that made it; the last token has no row, since "
    "nothing was predicted after it yet."
)


def trace_of(generator: Generator, prompt: str, taken: Ids) -> Trace:
    """One pass over prompt and output."""
    return generator.trace(prompt, taken)


def gradients(card: ModelCard, trace: Trace, mode: Mode) -> Saliency:
    """The gradients of a trace, from memory or under a progress bar."""
    total = len(trace.predicted)

    def compute(generator: Generator, report: Callable[[int], None]) -> Saliency:
        return saliency_of(generator, trace, mode, _shared.in_steps(report, total))

    key = ("gen saliency", trace.request, mode)
    return _shared.computed_slowly(card, "Gradients of each token", total, compute, key)


def draw(theme: viz.Theme) -> None:
    """The section, its address and its menu included."""
    card, view = _gen_controls.pick_model(), VIEW.current()
    generator = _shared.generator(card)
    running_text(card, prompt_of(view), view.taken, theme, "gen traced")
    _buttons(card, view, ended=bool(view.taken) and view.taken[-1] == generator.end)
    if not prompt_of(view).strip() and not view.taken:
        st.info("There is nothing to look at yet. Type a prompt, or let the model write.")
        VIEW.remember(model=card.identity)
        return
    trace: Trace = _shared.computed_arrays(card, trace_of, prompt_of(view), view.taken)
    note(trace.notes)

    def below(shown: View) -> None:
        if not shown.presenter:
            st.caption(HELP)

    host = _host.host_of(
        VIEW,
        _gen_save.menu,
        MAPS,
        special=f"Special tokens ({_shared.literal(generator.tokenizer.label_of(generator.front))})",
        gradients=gradients,
        sides=("decoder",),
        playback=True,
        model=card.identity,
    )
    _views.explore(card, trace, theme, below, host)


def _buttons(card: ModelCard, view: GenView, *, ended: bool) -> None:
    with st.container(horizontal=True):
        if st.button(f"Let it write {WRITES} tokens", icon=":material/edit_note:", disabled=ended):
            options = options_of(view)
            drawn = _gen_sample.sampled(card, prompt_of(view), view.taken, options)
            take(*(one.token for one in drawn[:WRITES]))
            st.rerun()
        st.button("The prompt alone", on_click=go_to, args=((),), disabled=not view.taken)
