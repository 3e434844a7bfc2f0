"""Sections of the Memorization page about all networks: the matrix, distance, the memorization score, accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

import viz
from engine.card_completion import ARTICLE
from engine.cards import completion_scores, memory_figures
from engine.catalogue import ModelCard
from engine.memorization import MOST_KNOWN, hits, influence_by_distance, memorization_score, remembers_shorter
from engine.types import ConnectedText
from pages import _shared
from pages._memo import PRESENTER, VIEW, pick_network

SCALINGS = {"row": "Each row by its largest", "absolute": "Absolute"}
LONGEST_DISTANCE = 60  # characters in the chart

NO_ROWS = (
    "No word of this text is in the vocabulary, so there is no logit to follow. Choose another text, or a suggestion "
    "as the target."
)

Texts = Mapping[str, ConnectedText]


def matrix(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """Every row of one network's connectivity."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_network(cards)
        st.segmented_control(
            "Colours", list(SCALINGS), format_func=SCALINGS.__getitem__, required=True, **VIEW.widget("scaling")
        )
    view, text = VIEW.current(), texts[card.name]
    marked = view.position if 0 <= view.position < len(text) else None
    scale = PRESENTER if view.presenter else 1.0
    figure = viz.connectivity_heatmap(text, view.scaling, theme=theme, marked=marked, scale=scale)
    with st.container(key="heatmap"):
        st.plotly_chart(figure, theme=None, key="memo matrix", config={"displaylogo": False})
    if not text.connectivity.masked.any():
        return
    st.caption("Rows without a target are about words outside the vocabulary.")


