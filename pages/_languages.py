"""What a page calls the texts of translators: ours read English and write French, of others nobody knows."""

from __future__ import annotations

from dataclasses import dataclass

from engine.catalogue import ModelCard


@dataclass(frozen=True, slots=True)
class Languages:
    """What the two texts of a translator are called.

    Attributes:
        source, output: labels of boxes.
        read, written: for an element's `lang`; "" where nobody knows.
        texts: within sentences, for `engine.coreference.Places`.
        sentence: what is typed, with its article.
    """

    source: str
    output: str
    read: str
    written: str
    texts: tuple[str, str]
    sentence: str


OURS = Languages("English", "French", "en", "fr", ("English sentence", "French sentence"), "a whole English sentence")
OTHERS = Languages("Source", "Output", "", "", ("source", "output"), "a whole sentence")


def languages_of(*cards: ModelCard) -> Languages:
    """The languages that some models have in common."""
    return OURS if all(card.path is None for card in cards) else OTHERS
