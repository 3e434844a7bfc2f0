"""The view of the Memorization page, its address, and the texts that it reads with each network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import streamlit as st

from engine import catalogue
from engine.catalogue import ModelCard
from engine.characters import Folded
from engine.completion import Completer, Target, fold_checked
from engine.connectivity_attributions import Baseline
from engine.connectivity_blocks import Mode
from engine.errors import InputError
from engine.types import ConnectedText
from pages import _shared
from pages._address import IDENTITIES, POSITION, SWITCH, TEXT, Codec, choice
from pages._cards import chosen_of, known_of, pick_one
from pages._session import PageView
from viz.connectivity import Scaling

Doing = Literal["read", "type"]
Section = Literal["matrix", "distance", "memory", "accuracy", "inside", "attention", "measures"]
LONG = 400  # characters from which a reading can be stopped
PRESENTER = 1.4  # of type and cells
EXAMPLES = {
    "A word out of its letters": "the old man looked at the sea and remembered the days of his youth",
    "The same word again, far apart": (
        "the captain said nothing but the young officer saw that the captain was afraid and that nothing would make "
        "the captain say so"
    ),
    "The article's text": (
        "context the formal study of grammar is an important part of education for children from a young age through "
        "advanced learning though the rules taught in schools are not a grammar in the sense most linguists"
    ),
    "A long sentence": (
        "it was a dark and stormy night the rain fell in torrents except at occasional intervals when it was checked "
        "by a violent gust of wind which swept up the streets rattling along the house tops and fiercely agitating "
        "the scanty flame of the lamps that struggled against the darkness"
    ),
}
TEXT_ASKED = EXAMPLES["A long sentence"]
PINNED = TEXT_ASKED.index("violent") + len("vio")  # in the folded text, which has one space more


@dataclass(frozen=True, slots=True)
class MemoView:
    """Everything that the Memorization page shows.

    Attributes:
        networks: `name@sha256[:8]` of each network that reads, as the view was made with; none stands for all.
        text: what is read.
        doing: a text is read, or typed.
        target: whose logit is differentiated.
        word: the word, where the target is one.
        mode: of the connectivity.
        position: of the folded text, pinned; −1 for none.
        section: what is open below the text.
        network: whose matrix, states or measures are shown; "" for the first that can.
        scaling: of the matrix.
        log: whether the distance chart has a logarithmic axis.
        layer, head: of states, gates and attention, from 0; −1 for all.
        part: the state or gate that is shown; "" for the hidden state.
        baseline: what stands for an absent character.
        presenter: larger type and fewer controls.
    """

    networks: tuple[str, ...] = ()
    text: str = ""
    doing: Doing = "read"
    target: Target = "desired"
    word: str = ""
    mode: Mode = "one-hot"
    position: int = -1
    section: Section = "matrix"
    network: str = ""
    scaling: Scaling = "row"
    log: bool = False
    layer: int = -1
    head: int = -1
    part: str = ""
    baseline: Baseline = "zero"
    presenter: bool = False


VIEW = PageView(
    Codec(
        page="memorization",
        fresh=MemoView(),
        forms={
            "networks": IDENTITIES,
            "text": TEXT,
            "doing": choice(Doing),
            "target": choice(Target),
            "word": TEXT,
            "mode": choice(Mode),
            "position": POSITION,
            "section": choice(Section),
            "network": TEXT,
            "scaling": choice(Scaling),
            "log": SWITCH,
            "layer": POSITION,
            "head": POSITION,
            "part": TEXT,
            "baseline": choice(Baseline),
            "presenter": SWITCH,
        },
        of_text=("text", "position"),
    )
)


def all_cards() -> list[ModelCard]:
    """The networks that complete words, in the catalogue's order."""
    return [card for card in catalogue.cards() if "complete" in card.supports]


def chosen_cards(view: MemoView) -> list[ModelCard]:
    """The networks of the view, in the catalogue's order; all where it names none."""
    return chosen_of(view.networks, all_cards())


def complete(view: MemoView, addressed: bool) -> tuple[MemoView, list[str]]:
    """A view with a text and networks that are there, and what is to be said of it."""
    there = all_cards()
    networks, said = known_of(view.networks, there, "network")
    view = replace(view, networks=networks)
    if view.network not in ("", *(card.name for card in there)):
        view = replace(view, network="")
    if view.text or view.doing == "type":
        return view, said
    if addressed:
        said.append("The address holds no text: what you see is an example.")
    return replace(view, text=TEXT_ASKED, position=PINNED), said


def folded(view: MemoView) -> Folded:
    """The text as the networks read it.

    Raises:
        InputError: it cannot be used.
    """
    return fold_checked(view.text)


def word_of(view: MemoView) -> str:
    """The word whose logit is followed, where the target is one; else none.

    Raises:
        InputError: the target is a word, and there is none.
    """
    if view.target != "word":
        return ""
    if not view.word.strip():
        raise InputError("Type the word whose logit you want to follow, or choose another target.")
    return view.word.strip().lower()


def read(card: ModelCard, view: MemoView) -> ConnectedText:
    """The view's text, read by a network; asked again, it comes from memory."""
    text, target, word, mode = reading_key(view)

    def compute(completer: Completer, report: Callable[[int], None]) -> ConnectedText:
        return completer.read(text, target, mode, _shared.in_steps(report, len(text)), word=word)

    megabytes = round(_shared.completer(card).memory(len(text)) / 1e6)
    return _shared.computed_slowly(
        card,
        f"Characters read by {card.short}, with about {megabytes:,} MB of memory",
        len(text),
        compute,
        key=(text, target, word, mode),
        stop=stop if len(text) > LONG else None,
    )


def reading_key(view: MemoView) -> tuple[str, Target, str, Mode]:
    """What `Completer.read` takes for a view.

    Raises:
        InputError: it cannot be used.
    """
    return folded(view).text, view.target, word_of(view), view.mode


def stop() -> None:
    """The reader wants to wait no longer: what is there by now stays, the rest is left out until asked for again."""
    st.session_state["memo stopped"] = asked(VIEW.current())
    VIEW.change()


def stopped(view: MemoView) -> bool:
    """Whether what the view asks for was stopped."""
    return st.session_state.get("memo stopped") == asked(view)


def asked(view: MemoView) -> tuple[str, ...]:
    """What a reading depends on."""
    return (view.text, view.target, view.word, view.mode)


def known(card: ModelCard, view: MemoView) -> bool:
    """Whether a reading is in memory, so that it costs nothing to show."""
    return _shared.is_kept(card, reading_key(view))


def go_on() -> None:
    """Read the rest after all."""
    st.session_state.pop("memo stopped", None)
    VIEW.change()


def differs(view: MemoView, before: MemoView) -> bool:
    """Whether the whole page has to change, not only what explores a text."""
    return asked(view) != asked(before) or (view.networks, view.presenter, view.doing) != (
        before.networks, before.presenter, before.doing,
    )  # fmt: skip


def pick_network(cards: Sequence[ModelCard]) -> ModelCard:
    """The network of a section that shows one: a menu, where there are several."""
    return pick_one("Network", cards, VIEW, "network", lambda card: card.short)
