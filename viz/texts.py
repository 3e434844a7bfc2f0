"""Small pieces of text as HTML: a table of a few numbers, and what changed between two texts."""

from __future__ import annotations

import html
from collections.abc import Sequence
from difflib import SequenceMatcher

from viz.theme import LIGHT, Theme


def small_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", theme: Theme = LIGHT
) -> str:
    """A table of a few rows: text in the first column, numbers in the others.

    It is HTML and no grid because it is text: it wraps, is read by screen readers, and copies as it stands.

    Args:
        headings: of the columns; any text, all of it escaped.
        rows: as many cells each as there are headings.
        caption: above it.
        theme: colours and type sizes.

    Raises:
        ValueError: when a row has another number of cells.
    """
    if any(len(row) != len(headings) for row in rows):
        raise ValueError(f"rows: give {len(headings)} cells in each, one for each heading")
    cell = "padding:2px 14px 2px 0;text-align:{};white-space:nowrap"
    sides = ["left", *["right"] * (len(headings) - 1)]
    head = "".join(
        f'<th scope="col" style="{cell.format(side)};color:{theme.muted};font-weight:normal">{html.escape(text)}</th>'
        for text, side in zip(headings, sides, strict=True)
    )
    body = "".join(f"<tr>{_row(row, sides, cell)}</tr>" for row in rows)
    style = f"border-collapse:collapse;font-variant-numeric:tabular-nums;color:{theme.text}"
    above = f'<div style="color:{theme.text};margin-bottom:4px">{html.escape(caption)}</div>' if caption else ""
    return f'{above}<table style="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _row(row: Sequence[str], sides: Sequence[str], cell: str) -> str:
    first, *others = (f'style="{cell.format(side)}">{html.escape(text)}' for text, side in zip(row, sides, strict=True))
    return f'<th scope="row" {first}</th>'.replace('style="', 'style="font-weight:normal;') + "".join(
        f"<td {text}</td>" for text in others
    )


def text_change(before: str, after: str, *, lang: str = "", theme: Theme = LIGHT) -> str:
    """A text as it is now, with the words that are new in bold and those that went struck through.

    Args:
        before: the text as it was.
        after: as it is.
        lang: its language, as HTML names it.
        theme: colours and type sizes.

    Returns:
        One HTML paragraph; of two equal texts, the text and the word "unchanged".
    """
    if before == after:
        note = f' <span style="color:{theme.muted}">(unchanged)</span>'
        return _paragraph(html.escape(after) + note, lang, theme)
    old, new = before.split(), after.split()
    parts = []
    for what, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            parts.append(html.escape(" ".join(new[j1:j2])))
            continue
        if i2 > i1:
            parts.append(f'<del style="color:{theme.muted}">{html.escape(" ".join(old[i1:i2]))}</del>')
        if j2 > j1:
            parts.append(
                f'<ins style="font-weight:bold;color:{theme.accent}">{html.escape(" ".join(new[j1:j2]))}</ins>'
            )
    return _paragraph(" ".join(parts), lang, theme)


def _paragraph(content: str, lang: str, theme: Theme) -> str:
    style = f"color:{theme.text};font-size:{theme.font_size}px;line-height:1.4;margin:8px 0 0;overflow-wrap:anywhere"
    return f'<p dir="auto" lang="{html.escape(lang)}" style="{style}">{content}</p>'
