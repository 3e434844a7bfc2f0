"""Running text for language models: one normal form, its sentences, and the books that it comes from."""

from __future__ import annotations

import math
import re

from engine.text import normalise

CODE_POINT_BITS = math.log2(0x110000)
"""What a character costs that a model does not know, besides its "unknown" token: a uniform choice among Unicode's code
points."""
_PARAGRAPHS = re.compile(r"\n\s*\n")
# After a full stop, question or exclamation mark and what closes a quotation; before what may begin a sentence.
_SENTENCE_ENDS = re.compile(r"""(?<=[.!?])(?:["')\]]*) (?=["'(\[]*[A-Z0-9])""")
_TITLES = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Sr|Jr|Prof|Rev|Hon|Capt|Col|Gen|Lt|Sgt|Messrs|Esq|vs|No)|\b[A-Z])\.$")


def normalise_prose(text: str) -> str:
    """The form that language models read: NFC, ASCII quotes, single spaces, one line for each paragraph.

    A blank line ends a paragraph; a line break within one is a space.
    """
    paragraphs = (normalise(paragraph) for paragraph in _PARAGRAPHS.split(text))
    return "\n".join(paragraph for paragraph in paragraphs if paragraph)


def sentences_of(paragraph: str) -> list[str]:
    """The sentences of a normalised paragraph, in order; joined by spaces they give it back.

    A full stop after a title ("Mr.") or an initial ends none.
    """
    sentences, start = [], 0
    for match in _SENTENCE_ENDS.finditer(paragraph):
        end = match.end() - 1  # the space between the two
        if not _TITLES.search(paragraph[max(start, end - 12) : end]):
            sentences.append(paragraph[start:end])
            start = match.end()
    return [*sentences, paragraph[start:]]
