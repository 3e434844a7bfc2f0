"""Token labels as a screen can show them: visible, short enough, and in reading order whatever their script.

A token is text and nothing else: "<s>", "<b>x</b>", Arabic or an emoji must reach the reader as they are.
"""

from __future__ import annotations

import html
import unicodedata

_JOINERS = frozenset("\u200d\ufe0e\ufe0f")  # zero-width joiner and variation selectors: never start a glyph
_CONTROLS = {"\n": "⏎", "\r": "⏎", "\t": "⇥", "\u00a0": "␣"}


def visible(label: str) -> str:
    """The label with line breaks and tabs shown as signs, and blanks where there is nothing else to see."""
    label = "".join(_CONTROLS.get(character, character) for character in label)
    return label if label.strip() else "␣" * max(len(label), 1)


def shorten(label: str, limit: int = 14) -> str:
    """At most `limit` characters of the visible label, the last one "…" where it was cut; no glyph is cut in two."""
    label = visible(label)
    if len(label) <= limit:
        return label
    end = limit - 1
    while end > 1 and (_attaches(label[end]) or label[end - 1] == "\u200d"):
        end -= 1
    return label[:end] + "…"


def isolate(label: str) -> str:
    """The visible label for use inside a sentence: right-to-left text is isolated, or it would turn "a → b" around."""
    label = visible(label)
    turns = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in label)
    return f"\u2068{label}\u2069" if turns else label


def markup(label: str) -> str:
    """The label for Plotly, which reads text as HTML (and "$...$" as TeX): "<s>" would become strikethrough."""
    return html.escape(label, quote=False).replace("$", "&#36;")


def label_width(label: str, font_size: float) -> float:
    """Estimated width of the label in pixels, a little generous."""
    return font_size * sum(map(_ems, label))


def _ems(character: str) -> float:
    """Estimated width of a character in units of the font size: combining marks take no room, wide scripts a square."""
    if _attaches(character):
        return 0.0
    if unicodedata.east_asian_width(character) in "WF":
        return 1.05
    return 0.9 if character in "mwMW@%…" else 0.58


def _attaches(character: str) -> bool:
    return unicodedata.combining(character) > 0 or character in _JOINERS
