"""The models that ship: a literal dict of cards. Scores are not here but beside the weights, written by commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import UnknownModel

ASSETS = Path(__file__).parent.parent / "assets"

Family = Literal["transformer"]
Capability = Literal["translate", "encoder", "decoder", "cross", "interventions", "search"]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model before it is loaded.

    Attributes:
        name: what `engine.load` takes.
        family: which runner it needs.
        title: for a menu.
        summary: one sentence for a screen.
        sha256: checksum of every file of the model, by file name; "weights.safetensors" among them.
        supports: what pages may ask of it: "translate", the kinds of attention maps it has, and
            "interventions": its heads can be changed and its output differentiated, and "search": its output is
            searched for token by token.
        longest: the most source tokens it takes, </s> included.
        data: what it was trained on, with licences.
        licence: of the weights.
        limits: what it cannot do.
        notes: departures from the paper, and why.
    """

    name: str
    family: Family
    title: str
    summary: str
    sha256: Mapping[str, str]
    supports: frozenset[Capability]
    longest: int
    data: tuple[str, ...]
    licence: str
    limits: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return ASSETS / self.name

    @property
    def identity(self) -> str:
        """`name@sha256[:8]` of the weights: what requests, permalinks and presets carry."""
        return f"{self.name}@{self.sha256['weights.safetensors'][:8]}"


MODELS: dict[str, ModelCard] = {
    "en-fr": ModelCard(
        name="en-fr",
        family="transformer",
        title="English → French Transformer",
        summary="An encoder-decoder Transformer in the shape of Attention Is All You Need, narrower.",
        sha256={
            "weights.safetensors": "679e8addccb175f6e44d307de609adf57addfc765fa1047aecbe800007fba313",
            "tokenizer.model": "e221fc9523057c6767c988e02d8e8cda350ea6656658b675ed6c02e3089263b1",
            "config.json": "4e4c9270f8f13cbd9f0e768381b21dd33bbb30f98810ce42fe1d0961f956d364",
        },
        supports=frozenset({"translate", "encoder", "decoder", "cross", "interventions", "search"}),
        longest=128,
        data=(
            "Tatoeba English-French pairs (149,332), CC-BY 2.0 FR",
            "Europarl pairs of at most 30 words (600,000 in the file), no known restriction",
            "Public-domain books (5,958 pairs) and GNOME user documentation (4,353 pairs, CC-BY 3.0)",
            "Sentences of this project's own pronoun grammar (engine/training/synthetic.py), Apache-2.0",
            "The subword vocabulary was counted on all of these, and on Python's documentation (PSF licence, CC0) and "
            "Mozilla's web pages (MPL-2.0), which the model was not trained on",
        ),
        licence="Apache-2.0",
        limits=(
            "Everyday sentences are its home; long, technical or literary text is translated poorly.",
            "It translates one text at a time and knows nothing of what was said before it.",
            "Rare words and names are often wrong, and so are common words with an unusual capital (“the Law”); "
            "numbers should be checked.",
            "It was trained on pairs of at most 64 tokens a side; longer input is taken up to the limit and "
            "gets worse.",
            "Pronouns were practised on made-up sentences; with adjectives that those never used they are right about "
            "as often as chance (pronouns-b).",
        ),
        notes=(
            "Pre-norm (a layer norm before each sublayer and one after each stack) where the paper has "
            "post-norm, chosen "
            "to need only a short warm-up; the learning rate falls linearly to 0 where the paper has an inverse "
            "square root.",
            "No dropout, where the paper has 0.1: chosen for speed.",
            "Six encoder and four decoder layers, where the paper has six and six: chosen for more steps in the "
            "same time.",
            "Two auxiliary tasks on outputs, none on attention weights: sentences tagged <who> are translated with the "
            "pronoun's noun in its place, and a linear layer that is not shipped tells the noun from the "
            "encoder's output "
            "at the pronoun.",
            "Both runs shared their cores with light jobs: a free machine takes more steps in the same time.",
            "The second run goes on from the first at half its learning rate, with more of Europarl and its text "
            "normalised as typed text is.",
            "In the grammar, animal and street never meet, animal is never tired and street never wide.",
        ),
    ),
}


def card(name: str) -> ModelCard:
    """The card of a model.

    Raises:
        UnknownModel: there is none of that name; the message lists those there are.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise UnknownModel(f"There is no model {name!r}. Choose one of: {', '.join(MODELS)}.") from None
