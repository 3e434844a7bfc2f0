"""Texts of the Generate page as rows and running text: what may come next, and how probable each token was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.decoding.options import SampleOptions
from engine.generator import Generator
from engine.prose_tokens import NOTHING
from engine.surprise import logprobs_along
from engine.types import BeamTree, NextToken, Tokens
from pages import _shared
from pages._gen import VIEW, GenView, Ids, options_of, prompt_of, scale
from viz.components.choices import choices, choices_data, percentage
from viz.components.shaded import picked_in, shaded, shaded_data

GROUPS = ("prompt", "output")
CHOICES = 12


@dataclass(frozen=True, slots=True)
class Along:
    """A text and how probable each of its tokens was.

    Attributes:
        tokens: T of them, without what is read in front of the text.
        probabilities: float64 (T,), in [0, 1].
        begun: how many of them are the prompt's.
    """

    tokens: Tokens
    probabilities: np.ndarray
    begun: int


def read_along(generator: Generator, prompt: str, taken: Ids) -> Along:
    """The probability of each token of a prompt and of what was taken after it, given those before it."""
    tokens = generator.tokens_of(prompt, taken)
    found = logprobs_along(generator, tokens.ids)
    return Along(tokens, np.exp(found), len(tokens) - len(taken) - 1)


def next_of(generator: Generator, prompt: str, taken: Ids, options: SampleOptions) -> NextToken:
    """What may come next."""
    return generator.next_token(prompt, taken, options, CHOICES)


def following(card: ModelCard, view: GenView, prompt: str | None = None) -> NextToken:
    """What may come next in a view, or after another prompt."""
    options = options_of(view)
    if prompt is not None:
        return _shared.computed(card, next_of, prompt, (), options)
    return _shared.computed(card, next_of, prompt_of(view), view.taken, options)


def texts_of(tokens: Tokens) -> list[str]:
    """What each token adds to the text: its characters and the spaces before them; nothing of a special one."""
    found, before = [], 0
    for (_, end), special in zip(tokens.spans, tokens.special, strict=True):
        found.append("" if special else tokens.text[before:end])
        before = before if special else end
    return found


def pieces_of(generator: Generator, tree: BeamTree) -> dict[int, str]:
    """What each token of a tree adds to a text; without those that are a part of a character."""
    texts = {node.token: generator.tokenizer.text_of(node.token) for node in tree.nodes}
    return {token: text for token, text in texts.items() if NOTHING not in text}


def running_text(
    card: ModelCard, prompt: str, taken: Ids, theme: viz.Theme, key: str, picked: Callable[[int], None] | None = None
) -> Along:
    """A prompt and what came after it as running text, each token shaded by its probability.

    Args:
        card: of the model that reads it.
        prompt: as it was typed.
        taken: ids after it.
        theme: of the page.
        key: of the component.
        picked: called when a token was clicked, with the number of output tokens up to it, below 0 within the prompt;
            None: nothing happens.
    """
    along: Along = _shared.computed(card, read_along, prompt, taken)
    tokens = along.tokens
    if len(tokens) < 2:
        st.caption("Nothing has been said yet: the model begins a text.")
        return along
    texts = texts_of(tokens)[1:]
    probable = [percentage(min(float(value), 1.0)) for value in along.probabilities]
    titles = [f"{label}: {value}" for label, value in zip(tokens.labels[1:], probable, strict=True)]
    data = shaded_data(
        tokens.labels[1:],
        texts,
        along.probabilities,
        titles=titles,
        limits=(0.0, 1.0),
        legend="probability",
        mode="look" if picked is None else "pick",
        groups=[int(place >= along.begun) for place in range(len(texts))] if taken else [],
        group_names=GROUPS if taken else (),
        name="The text so far",
        theme=theme,
        scale=scale(),
        start_id=VIEW.epoch(),
        file_name="text",
    )

    def changed() -> None:
        place = picked_in(key, texts, start_id=VIEW.epoch())
        if place is not None and picked is not None:
            picked(place + 1 - along.begun)

    with st.container(key=f"place of {key}"):
        shaded(data, key=key, on_change=changed)
    return along


def rows(
    found: NextToken,
    theme: viz.Theme,
    key: str,
    *,
    place: str,
    name: str = "Possible next tokens",
    on_change: Callable[[], None] = lambda: None,
) -> None:
    """What may come next, before and after temperature, top-k and top-p."""
    data = choices_data(
        [replace(one, text="") if NOTHING in one.text else one for one in found.choices],  # its label shows the bytes
        total=summary(found),
        places=CHOICES,
        name=name,
        theme=theme,
        scale=scale(),
        start_id=place,
        file_name="next-token",
    )
    with st.container(key=f"place of {key}"):
        choices(data, key=key, on_change=on_change)


def summary(found: NextToken) -> str:
    """How many tokens there are, how many can be drawn, how uncertain the model is."""
    drawn = "all can be drawn" if found.kept == found.of else f"{found.kept:,} can be drawn"
    return f"{len(found.choices)} of {found.of:,} tokens; {drawn}; entropy {found.entropy:.2f} bits"


def paragraphs(text: str) -> None:
    """A text as it is, each of its paragraphs on a line of its own."""
    with st.container(gap=None):
        for one in filter(str.strip, text.split("\n")):
            _shared.plain_text(one, size=f"{1.1 * scale():g}rem")


def habit(generator: Generator) -> None:
    """What stands before every text, where the model's tokenizer does not put it there by itself."""
    if generator.habit and not VIEW.current().presenter:
        st.caption(_shared.literal(generator.habit))


def note(said: str | Sequence[str]) -> None:
    """What is to be said of a text."""
    for one in (said,) if isinstance(said, str) else said:
        if one:
            st.info(_shared.literal(one))
