"""What a model of counts goes by after a text: the words that came after the same two, or where it had to back off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.models.trigram import Trigram
from engine.models.trigram_table import find_keys
from engine.text import quoted
from engine.types import Tokens
from engine.words import UNKNOWN


def counts_after(model: Trigram, ids: Sequence[int]) -> Mapping[int, int]:
    """How often each word came after the last two, or after the last alone, or anywhere: see `Continuations.order`.

    Args:
        model: whose counts.
        ids: of a text, at least one.
    """
    return dict(model.continuations(*_last_two(model, ids), model.config.words).pairs)


def backed_off(model: Trigram, tokens: Tokens) -> str:
    """Where the counts after a text's last two words come from, as a sentence; "" where those two were seen.

    Args:
        model: whose counts.
        tokens: of the text, the line break in front of it included.
    """
    first, second = _last_two(model, tokens.ids)
    order = model.continuations(first, second, 1).order
    if order == 3:
        return ""
    last = tokens.labels[-1]
    if len(tokens) == 1:
        return "Nothing stands before the first word: its counts are those of words that begin paragraphs."
    before = tokens.labels[-2]
    pair, after = quoted(f"{before} {last}"), quoted(last)
    if order == 1 and second != UNKNOWN:
        times = _times(int(model.table.word_counts[second]))
        return (
            f"{after} occurs {times}, but no word after it often enough: counts are those of single words, whatever "
            "stands before them."
        )
    if order == 1:
        return f"{after} is not in its table: counts are those of single words, whatever stands before them."
    if first == UNKNOWN:
        return f"{quoted(before)} is not in its table: counts are those after {after} alone."
    seen = _pair_count(model, first, second)
    if seen:
        return f"{pair} occurs {_times(seen)}, but no word after it often enough: counts are those after {after} alone."
    return f"{pair} never occurs in its table: counts are those after {after} alone."


def _last_two(model: Trigram, ids: Sequence[int]) -> tuple[int, int]:
    """The last two words; line breaks stand before the first."""
    first, second = (model.config.paragraph, *ids)[-2:]
    return first, second


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _pair_count(model: Trigram, first: int, second: int) -> int:
    place = int(find_keys(model.table.pair_keys, np.array([first * model.config.words + second]))[0])
    return int(model.table.pair_counts[place]) if place >= 0 else 0
