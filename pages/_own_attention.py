"""Every attention map of a text in any model that reads one, in every view; gradients where the model writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

import viz
from engine.catalogue import Capability, ModelCard
from engine.connectivity_blocks import Mode
from engine.generation_trace import saliency_of
from engine.generator import Generator
from engine.reading import trace_of
from engine.saliency import SIDES, Saliency
from engine.types import Trace
from pages import _gradient, _own_save, _shared, _views
from pages._host import Host, host_of
from pages._own import VIEW, pick_model
from pages._own_text import box
from pages._permalink import View
from pages._shown import NAMES

ONE_TEXT: Mapping[str, str] = {"encoder": "Text → text", "decoder": "Text → text before"}
"""What the maps of a model with one text are called."""


def draw(theme: viz.Theme) -> None:
    """The section."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_model()
    text, second = box(card)
    trace: Trace = _shared.computed_arrays(card, trace_of, text, second)
    if "cross" in trace.maps:
        _shared.plain_text(trace.translation, size="1.4rem")
    for note in trace.notes:
        st.info(_shared.literal(note))
    _views.explore(card, trace, theme, partial(below, card, trace), host_of_model(card, trace))


def host_of_model(card: ModelCard, trace: Trace) -> Host:
    """What the views are given for a model: names of its maps, and gradients of what it writes."""
    two = "cross" in trace.maps
    gradients, sides = (_gradient.made, SIDES) if two else (of_text, ("decoder",))
    writes: Capability = "translate" if two else "generate"
    able = writes in card.supports
    return host_of(
        VIEW,
        _own_save.menu,
        NAMES["map"] if two else {kind: ONE_TEXT[kind] for kind in trace.maps},
        special="Special tokens",
        gradients=gradients if able else None,
        sides=sides if able else (),
        playback=able,
        model=card.identity,
    )


def of_text(card: ModelCard, trace: Trace, mode: Mode) -> Saliency:
    """The gradients of a text in a model that continues texts, from memory or under a progress bar."""
    total = len(trace.predicted)

    def compute(generator: Generator, report: Callable[[int], None]) -> Saliency:
        return saliency_of(generator, trace, mode, _shared.in_steps(report, total))

    key = ("own saliency", trace.request, mode)
    return _shared.computed_slowly(card, "Gradients of each token", total, compute, key)


def below(card: ModelCard, trace: Trace, view: View) -> None:
    """What was done, in one line, and what stands behind the names of heads that share their keys."""
    if view.presenter:
        return
    if any("key head" in name for one in trace.maps.values() for name in one.head_names):
        st.caption(
            "Several query heads share the keys and values of one key head (grouped-query attention): the name of a "
            "head says which. Their weights differ all the same, since each has queries of its own."
        )
    maps = ", ".join(f"{kind} {one.layers}×{one.heads}" for kind, one in trace.maps.items())
    st.caption(
        f"{len(trace.source)} tokens · layers × heads: {maps} · {trace.milliseconds:.0f} ms on {trace.device} · "
        f"{_shared.literal(card.identity)}"
    )
