"""Long texts for a network that has positions for short ones: windows that overlap."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text that is read by itself.

    Attributes:
        start: its first character.
        first: the first character whose prediction is taken from this window.
        end: one after its last character.
    """

    start: int
    first: int
    end: int


def windows(text: str, longest: int) -> tuple[Window, ...]:
    """Windows of at most `longest` characters; each character has one prediction, with up to half a window before it.

    Each but the first begins at a word's space, as the texts did that a network learnt from, where there is one in its
    first half.

    Args:
        text: words with a space before each.
        longest: the most characters that are read at once, at least 2.
    """
    assert longest >= 2
    found = [Window(0, 0, min(longest, len(text)))]
    while found[-1].end < len(text):
        first = found[-1].end
        earliest = first - longest // 2
        space = text.find(" ", earliest, first)
        start = earliest if space < 0 else space
        found.append(Window(start, first, min(start + longest, len(text))))
    return tuple(found)