def distance(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """How influence falls off with distance."""
    st.toggle("Logarithmic", help="A straight line is an exponential decay.", **VIEW.widget("log"))
    found = {texts[card.name].name: influence_by_distance(texts[card.name], LONGEST_DISTANCE) for card in cards}
    found = {name: profile for name, profile in found.items() if profile.rows}
    if not found:
        st.info(NO_ROWS)
        return
    averaged = _averaged(cards)
    _shared.draw_chart(
        viz.distance_chart(
            {name: profile.shares.tolist() for name, profile in found.items()},
            {name: figures["distance"] for name, figures in averaged.items()},
            theme=theme,
            longest=LONGEST_DISTANCE,
            log=VIEW.current().log,
        ),
        "distance",
        "Share of a suggestion's influence against the distance in characters, one line for each network",
    )
    rows = [
        (name, f"{profile.mean_lag:.1f}", _lag(averaged.get(name)))
        for name, profile in sorted(found.items(), key=lambda item: -item[1].mean_lag)
    ]
    _table(("network", "this text", "validation text"), rows, "Mean distance of influence, in characters", theme)
    _where_averages_come_from(cards)


def memory(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """How much of the influence lies outside the current word."""
    averaged = _averaged(cards)
    scores = {texts[card.name].name: memorization_score(texts[card.name]) for card in cards}
    scores = {name: score for name, score in scores.items() if any(one.rows for one in score)}
    if not scores:
        st.info(NO_ROWS)
        return
    by_known = {name: figures["memorization"] for name, figures in averaged.items()}
    _shared.draw_chart(
        viz.memorization_chart(
            {name: [(one.known, one.share, one.rows) for one in score] for name, score in scores.items()},
            {
                name: [
                    (known, share, *interval)
                    for known, (share, interval) in enumerate(
                        zip(figures["by_known"], figures["intervals"], strict=True)
                    )
                    if share is not None and interval is not None
                ]
                for name, figures in by_known.items()
            },
            theme=theme,
        ),
        "memory",
        "Share of the influence that lies outside the current word, by the number of its letters that are known",
    )
    st.caption(
        "The memorization score: how much of a suggestion's influence comes from before the current word (its space "
        "counts as the word's). A network that only spells stays near 0; one that remembers the sentence is high where "
        "few letters are known."
    )
    _article_claim(averaged)
    _where_averages_come_from(cards)


def _article_claim(averaged: Mapping[str, Mapping[str, Any]]) -> None:
    """The article's finding of its nested LSTM, and what is found here."""
    if not {"nested LSTM", "GRU"} <= averaged.keys():
        return
    found = remembers_shorter(averaged["nested LSTM"], averaged["GRU"])
    said = ("does not hold here", "holds here by one figure only", "holds here, too")[found.smaller]
    nested, gru = ("{:.2f} ({:.2f} to {:.2f})".format(*lag) for lag in found.lags)
    inside, beside = ("{:.1%} ({:.1%} to {:.1%})".format(*share) for share in found.outside)
    st.markdown(
        f"The article found that its nested LSTM remembers shorter than its GRU. That **{said}**: over validation text "
        f"the mean distance is {nested} characters against {gru}, and before the first letter of a word {inside} of "
        f"the influence lies outside it, against {beside}."
    )


def accuracy(cards: Sequence[ModelCard], texts: Texts, theme: viz.Theme) -> None:
    """How often the first suggestion is right."""
    found = {card.short: scores for card in cards if (scores := completion_scores(card)) is not None}
    if not found:
        st.info("The accuracy of these weights was not measured yet: run `saccade evaluate NAME --data DIR --save`.")
        return
    first = next(iter(found.values()))
    _shared.draw_chart(
        viz.accuracy_chart({name: scores.top1 for name, scores in found.items()}, first.table, ARTICLE, theme=theme),
        "accuracy",
        "Accuracy of the first suggestion by the number of known letters",
    )
    names = [str(known) for known in range(MOST_KNOWN + 1)]
    said = [texts[card.name] for card in cards]
    here = {text.name: (hits(text, 1), hits(text, 3)) for text in said}
    counts = ", ".join(f"{name} {first} ({three})" for name, ((first, _), (three, _)) in here.items())
    st.markdown(
        f"In this text the word being typed is the first suggestion (among the first three) at so many of "
        f"{hits(said[0], 1)[1]} characters: {counts}."
    )
    rows = [(name, *map(_percent, scores.top1)) for name, scores in found.items()]
    rows.append(("prefix table", *map(_percent, first.table)))
    _table(("known letters", *names), rows, "First suggestion right, on books not learned from", theme)
    st.caption(
        "The table suggests the most frequent word that begins with the letters typed. The article's networks had "
        "16,386 words of another text, so their figures are for reference only."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, theme: viz.Theme) -> None:
    """A table that scrolls where it is wider than the page."""
    with st.container(key="numbers"):
        st.html(viz.small_table(heads, rows, caption=caption, theme=theme))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _averaged(cards: Sequence[ModelCard]) -> dict[str, Mapping[str, Any]]:
    """What `saccade evaluate` measured over validation text, by network, in the view's mode or the nearest."""
    mode = "squared" if VIEW.current().mode == "squared" else "one-hot"
    found = {card.short: memory_figures(card) for card in cards}
    return {name: figures[mode] for name, figures in found.items() if figures is not None}


def _lag(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return "not measured"
    low, high = figures["mean_lag_interval"]
    return f"{figures['mean_lag']:.1f} ({low:.1f} to {high:.1f})"


def _where_averages_come_from(cards: Sequence[ModelCard]) -> None:
    """On what was measured; the sets of all networks are cut from the same text."""
    view, figures = VIEW.current(), next(filter(None, map(memory_figures, cards)), None)
    if figures is None:
        return
    mode = "squared" if view.mode == "squared" else "one-hot"
    note = " (there is none for the mode embedding)" if view.mode == "embedding" else ""
    st.caption(
        f"Averages over validation text: {figures['passages']} passages with {figures['characters']:,} characters of "
        f"books not learned from, {mode}{note}, the word being typed as the target; in brackets and as bands 95 % "
        "intervals over passages."
    )
