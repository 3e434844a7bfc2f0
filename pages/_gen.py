"""The view of the Generate page, its address, and the models that continue its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import streamlit as st

from engine import catalogue
from engine.catalogue import Capability, ModelCard
from engine.decoding.options import SampleOptions
from engine.errors import InputError
from engine.generator import Generator
from pages import _shared
from pages._address import NUMBERS, POSITION, SWITCH, TEXT, Codec, Form, Invalid, choice
from pages._cards import made_with, name_in, no_longer, shipped_of
from pages._gen_examples import PROMPTS
from pages._permalink import LOOK, View, without_pins
from pages._search import COUNT, DECIMAL
from pages._session import PageView

Section = Literal["next", "sample", "compare", "trigram", "units", "surprise", "prompts", "attention"]
Ids = tuple[int, ...]
PRESENTER = 1.4  # of type and bars
MOST_SAMPLES = 10
MOST_COMPARED = 4  # models side by side
LONGEST = 300  # tokens of a sample
MOST_TAKEN = 1_000  # tokens in an address
MOST_BRANCHES = 40
MOST_WALKED = 5_000  # tokens of all branches
FULL = "gen full"
ANEW = "Change the prompt to begin with none."
NEEDS: Mapping[Section, frozenset[Capability]] = {
    "units": frozenset({"generate", "states"}),
    "attention": frozenset({"generate", "decoder"}),
}
"""What a section's model has to be able to do; nothing special where it is not named."""


@dataclass(frozen=True, slots=True)
class GenView:
    """Everything that the Generate page shows. None stands for the page's own example.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        prompt: as it was typed.
        section: what is open.
        taken: ids of what was taken after the prompt.
        branches: the ends of all walks, ids too, in the order in which they were begun.
        temperature, top_k, top_p, seed, length: of what is drawn (`SampleOptions`).
        samples: how many are drawn at once.
        kept, gone: samples that the reader keeps or has discarded, by rank from 0.
        pair: two words.
        words: of a random text by counts, the fewest.
        text: whose surprise is shown.
        zero, one, few: prompts without, with one and with several examples.
        answer: what they ask for.
        layer, part, unit: of the recurrent network; −1 and "" for the page's own choice.
        look: how the attention map is looked at.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    prompt: str | None = None
    section: Section = "next"
    taken: Ids = ()
    branches: tuple[Ids, ...] = ()
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    length: int = 60
    samples: int = 1
    kept: Ids = ()
    gone: Ids = ()
    pair: str | None = None
    words: int = 100
    text: str | None = None
    zero: str | None = None
    one: str | None = None
    few: str | None = None
    answer: str | None = None
    layer: int = -1
    part: str = ""
    unit: int = -1
    look: View = field(default_factory=View)
    presenter: bool = False


def _ids(text: str) -> Ids:
    parts = [part for part in text.split(".") if part]
    if len(parts) > MOST_TAKEN:
        raise Invalid(f"give at most {MOST_TAKEN:,} tokens")
    return tuple(COUNT.read(part) for part in parts)


def _branches(text: str) -> tuple[Ids, ...]:
    parts = [part for part in text.split("_") if part]
    if len(parts) > MOST_BRANCHES:
        raise Invalid(f"give at most {MOST_BRANCHES} branches")
    branches = tuple(_ids(part) for part in parts)
    if sum(map(len, branches)) > MOST_WALKED:
        raise Invalid(f"give at most {MOST_WALKED:,} tokens in all branches")
    return branches


def _written(ids: Ids) -> str:
    return ".".join(map(str, ids))


IDS = Form(_ids, _written)
BRANCHES = Form(_branches, lambda branches: "_".join(map(_written, branches)))

VIEW = PageView(
    Codec(
        page="generate",
        fresh=GenView(),
        forms={
            "model": TEXT,
            "prompt": TEXT,
            "section": choice(Section),
            "taken": IDS,
            "branches": BRANCHES,
            "temperature": DECIMAL,
            "top_k": COUNT,
            "top_p": DECIMAL,
            "seed": COUNT,
            "length": COUNT,
            "samples": COUNT,
            "kept": NUMBERS,
            "gone": NUMBERS,
            "pair": TEXT,
            "words": COUNT,
            "text": TEXT,
            "zero": TEXT,
            "one": TEXT,
            "few": TEXT,
            "answer": TEXT,
            "layer": POSITION,
            "part": TEXT,
            "unit": POSITION,
            "look": LOOK,
            "presenter": SWITCH,
        },
        of_text=("prompt", "taken", "branches", "kept", "gone", "text", "zero", "one", "few", "look"),
    )
)


# ---- models ----


def all_cards() -> list[ModelCard]:
    """The models that continue texts, in the catalogue's order: counts, characters, subwords, and then opened ones."""
    return [card for card in catalogue.cards() if "generate" in card.supports]


def cards_for(section: Section) -> list[ModelCard]:
    """Those of them that can do what a section shows."""
    return [card for card in all_cards() if card.supports >= NEEDS.get(section, frozenset())]


def compared() -> list[ModelCard]:
    """The models side by side: those that ship, and one that was opened: the view's own, or the last."""
    cards = all_cards()
    shipped = shipped_of(cards)
    opened = [card for card in cards if card not in shipped]
    own = [card for card in opened if card.name == name_in(VIEW.current().model)] or opened[-1:]
    return [*shipped, *own][:MOST_COMPARED]


def card_of(view: GenView) -> ModelCard:
    """The model of a view: the one it names, the last shipped one that fits its section where that one cannot."""
    able = {card.name: card for card in cards_for(view.section)}
    return able.get(name_in(view.model)) or shipped_of(list(able.values()))[-1]


