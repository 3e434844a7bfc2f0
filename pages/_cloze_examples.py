"""Our own sentences for the Cloze page: with blanks, in pairs, with a pronoun's noun left out, and to be noised."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.catalogue import ASSETS

EXAMPLES = ASSETS / "cloze" / "examples.json"


@dataclass(frozen=True, slots=True)
class Example:
    """One or two texts to open.

    Attributes:
        title: on its button.
        first: the text; with words to be masked, or "[MASK]" in it.
        second: the second text; "" for none.
        masked: words that are masked, counted from 0 ([CLS]).
        words: that are compared at a blank.
        follows: whether the second goes on from the first; None where that is no question.
    """

    title: str
    first: str
    second: str = ""
    masked: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    follows: bool | None = None


@cache
def examples(of: str) -> tuple[Example, ...]:
    """The examples of one kind.

    Args:
        of: "sentences", "pairs", "pronouns" or "noises".
    """
    return tuple(_example(**one) for one in _read()[of])


def unrelated() -> tuple[str, ...]:
    """Sentences that follow from nothing."""
    return tuple(_read()["unrelated"])


def _example(masked: Sequence[int] = (), words: Sequence[str] = (), **rest: Any) -> Example:
    return Example(masked=tuple(masked), words=tuple(words), **rest)


@cache
def _read() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = json.loads(EXAMPLES.read_text("utf-8"))
    return found
