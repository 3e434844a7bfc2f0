"""The view of the Cloze page, its address, and the text as the model reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_text import ClozeInput
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters
from engine.noise import SHARE, NoiseKind
from pages import _cards, _shared
from pages._address import NUMBER, NUMBERS, SWITCH, TEXT, Codec, Form, Invalid, choice
from pages._address import SHARE as A_SHARE
from pages._cards import name_in
from pages._cloze_examples import Example, examples
from pages._permalink import LOOK, View, without_pins
from pages._search import COUNT
from pages._session import PageView

Section = Literal["fill", "follows", "pronoun", "noise", "heads"]
Filling = Literal["none", "at once", "one by one"]
Between = Literal["all", "AA", "AB", "BA", "BB"]
Taken = tuple[tuple[int, int], ...]
PRESENTER = 1.4  # of type and bars
CANDIDATES = 10  # of a blank
MOST_SEED = 9_999


@dataclass(frozen=True, slots=True)
class ClozeView:
    """Everything that the Cloze page shows.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        first, second: the text and what may follow it; "[MASK]" in them is a blank.
        masked: words that the reader has masked, counted from 0, [CLS] among them.
        taken: what was put in at blanks: position and id.
        section: what is open.
        whole: a masked word is one blank, however many pieces it has.
        blank: the blank whose candidates are shown, counted from 0.
        filling: whether all blanks are filled, and in which order.
        one, other: the sentences of the section "Which noun?", with a blank each; both are empty for our own.
        words: that are compared there, with commas or spaces between.
        noise: what is done to the text.
        share: of the words, for noises that change some of them.
        seed: of the noise.
        between: whose rows and columns of the maps are shown; A and B are the first and the second text.
        look: how the maps are looked at.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    first: str = ""
    second: str = ""
    masked: tuple[int, ...] = ()
    taken: Taken = ()
    section: Section = "fill"
    whole: bool = False
    blank: int = 0
    filling: Filling = "none"
    one: str = ""
    other: str = ""
    words: str = ""
    noise: NoiseKind = "mask"
    share: float = SHARE
    seed: int = 0
    between: Between = "all"
    look: View = field(default_factory=View)
    presenter: bool = False


def _pair(text: str) -> tuple[int, int]:
    parts = text.split(".")
    if len(parts) != 2:
        raise Invalid("give position and piece, such as 5.311")
    return NUMBER.read(parts[0]), NUMBER.read(parts[1])


_TAKEN = Form(
    lambda text: tuple(_pair(part) for part in text.split("_") if part),
    lambda taken: "_".join(f"{position + 1}.{token + 1}" for position, token in taken),
)

VIEW = PageView(
    Codec(
        page="cloze",
        fresh=ClozeView(),
        forms={
            "model": TEXT,
            "first": TEXT,
            "second": TEXT,
            "masked": NUMBERS,
            "taken": _TAKEN,
            "section": choice(Section),
            "whole": SWITCH,
            "blank": NUMBER,
            "filling": choice(Filling),
            "one": TEXT,
            "other": TEXT,
            "words": TEXT,
            "noise": choice(NoiseKind),
            "share": A_SHARE,
            "seed": COUNT,
            "between": choice(Between),
            "look": LOOK,
            "presenter": SWITCH,
        },
        of_text=("first", "second", "masked", "taken", "blank", "one", "other", "words"),
    )
)


def complete(view: ClozeView, addressed: bool) -> tuple[ClozeView, list[str]]:
    """A view with a text, a share and a seed that can be used, and what is to be said of it."""
    said = []
    if view.seed > MOST_SEED:
        said.append(f"“seed={view.seed}” in the address is not there: the highest is {MOST_SEED:,}.")
        view = replace(view, seed=MOST_SEED)
    if view.share == 0:
        said.append(f"“share=0” in the address leaves nothing to change: what you see is {SHARE:g}.")
        view = replace(view, share=SHARE)
    if view.first or view.second:
        return view, said
    if addressed and view.section != "pronoun":  # which has sentences of its own
        said.append("The address holds no text: what you see is the first example.")
    return replace(view, **of_text(_first_example(view.section))), said


def _first_example(section: Section) -> Example:
    """What a section begins with that has its text to itself."""
    kinds: Mapping[Section, str] = {"follows": "pairs", "heads": "pairs", "noise": "noises"}
    return examples(kinds.get(section, "sentences"))[0]


def of_pronoun(example: Example) -> dict[str, str]:
    """The fields of a view that an example of the section "Which noun?" fills."""
    return {"one": example.first, "other": example.second, "words": ", ".join(example.words)}


def of_text(example: Example) -> dict[str, Any]:
    """The fields of a view that another text changes: what was masked in the one before means nothing here."""
    return {
        "first": example.first,
        "second": example.second,
        "masked": example.masked,
        "taken": (),
        "blank": 0,
        "look": without_pins(VIEW.current().look),
    }


def open_text(example: Example) -> None:
    """Show a text, in the section that is open."""
    VIEW.change(**of_text(example))
    VIEW.touch()


def given(card: ModelCard, view: ClozeView) -> ClozeInput:
    """The text as the model reads it; masks of an address that do not fit it are given up, with a sentence.

    Raises:
        InputError: the text itself cannot be used.
    """
    try:
        return _shared.computed(card, _read, view.first, view.second, view.masked, view.taken, view.whole)
    except InputError as reason:  # which counts words from 0, as addresses do not
        if isinstance(reason, EmptyInput | InputTooLong | UnknownCharacters) or not (view.masked or view.taken):
            raise
        found = _shared.computed(card, _read, view.first, view.second, (), (), view.whole)
        st.warning("The address masks a word, or fills a blank, that this text does not have: its masks were left out.")
        VIEW.change(masked=(), taken=(), blank=0)
        VIEW.touch()
        return found


def _read(cloze: Cloze, first: str, second: str, masked: tuple[int, ...], taken: Taken, single: bool) -> ClozeInput:
    return cloze.read(first, second, masked, taken, single=single)


def tells_pairs(card: ModelCard) -> bool:
    """Whether a model tells if one text follows another."""
    return _shared.computed(card, _tells_pairs)


def _tells_pairs(cloze: Cloze) -> bool:
    return cloze.tells_pairs


def language(card: ModelCard) -> str:
    """The language of a model's texts; "" where nobody knows: of one that was opened here."""
    return "en" if card.path is None else ""


def ends(given: ClozeInput) -> str:
    """What the special tokens of a text are called, with commas between."""
    found = zip(given.tokens.labels, given.tokens.special, strict=True)
    return ", ".join(dict.fromkeys(label for label, special in found if special))


def meet(card: ModelCard) -> str:
    """Another model keeps the text and its masks, pieces that were put in are none of its (`PageView.meet`)."""
    look = without_pins(VIEW.current().look)
    return VIEW.meet(card.identity, taken=(), blank=0, filling="none", look=look)


def made_with(card: ModelCard, view: ClozeView) -> str:
    """What is to be said of a view that was made with other weights; "" where it was made with these.

    Ids that were put in are those of another vocabulary where the model itself is another.
    """
    if view.model and name_in(view.model) != card.name and view.taken:
        VIEW.change(taken=())
        VIEW.touch()
    return _cards.made_with(view.model, card)


def larger(theme: viz.Theme) -> viz.Theme:
    """The theme with the type size of texts that stand beside figures."""
    return replace(theme, font_size=round(theme.font_size * scale()))


def scale() -> float:
    """How much larger than on a desk figures are."""
    return PRESENTER if VIEW.current().presenter else 1.0