def complete(view: GenView, addressed: bool) -> tuple[GenView, list[str]]:
    """A view with a prompt and a model that is there, and what is to be said of it."""
    name, card = name_in(view.model), card_of(view)
    there = {card.name: card for card in all_cards()}
    said = [*filter(None, [made_with(view.model, there.get(name, card))])]
    if card.name != name:  # ids of one model mean nothing to another
        view = replace(view, taken=(), branches=(), kept=(), gone=())
    view = replace(view, model=card.identity)
    if view.look != View() and view.look.map != "decoder":  # the only map there is
        view = replace(view, look=replace(view.look, map="decoder"))
    if view.taken:
        view = replace(view, branches=with_path(view.branches, view.taken))
    if view.prompt is None:
        if addressed and view.taken:
            said.append("The address holds no prompt: what you see is an example, with nothing taken after it.")
        view = replace(view, prompt=PROMPTS[0].prompt, taken=(), branches=())
    return view, said


def switch(card: ModelCard) -> None:
    """Another model continues the prompt: what it took of it before comes back."""
    view, walks = VIEW.current(), st.session_state.setdefault("gen walks", {})
    walks[view.model, view.prompt] = view.taken, view.branches
    taken, branches = walks.get((card.identity, view.prompt), ((), ()))
    VIEW.change(
        model=card.identity, taken=taken, branches=branches, kept=(), gone=(), look=without_pins(view.look)
    )  # fmt: skip
    VIEW.touch()


def unloaded() -> list[str]:
    """Go on with another model where the view's is open no longer; what is to be said of that."""
    view = VIEW.current()
    said = [*filter(None, [no_longer(view.model)])]
    if said:
        switch(card_of(view))
    return said


def open_section(section: Section) -> None:
    """Show a section, with a model that can do it."""
    VIEW.change(section=section)
    view = VIEW.current()
    card = card_of(view)
    if card.identity != view.model:
        switch(card)


# ---- the prompt, and what was taken after it ----


def prompt_of(view: GenView) -> str:
    """As it was typed."""
    return view.prompt or ""


def ask(prompt: str) -> None:
    """Another prompt: what was taken after the one before is over."""
    view = VIEW.current()
    if prompt != view.prompt:
        VIEW.change(prompt=prompt, taken=(), branches=(), kept=(), gone=(), look=without_pins(view.look))
    else:
        VIEW.change()
    VIEW.touch()


def with_path(branches: tuple[Ids, ...], path: Ids) -> tuple[Ids, ...]:
    """The ends of all walks when one more was gone: it replaces the one that it goes on from."""
    if not path or any(branch[: len(path)] == path for branch in branches):
        return branches
    for place, branch in enumerate(branches):
        if path[: len(branch)] == branch:
            return (*branches[:place], path, *branches[place + 1 :])
    return (*branches, path)


def take(*tokens: int) -> None:
    """Go on with tokens after what was taken."""
    go_to((*VIEW.current().taken, *tokens))


def go_to(path: Ids) -> None:
    """Show the text after these tokens; what was taken otherwise stays a branch.

    Where that is too much to be drawn all stays as it is, and `full` says so: a click has nobody to raise an error to.
    """
    view = VIEW.current()
    branches = with_path(view.branches, path)
    problem = ""
    if len(path) > MOST_TAKEN:
        problem = f"{len(path):,} tokens are too many, and {MOST_TAKEN:,} can be taken. Make the text the prompt."
    elif len(branches) > MOST_BRANCHES or sum(map(len, branches)) > MOST_WALKED:
        problem = f"{len(view.branches)} branches are drawn, and there is no room for more. {ANEW}"
    if problem:
        st.session_state[FULL] = problem
        VIEW.change()
    else:
        VIEW.change(taken=path, branches=branches, kept=(), gone=())


def full() -> str:
    """Why the last token could not be taken, once; "" where it could."""
    problem: str = st.session_state.pop(FULL, "")
    return problem


def checked(view: GenView) -> list[str]:
    """Give up what was taken where the model cannot have said it; what is to be said of that."""
    paths = [path for path in (view.taken, *view.branches) if path]
    if not paths:
        return []
    says = _shared.generator(card_of(view)).says
    if all(map(says, paths)):
        return []
    branches = tuple(path for path in view.branches if says(path))
    VIEW.change(taken=view.taken if says(view.taken) else (), branches=branches, kept=(), gone=())
    VIEW.touch()
    return ["The address holds tokens that this model never says: they were left out."]


def text_so_far(generator: Generator, view: GenView) -> str:
    """The prompt and what was taken after it, as one would type it."""
    return generator.typed(generator.text_of(prompt_of(view), view.taken)) if view.taken else prompt_of(view)


def into_prompt(text: str) -> None:
    """Make a text the prompt."""
    ask(text)


def options_of(view: GenView, samples: int = 1) -> SampleOptions:
    """How a view draws.

    Raises:
        InputError: a value that is not possible.
    """
    if view.length > LONGEST:
        raise InputError(f"A sample of {view.length:,} tokens is too long to be shown. Choose {LONGEST} at most.")
    if samples > MOST_SAMPLES:
        raise InputError(f"{samples} samples are too many to be shown. Choose {MOST_SAMPLES} at most.")
    return SampleOptions(samples, view.temperature, view.top_k, view.top_p, view.seed, view.length)


def scale() -> float:
    """Of type and bars."""
    return PRESENTER if VIEW.current().presenter else 1.0


def shown_name(card: ModelCard) -> str:
    """What a model is called beside the others."""
    return _shared.literal(card.short)
