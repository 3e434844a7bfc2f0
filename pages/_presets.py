"""Sentences to begin with: each opens a page in a state that shows one thing. Heads are named by role, not number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.cards import its_heads, pronoun_head, role_head, role_score
from engine.catalogue import ModelCard
from pages._permalink import View

Place = tuple[int, tuple[int, ...]]  # layer and heads, from 0
Find = Callable[[ModelCard], Place | None]


@dataclass(frozen=True, slots=True)
class Preset:
    """A state of the Translate page.

    Attributes:
        title: on a card and in a menu.
        hint: what to see there, Markdown; "{share}" and "{sentences}" are replaced by what was measured of the role.
        text: the sentence.
        chosen: the rest of the view but its layer and heads.
        find: layer and heads for the shipped weights; None where no head is meant.
        role: the role whose measured score the hint names.
    """

    title: str
    hint: str
    text: str
    chosen: View
    find: Find | None = None
    role: str | None = None

    def available(self, card: ModelCard) -> bool:
        """Whether it is our Transformer, of which presets speak, and the role, if one is meant, was measured."""
        ours = card.path is None and "encoder" in card.supports
        return ours and (self.find is None or self.find(card) is not None)

    def explanation(self, card: ModelCard) -> str:
        """The hint, with what was measured."""
        measured = role_score(card, self.role) if self.role else None
        share, sentences = measured or (0.0, 0)
        return self.hint.format(share=f"{share:.0%}", sentences=sentences)

    def view(self, card: ModelCard) -> View:
        """The state, with all heads of the last layer where the role was not measured."""
        place = self.find(card) if self.find else None
        view = replace(self.chosen, model=card.identity, text=self.text)
        return view if place is None else replace(view, layer=place[0], heads=place[1])


def _pronoun(card: ModelCard) -> Place | None:
    found = pronoun_head(card, "encoder")
    return None if found is None else (found[0], (found[1],))


def _its(card: ModelCard) -> Place | None:
    found = its_heads(card)
    return None if found is None else (found[0], tuple(sorted(found[1])))


def _of_role(title: str, hint: str, role: str, chosen: View) -> Preset:
    """A preset of the head that plays a role best."""

    def find(card: ModelCard) -> Place | None:
        found = role_head(card, role)
        return None if found is None else (found[1], (found[2],))

    return Preset(title, hint, _DOOR, chosen, find, role)


_ANIMAL = "The animal didn't cross the street because it was too "
_LAW = "The Law will never be perfect, but its application should be just."
_DOOR = "She opened the old door and looked at the garden."
IT, ITS = 7, 8  # which word the pronoun is, from 0; a comma is a word
IL = 10  # the same in the model's French; "L'" and "qu'" are words

PRESETS: dict[str, Preset] = {
    "tired": Preset(
        "“it” was too tired",
        "Here “it” is the animal, so French wants **il**. Point at “it” to see where this head looks.",
        f"{_ANIMAL}tired.",
        View(map="encoder", pins=(IT,)),
        _pronoun,
    ),
    "wide": Preset(
        "“it” was too wide",
        "One word has changed: now “it” is the street, and French wants **elle**.",
        f"{_ANIMAL}wide.",
        View(map="encoder", pins=(IT,)),
        _pronoun,
    ),
    "gradient": Preset(
        "What makes it “il”",
        "Gradients of the whole model instead of one head's attention: of all English words it is “animal” that moves "
        "the logit of **il** most.",
        f"{_ANIMAL}tired.",
        View(measure="gradient", map="cross", pins=(IL,)),
    ),
    "playback": Preset(
        "Watch it being made",
        "The encoder reads layer by layer, then the output comes token by token, each with its lines.",
        f"{_ANIMAL}tired.",
        View(view="playback"),
    ),
    "its": Preset(
        "“its” → Law",
        "The two heads of one layer that look most from “its” to “Law”, as in the paper's figure. (The translation is "
        "wrong: the model hardly ever saw “Law” with a capital.)",
        _LAW,
        View(map="encoder", pins=(ITS,)),
        _its,
    ),
    "alignment": _of_role(
        "Which word became which",
        "Cross-attention of the head that comes nearest to an alignment: French words look at the English words they "
        "translate.",
        "alignment",
        View(map="cross", view="heatmap"),
    ),
    "previous": _of_role(
        "The head that looks back",
        "Of all encoder heads this one looks most at the token before: {share} of its attention, the mean over "
        "{sentences} sentences. Look for the diagonal.",
        "previous",
        View(map="encoder", view="heatmap", tokens="pieces"),
    ),
    "sink": _of_role(
        "A head that rests",
        "Of all encoder heads this one gives most to the full stop and the end of the sentence: {share}, the mean over "
        "{sentences} sentences. Hide special tokens under “Tokens & heads” and see what is left.",
        "sink",
        View(map="encoder", tokens="pieces"),
    ),
    "mask": _of_role(
        "The causal mask",
        "The decoder may not look ahead: hatched cells are masked, which is not the same as 0.",
        "decoder-previous",
        View(map="decoder", view="heatmap", tokens="pieces"),
    ),
}
