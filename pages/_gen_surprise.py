"""Surprise: how many bits each token of a text costs each of the models."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.errors import InputTooLong, SaccadeError
from engine.generator import Generator
from engine.types import Surprise
from pages import _gen_controls, _shared
from pages._cards import file_name
from pages._gen import VIEW, compared, scale
from pages._gen_examples import SURPRISE
from pages._gen_save import File, csv_of
from pages._gen_text import note, texts_of
from viz.components.shaded import shaded, shaded_data

LONGEST = 5_000  # characters on the page
STEPS = 100  # of the progress bar
BITS = {True: 8.0, False: 14.0}  # of the darkest shade: of a character, of a word or a piece


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    view, state = VIEW.current(), st.session_state
    text = SURPRISE if view.text is None else view.text
    if state.get("gen text asked") != text or "gen text box" not in state:
        state["gen text box"] = state["gen text asked"] = text
    with st.form("gen surprise", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_area(
            "Any text", key="gen text box", height=100, placeholder="Paste any text; the models that ship read English"
        )
        st.form_submit_button("Read", type="primary", on_click=_ask)
    if len(text) > LONGEST:
        raise InputTooLong(f"This text has {len(text):,} characters and {LONGEST:,} can be shown. Shorten it.")
    _gen_controls.pick_opened()
    found: dict[str, Surprise] = {}
    place = st.container()
    for card in compared():
        st.markdown(f"**{_shared.literal(card.short)}**", help=_shared.literal(card.summary))
        try:
            found[card.short] = one = surprise(card, text)
        except SaccadeError as reason:
            st.warning(_shared.literal(str(reason)))
            continue
        _shade(card, one, theme)
        note(one.notes)
    with place:
        _table(found)
    return [
        File(
            "Surprise, CSV",
            "surprise.csv",
            lambda: csv_of(
                ("model", "index", "token", "bits"),
                (
                    (name, place, label, float(f"{bits:.9g}"))
                    for name, one in found.items()
                    for place, (label, bits) in enumerate(zip(one.tokens.labels, one.bits.tolist(), strict=True))
                ),
            ),
            "One line for each model and token.",
        )
    ]


def _ask() -> None:
    VIEW.change(text=st.session_state["gen text box"])


def surprise(card: ModelCard, text: str) -> Surprise:
    """The surprise of a text, from memory or under a progress bar."""

    def compute(generator: Generator, report: Callable[[int], None]) -> Surprise:
        return generator.surprise(text, _shared.in_steps(report, STEPS))

    return _shared.computed_slowly(card, f"Read by {card.short}, per cent", STEPS, compute, ("gen surprise", text))


def _shade(card: ModelCard, one: Surprise, theme: viz.Theme) -> None:
    data = shaded_data(
        one.tokens.labels,
        texts_of(one.tokens),
        one.bits,
        titles=[f"{label}: {bits:.1f} bits" for label, bits in zip(one.tokens.labels, one.bits.tolist(), strict=True)],
        limits=(0.0, BITS["states" in card.supports]),
        legend="surprise, bits for each token",
        name=f"Surprise, {card.short}",
        theme=theme,
        scale=scale(),
        start_id=VIEW.epoch(),
        file_name=f"surprise-{file_name(card.name)}",
    )
    with st.container(key=f"surprise {card.name}"):
        shaded(data, key=f"gen surprise {card.name}")


def _table(found: dict[str, Surprise]) -> None:
    """The models' figures; only bits per character can be compared."""
    if not found:
        return
    first = next(iter(found.values()))
    rows = {
        "model": list(found),
        "bits per character": [f"{one.bits_per_character:.2f}" for one in found.values()],
        "tokens": [f"{len(one.tokens):,}" for one in found.values()],
        "perplexity, of a token": [f"{one.perplexity:,.1f}" for one in found.values()],
    }
    with st.container(key="numbers"):
        st.table(rows)
    st.caption(
        rf"Surprise is $-\log_2 p$ of a token given those before it; {first.characters:,} characters. Perplexity is 2 "
        "to its mean: the models have different tokens, so only bits per character can be compared. A uniform choice "
        "among 27 characters would cost 4.75; Shannon (1951) put printed English between 0.6 and 1.3."
    )
