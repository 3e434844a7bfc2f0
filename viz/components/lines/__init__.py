"""The line diagram in the browser: every head of every layer, isolated, pinned and thresholded with no round trip.

Source: Vig 2019, "A Multiscale Visualization of Attention in the Transformer Model" (the attention-head view).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from engine.types import AttentionMap
from viz.axes import kind_title
from viz.components.inline import register
from viz.components.maps import MOST_WEIGHTS, axes_header, head_header, quantised, theme_header
from viz.components.packing import pack
from viz.theme import LIGHT, Theme
from viz.wording import wording

Controls = Literal["all", "heads", "none"]
_mount = register("lines")


@dataclass(frozen=True, slots=True)
class LinesView:
    """What of a map is shown.

    Attributes:
        layer: counted from 0.
        heads: counted from 0.
        query: pinned positions that look; their rows are put together, see `viz.wording.Wording`.
        key: pinned positions looked at; their columns are put together.
        by: "weight": lines with at least `least`; "mass": of each row the fewest lines that carry `mass`.
        least: a weight in [0, 1].
        mass: a share in (0, 1].
    """

    layer: int = 0
    heads: tuple[int, ...] = ()
    query: tuple[int, ...] = ()
    key: tuple[int, ...] = ()
    by: Literal["weight", "mass"] = "weight"
    least: float = 0.05
    mass: float = 0.9

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LinesView:
        """The view that the browser sent: numbers and lists of numbers."""
        return cls(
            int(values["layer"]),
            tuple(map(int, values["heads"])),
            tuple(map(int, values["query"])),
            tuple(map(int, values["key"])),
            "mass" if values["by"] == "mass" else "weight",
            float(values["least"]),
            float(values["mass"]),
        )


def lines_data(
    attention: AttentionMap,
    view: LinesView,
    *,
    layer: int | None = None,
    removed: np.ndarray | None = None,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    controls: Controls = "all",
    start_id: str = "",
    file_name: str = "attention",
) -> bytes:
    """What the component receives.

    Args:
        attention: weights (layer, head, query, key) in [0, 1]; all layers travel, or the view's alone where they are
            too many (`MOST_WEIGHTS`).
        view: what is shown first.
        layer: the layer that must be among those that travel; None for the view's.
        removed: (layer, head, query): what hidden tokens took of each row; None where none are hidden.
        theme: colours and type sizes.
        scale: of type and rows; above 1 for a projector.
        controls: "all"; "heads": layers, heads and pins only, for a projector; "none": the figure alone.
        start_id: the browser takes `view` over only when this changes, else it keeps what the reader did.
        file_name: of saved pictures, without suffix.
    """
    everything = attention.weights.size <= MOST_WEIGHTS
    layer = view.layer if layer is None else layer
    layers = slice(None) if everything else slice(layer, layer + 1)
    numbers, levels = quantised(attention.weights[layers])
    header = {
        **theme_header(theme, scale),
        **axes_header(attention),
        **head_header(attention, theme),
        "controls": controls,
        "title": kind_title(attention),
        "wording": asdict(wording(attention)),
        "file_name": file_name,
        "levels": levels,
        "digits": 3 if levels > 255 else 2,
        "first_layer": 0 if everything else layer,
        "layers_sent": len(numbers),
        "start": asdict(view),
        "start_id": start_id,
    }
    arrays = {"weights": numbers}
    if removed is not None:
        arrays["removed"] = removed.astype(np.float32)
    return pack(header, arrays)


def lines(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> LinesView | None:
    """Mount the diagram.

    Args:
        data: from `lines_data`.
        key: its name on the page.
        on_change: called when the reader has changed the view and settled.

    Returns:
        What the reader made of the view; None until it is changed for the first time.
    """
    result = _mount(key=key, data=data, on_view_change=on_change)
    return LinesView.of(result.view) if result.view else None
