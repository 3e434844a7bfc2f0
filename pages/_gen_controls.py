"""The controls of the Generate page: the model, and how tokens are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from engine.catalogue import ModelCard
from pages._cards import shipped_of
from pages._gen import (
    LONGEST,
    MOST_COMPARED,
    MOST_SAMPLES,
    VIEW,
    all_cards,
    card_of,
    cards_for,
    compared,
    shown_name,
    switch,
)

TEMPERATURES = [step / 10 for step in range(1, 21)]
TOP_K = (0, 1, 2, 5, 10, 20, 50, 100)
TOP_P = [step / 20 for step in range(1, 21)]
LENGTHS = (10, 20, 40, 60, 100, 150, 200, LONGEST)
HELP = (
    "**Temperature** divides the logits: below 1 the probable becomes more probable, above 1 everything becomes more "
    "alike. **Top-k** leaves only the k most probable tokens, **top-p** the fewest that together have the probability "
    "p (Holtzman et al. 2020). The outlined bar is the model's own probability, the filled one what is drawn from."
)


def pick_model() -> ModelCard:
    """Which model continues the prompt, among those that can do what the section shows."""
    view = VIEW.current()
    cards = {card.identity: card for card in cards_for(view.section)}
    chosen = card_of(view)
    if len(cards) == 1:
        return chosen
    _menu("Model", cards, chosen, "model")
    return chosen


def pick_opened() -> None:
    """Which of several opened models stands beside those that ship."""
    among = all_cards()
    opened = {card.identity: card for card in among if card not in shipped_of(among)}
    if len(opened) > 1:
        _menu("Your model", opened, next(card for card in compared() if card.identity in opened), "opened")


def _menu(label: str, cards: Mapping[str, ModelCard], chosen: ModelCard, name: str) -> None:
    """A row of models, or a list where they are many."""
    key = VIEW.key(name)
    st.session_state[key] = chosen.identity

    def called(identity: str) -> str:
        return shown_name(cards[identity])

    def changed() -> None:
        switch(cards[st.session_state[key]])

    if len(cards) > MOST_COMPARED:
        st.selectbox(label, list(cards), format_func=lambda one: cards[one].short, key=key, on_change=changed)
    else:
        st.segmented_control(label, list(cards), format_func=called, required=True, key=key, on_change=changed)


def sampling(*, length: bool = False, several: bool = False) -> None:
    """How tokens are drawn: temperature beside the rest in a menu.

    Args:
        length: whether the length of a sample is asked for.
        several: whether the number of samples is.
    """
    if several:
        slide("How many", "samples", range(1, MOST_SAMPLES + 1), 170)
    slide("Temperature", "temperature", TEMPERATURES, 190, help=HELP)
    with st.popover("More", icon=":material/tune:"):
        slide("Only the most probable tokens (top-k; 0 for all)", "top_k", TOP_K, 330)
        slide("Only those that together have (top-p)", "top_p", TOP_P, 330)
        st.number_input("Seed", 0, 99_999, **anew("seed"))
        if length:
            slide("Length, tokens", "length", LENGTHS, 330)


def anew(field: str, then: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """A widget of an option: with another value the samples are others, of which nothing is kept or discarded yet."""
    state, key = st.session_state, VIEW.key(field)
    state[key] = getattr(VIEW.current(), field)

    def changed() -> None:
        VIEW.change(**{field: state[key], "kept": (), "gone": ()})
        then()

    return {"key": key, "on_change": changed}


def slide(label: str, field: str, values: Sequence[float], width: int, help: str | None = None) -> None:
    """A slider of an option; an address may hold a value between those it offers."""
    options = sorted({*values, getattr(VIEW.current(), field)})
    st.select_slider(label, options, width=width, help=help, **anew(field))


def another() -> None:
    """Draw with the next seed."""
    view = VIEW.current()
    VIEW.change(seed=(view.seed + 1) % 100_000, kept=(), gone=())
