"""Sections of the Alignment page about one model: the decoder's steps, the encoder's states, where a thread is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

import viz
from engine.analysis import merge_logprobs
from engine.catalogue import ModelCard
from engine.errors import InputError
from engine.saliency import hide_special, merge_words
from engine.types import DecoderSteps, EncoderStates, Trace
from engine.unrolled import decoder_steps, encoder_states
from pages import _shared
from pages._align import PRESENTER, VIEW, all_cards, best_card, is_given, name_of, pick_network
from pages._gradient import made as gradients_made
from viz.components.steps import steps, steps_data

Traces = Mapping[str, Trace]
DIRECTIONS = {"overview": "Overview", "forwards": "Forwards →", "backwards": "← Backwards"}
SUMMARIES = {"change": "How much each word changes the state", "end": "How like the final state it is"}
OVERVIEW = {
    "change": "How far the state moved when the network read the word: forwards on the left, backwards on the right.",
    "end": (
        "How like the state after a word is to the state when all is read (cosine). The state has moved on since what "
        "was read first, and the model without attention has nothing but the final one."
    ),
}
READING = {
    "forwards": "At each word the network has read the sentence up to it. Units: by the word that moves them most.",
    "backwards": "The network reads from the end: at each word it has read the sentence from there on.",
}
NO_STATES = "Only recurrent models have states. Choose one of them above."


def steps_of_one(cards: Sequence[ModelCard], found: Traces, theme: viz.Theme) -> None:
    """The decoder of one model, step by step."""
    able = [card for card in cards if "states" in card.supports]
    if not able:
        st.info("A Transformer has no recurrent steps. Choose a recurrent model above.")
        return
    card = pick_network(able)
    made = steps_made(card, found[card.name])

    view = VIEW.current()
    data = steps_data(
        made,
        theme=theme,
        scale=PRESENTER if view.presenter else 1.0,
        numbers=view.numbers,
        step=view.step,
        file_name=f"steps-{card.name}",
    )
    with st.container(key="steps"):
        gone = steps(data, key="align steps")
    if gone is not None and gone != view.step:
        VIEW.change(step=gone)


def steps_made(card: ModelCard, trace: Trace) -> DecoderSteps:
    """The steps of a trace; asked again, they come from memory."""
    return _shared.computed_slowly(
        card, "Steps", 1, lambda runner, report: decoder_steps(runner, trace), key=("steps", trace.request)
    )


def states(cards: Sequence[ModelCard], found: Traces, theme: viz.Theme) -> None:
    """What both directions of the encoder hold at each word."""
    able = [card for card in cards if "states" in card.supports]
    if not able:
        st.info(NO_STATES)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_network(able)
        trace = found[card.name]
        made: EncoderStates = _shared.computed_slowly(
            card,
            "States",
            1,
            lambda runner, report: encoder_states(runner, trace.source),
            key=("encoder states", trace.source.text),
        )
        st.segmented_control(
            "Direction", list(DIRECTIONS), format_func=DIRECTIONS.__getitem__, required=True, **VIEW.widget("direction")
        )
        view = VIEW.current()
        layers = len(made.forwards)
        if view.direction != "overview":
            key = VIEW.key("depth")
            st.session_state[key] = min(view.depth, layers - 1)
            st.segmented_control(
                "Layer",
                list(range(layers)),
                format_func=lambda layer: str(layer + 1),
                required=True,
                key=key,
                on_change=lambda: VIEW.change(depth=st.session_state[key]),
            )
        else:
            st.segmented_control(
                "Draw", list(SUMMARIES), format_func=SUMMARIES.__getitem__, required=True, **VIEW.widget("summary")
            )
    view = VIEW.current()
    if view.direction == "overview":
        overview = viz.encoder_overview(made, summary=view.summary, theme=theme)
        with st.container(key="encoder"):  # panels that cannot be squeezed scroll
            st.altair_chart(overview, theme=None, width="content", alt=viz.overview_text(made, view.summary))
        st.caption(OVERVIEW[view.summary])
        return
    depth = min(view.depth, layers - 1)
    values = (made.forwards if view.direction == "forwards" else made.backwards)[depth]
    title = f"{card.short}: encoder layer {depth + 1}"
    figure = viz.encoder_state_heatmap(values, made.source, title, direction=view.direction, theme=theme)
    with st.container(key="heatmap"):
        st.plotly_chart(figure, theme=None, width="content", key="align states", config={"displaylogo": False})
    st.caption(READING[view.direction])


def thread(cards: Sequence[ModelCard], found: Traces, theme: viz.Theme) -> None:
    """The probability of each word of one and the same output by all models, and what each word rests on."""
    best = best_card(cards)
    target = found[best.name].translation
    if not target:
        st.info("The output is empty: there is no thread to lose. Try another sentence above.")
        return
    given = is_given(VIEW.current())
    whose = "one that was given" if given else f"the output of {name_of(best)}, which expects it by itself"
    st.markdown(
        f"All models are made to say the same sentence: {whose}. A model that has lost the thread no longer expects "
        "the next word: its line falls. Try a long sentence of your own above; **One output for all** lets you force a "
        "translation that is right."
    )
    try:
        common = {card.name: _shared.trace(card, found[card.name].source.text, target) for card in cards}
    except InputError as reason:
        st.info(_shared.literal(f"This output cannot be forced on all models. {reason}"))
        return
    merged = {name: merge_logprobs(trace.token_logprobs, trace.predicted) for name, trace in common.items()}
    words = merged[cards[0].name][0]
    lines = {name_of(card): merged[card.name][1] for card in cards}
    chart = viz.expected_words(words, lines, names=[name_of(card) for card in all_cards()], theme=theme)
    with st.container(key="thread"):  # one that is wider than the screen scrolls: squeezed, its words would overlap
        st.altair_chart(
            chart, theme=None, width="content", alt="The probability that each model gives each word of one output"
        )
    card = pick_network(cards, "What each word rests on, in")
    made = gradients_made(card, common[card.name], "one-hot")
    gradient = hide_special(merge_words(made.maps["cross"]), rescale=True)
    figure = viz.heatmap(gradient.drawn, 0, 0, theme=theme, scale=PRESENTER if VIEW.current().presenter else 1.0)
    with st.container(key="heatmap"):
        st.plotly_chart(figure, theme=None, width="content", key="align gradient", config={"displaylogo": False})
    st.caption(
        "‖∂ logit of the word said / ∂ one-hot source word‖ through the whole model (Madsen 2019): each row is divided "
        "by its own largest, so rows cannot be compared with each other. Without attention, rows blur: every word "
        "rests on the same summary."
    )
