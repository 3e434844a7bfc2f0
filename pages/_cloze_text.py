"""The text of the Cloze page word by word: clicking a word masks it, clicking again shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

import viz
from engine.cloze_text import MASK, ClozeInput
from pages._cloze_view import VIEW, ClozeView, scale
from viz.components.shaded import SPECIAL, pressed_in, shaded, shaded_data

KEY = "cloze words"
PUT_IN = 2  # the group of words that were put in
GROUPS = ("first text (A)", "second text (B)", "put in")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the text, or [CLS] or [SEP], as it is drawn.

    Attributes:
        label: its name.
        text: what it adds to the running text.
        title: of its hover line; "" for its label.
        group: 0 and 1 for the two texts, `PUT_IN`, or `SPECIAL`.
        masked: whether it is drawn as a blank.
    """

    label: str
    text: str
    title: str
    group: int
    masked: bool


def words_of(given: ClozeInput) -> tuple[Word, ...]:
    """The words of a text by their indices in `Tokens.words`."""
    return tuple(_word(given, index) for index in range(len(given.words)))


def _word(given: ClozeInput, index: int) -> Word:
    places = [i for i, word in enumerate(given.tokens.words) if word == index]
    first, original = places[0], given.words[index]
    if given.tokens.special[first]:
        return Word(original, "", "", SPECIAL, masked=False)
    space = " " if given.leads[first] or given.tokens.special[first - 1] else ""
    put = {place for place, _ in given.taken} & set(places)
    blanks = [place for place in places if place in given.blanks]
    if put:
        now = given.tokens.text[given.tokens.spans[first][0] : given.tokens.spans[places[-1]][1]]
        was = "a blank" if original == MASK else f"“{original}”"
        return Word(now, space + now, f"{now}: put in for {was}", PUT_IN, masked=False)
    if original == MASK:
        return Word(MASK, space, "typed as a blank", SPECIAL, masked=False)
    count = f"{len(blanks)} masks for {len(blanks)} pieces" if len(blanks) > 1 else "one mask"
    return Word(
        original, space + original, f"{original}: {count}" if blanks else "", given.segments[first], bool(blanks)
    )


def show(given: ClozeInput, view: ClozeView, theme: viz.Theme) -> None:
    """The words, to be clicked."""
    words = words_of(given)
    texts = [word.text for word in words]
    shown = tuple(i for i, word in enumerate(words) if word.masked)

    def changed() -> None:
        pressed = pressed_in(KEY, texts, start_id=VIEW.epoch())
        if pressed is not None and pressed != shown:
            VIEW.change(**pressed_to(VIEW.current(), given, shown, pressed))

    grouped = bool(given.second) or any(word.group == PUT_IN for word in words)
    data = shaded_data(
        [word.label for word in words],
        texts,
        titles=[word.title for word in words],
        mode="toggle",
        pressed=shown,
        blank=MASK,
        groups=[word.group for word in words],
        group_names=GROUPS if grouped else GROUPS[:1],
        name="Text",
        theme=theme,
        scale=scale(),
        start_id=VIEW.epoch(),
        file_name="cloze-text",
    )
    with st.container(key="words"):
        shaded(data, key=KEY, on_change=changed)


def pressed_to(view: ClozeView, given: ClozeInput, before: Sequence[int], pressed: Sequence[int]) -> dict[str, Any]:
    """The fields of a view that pressing words changes.

    A word that was put in becomes a blank again; one that is shown again loses what was put in.

    Args:
        view: as it was.
        given: its text.
        before: words that were drawn as blanks.
        pressed: those that are now.
    """
    changed = set(pressed) ^ set(before)
    masked = {i for i in pressed if given.words[i] != MASK} | (set(view.masked) - changed)
    kept = tuple((place, token) for place, token in view.taken if given.tokens.words[place] not in changed)
    if view.whole:  # positions move with the number of masks
        kept = ()
    return {"masked": tuple(sorted(masked)), "taken": kept, "blank": 0}
