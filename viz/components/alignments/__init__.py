"""One sentence's alignments by several models side by side in the browser: heatmaps or lines, linked by pointing.

Source: Bahdanau, Cho and Bengio 2015, "Neural Machine Translation by Jointly Learning to Align and Translate",
figure 3: source words above, output words at the left, the weight of each pair as a shade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from engine.types import AttentionMap, Tokens
from viz.axes import headings
from viz.components.inline import register
from viz.components.maps import quantised, theme_header, token_header
from viz.components.packing import pack
from viz.components.standalone import standalone_html
from viz.labels import isolate
from viz.theme import HEAD_COLOURS, LIGHT, Theme
from viz.wording import WORDINGS

View = Literal["heatmap", "lines"]
MOST_PANELS = 6
GOLD = HEAD_COLOURS[1]  # ochre: told from the blues of the weights by every eye

_mount = register("alignments")


@dataclass(frozen=True, slots=True)
class Panel:
    """One model's alignment of the sentence.

    Attributes:
        name: the heading, any text.
        note: below it; in place of the map where there is none, e.g. "no attention: one vector for the sentence".
        attention: one layer and one head; None for a model without attention.
        detail: below the note, e.g. "9 of 12 target words on a gold link".
        output: what a model without attention predicts, which its panel lists; a map has its own rows.
    """

    name: str
    note: str
    attention: AttentionMap | None
    detail: str = ""
    output: Tokens | None = None

    @property
    def rows(self) -> Tokens | None:
        """The output's tokens; None where they are not known."""
        return self.output if self.attention is None else self.attention.row_tokens


class Gold(NamedTuple):
    """Links that people have drawn, as (source position, row), both counted from 0 on the axes that are drawn.

    Source: Och and Ney 2003, "A Systematic Comparison of Various Statistical Alignment Models", section 4.

    Attributes:
        sure: links that every alignment should have; their outline is solid.
        possible: links that an alignment may have; those that are not sure have a dashed outline.
    """

    sure: frozenset[tuple[int, int]]
    possible: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Pin:
    """What stays marked when the pointer moves on: a source position, an output row, both (a cell), or nothing.

    Attributes:
        source: counted from 0; None for none.
        row: counted from 0; None for none.
        panel: the one it was pinned in, counted from 0; the row is this one's where panels' rows differ.
    """

    source: int | None = None
    row: int | None = None
    panel: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Pin:
        """The pin that the browser sent."""
        source, row = values["source"], values["row"]
        return cls(None if source is None else int(source), None if row is None else int(row), int(values["panel"]))


def alignments_data(
    panels: Sequence[Panel],
    *,
    view: View = "heatmap",
    gold: Gold | None = None,
    title: str = "",
    numbers: bool = False,
    pinned: Pin | None = None,
    start_id: str = "",
    theme: Theme = LIGHT,
    scale: float = 1.0,
    file_name: str = "alignment",
) -> bytes:
    """What the component receives.

    Args:
        panels: one to six, from left to right; their maps are cross maps of the same source and measure.
        view: "heatmap" or "lines", of all panels.
        gold: links drawn over every map; needs panels with the same rows. None for none.
        title: above the panels, any text; "" for none.
        numbers: whether cells say their weight in percent where it fits.
        pinned: what is marked first.
        start_id: the browser takes `pinned` over only when this changes, else it keeps what the reader did.
        theme: colours and type sizes.
        scale: of type and cells; above 1 for a projector.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when there is no panel or more than six, a map is no cross map or has several layers or heads, maps
            have other sources or measures, the view is unknown, or gold links are given for rows that differ.
        IndexError: when a gold link or the pin lies outside the axes.
    """
    if not 1 <= len(panels) <= MOST_PANELS:
        raise ValueError(f"panels: {len(panels)} given, choose 1 to {MOST_PANELS} models")
    if view not in get_args(View):
        raise ValueError(f"view is {view!r}: choose among {', '.join(get_args(View))}")
    first = _common(panels)
    width = 0 if first is None else len(first.key_tokens)
    same = same_rows(panels)
    if gold is not None:
        _check_gold(gold, panels, width)
    if pinned is not None:
        _check_pin(pinned, panels, width)
    weights = [panel.attention.weights.ravel() for panel in panels if panel.attention is not None]
    levels_of, levels = quantised(np.concatenate(weights) if weights else np.zeros(0, np.float32))
    words = WORDINGS["attention" if first is None else first.measure]
    header = {
        **theme_header(theme, scale),
        "colours": theme.sequential,
        "gold_colour": GOLD,
        "view": view,
        "title": title,
        "numbers": numbers,
        "wording": asdict(words),
        "rows_are": "token predicted" if first is None else headings(first)[0],
        "source": [] if first is None else token_header(first.key_tokens),
        "panels": [_described(panel) for panel in panels],
        "same_rows": same,
        "gold": gold and {"sure": sorted(gold.sure), "possible": sorted(gold.possible - gold.sure)},
        "levels": levels,
        "start": asdict(pinned or Pin()),
        "start_id": start_id,
        "file_name": file_name,
    }
    return pack(header, {"weights": levels_of})


def alignments(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> Pin | None:
    """Mount the panels.

    Args:
        data: from `alignments_data`.
        key: its name on the page.
        on_change: called when the reader has pinned or unpinned something and settled; never for pointing.

    Returns:
        What the reader has pinned, `Pin()` once all is cleared; None until it is changed for the first time.
    """
    result = _mount(key=key, data=data, on_pinned_change=on_change)
    return Pin.of(result.pinned) if result.pinned else None


def alignments_html(data: bytes, *, title: str, note: str, theme: Theme = LIGHT) -> str:
    """The panels as one HTML file that needs neither Saccade nor a network; arguments as in `standalone_html`."""
    return standalone_html("alignments", data, title=title, note=note, theme=theme)


def same_rows(panels: Sequence[Panel]) -> bool:
    """Whether all panels whose output is known have the same tokens in their rows, so that rows can be compared."""
    return len({panel.rows.labels for panel in panels if panel.rows is not None}) <= 1


def _common(panels: Sequence[Panel]) -> AttentionMap | None:
    """The first map, which every other one is like; None where there is none.

    Raises:
        ValueError: when a map is no cross map, has several layers or heads, or is of another source or measure than
            the first.
    """
    first: AttentionMap | None = None
    for panel in panels:
        attention = panel.attention
        if attention is None:
            continue
        if (attention.layers, attention.heads) != (1, 1):
            raise ValueError(
                f"{panel.name}: the map has {attention.layers} layers × {attention.heads} heads; "
                "choose one head of one layer, or put them together first"
            )
        first = first or attention
        if attention.kind != "cross":
            raise ValueError(f"{panel.name}: a map of {attention.kind} attention aligns nothing; give a cross map")
        if attention.measure != first.measure:
            raise ValueError(f"{panel.name}: {attention.measure} beside {first.measure}; choose one measure for all")
        if attention.key_tokens.labels != first.key_tokens.labels:
            raise ValueError(f"{panel.name}: its source tokens are others; choose maps of one sentence, in whole words")
    return first


def _described(panel: Panel) -> dict[str, Any]:
    """The part of the header that is this panel's."""
    attention, rows = panel.attention, panel.rows
    titles = None
    if attention is not None:
        titles = [isolate(attention.row_title(row)) for row in range(len(attention.query_tokens))]
    return {
        "name": panel.name,
        "note": panel.note,
        "detail": panel.detail,
        "map": attention is not None,
        "rows": [] if rows is None else token_header(rows, titles),
    }


def _check_gold(gold: Gold, panels: Sequence[Panel], width: int) -> None:
    """Raises ValueError or IndexError where gold links cannot be drawn, see `alignments_data`."""
    if not same_rows(panels):
        raise ValueError("gold: the panels' output words differ; force one output on all models, or leave it out")
    height = max((len(panel.rows) for panel in panels if panel.rows is not None), default=0)
    for source, row in sorted(gold.sure | gold.possible):
        if not (0 <= source < width and 0 <= row < height):
            raise IndexError(
                f"gold: no cell ({source}, {row}); give (source position, row) of {width} × {height}, counted from 0"
            )


def _check_pin(pin: Pin, panels: Sequence[Panel], width: int) -> None:
    """Raises IndexError where there is nothing to pin."""
    if not 0 <= pin.panel < len(panels):
        raise IndexError(f"pinned: there is no panel {pin.panel}, choose one of {len(panels)}, counted from 0")
    rows = panels[pin.panel].rows
    height = 0 if rows is None else len(rows)
    for noun, place, count in (("source position", pin.source, width), ("row", pin.row, height)):
        if place is not None and not 0 <= place < count:
            raise IndexError(f"pinned: there is no {noun} {place}, choose one of {count}, counted from 0")
