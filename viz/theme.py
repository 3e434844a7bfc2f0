"""Colours and type sizes of every figure: one fixed colour per head, one scale per meaning, on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HEAD_COLOURS: tuple[str, ...] = (
    "#6633ff",  # violet
    "#ba8700",  # ochre
    "#3399de",  # sky
    "#ba0099",  # magenta
    "#007833",  # green
    "#ff5466",  # coral
    "#6678ff",  # periwinkle
    "#ab5478",  # mauve
)
"""One colour per head index, the same on light and dark pages.

Found by a search over sRGB that keeps a contrast of at least 3:1 (WCAG 2.1, non-text) to both page backgrounds and
spreads the colours in CIELAB, with full colour vision and under simulated deuteranopia and protanopia (Machado,
Oliveira and Fernandes 2009). Eight is what colour-blind eyes tell apart: from the ninth head on, colours repeat and
the line becomes dashed, from the seventeenth on dotted (`head_dash`).
"""

HEAD_DASHES: tuple[tuple[int, int], ...] = ((1, 0), (9, 5), (2, 4))
"""Strokes of heads 0-7, 8-15 and 16-23, as (on, off) pixels; (1, 0) is solid. They repeat every 24 heads."""


@dataclass(frozen=True, slots=True)
class Theme:
    """What a figure looks like on one kind of page.

    Attributes:
        name: "light" or "dark".
        background: the page's colour, drawn behind exported figures too.
        text: labels and titles.
        muted: special tokens, subtitles and axes; still at least 4.5:1 on the background.
        faint: grid lines and the empty part of a bar.
        accent: the token pointed at, and bars.
        mask: cells that a mask forbids; no colour of `sequential` is grey.
        hatch: the strokes across masked cells.
        sequential: colours of equal steps of a weight from 0 (the background) to 1.
        diverging: colours of equal steps from -1 over 0 (the background) to 1; both arms have the same contrast.
        font: the family; only what every system has, nothing is fetched.
        font_size: labels, in pixels, legible from the back of a classroom.
        small_size: subtitles, tick labels and numbers in cells, in pixels.
        title_size: the title, in pixels.
    """

    name: str
    background: str
    text: str
    muted: str
    faint: str
    accent: str
    mask: str
    hatch: str
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    font: str = "Helvetica, Arial, sans-serif"
    font_size: int = 16
    small_size: int = 13
    title_size: int = 20


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1a1c24",
    muted="#5f6470",
    faint="#e3e5ea",
    accent="#0b62c4",
    mask="#d9d9d9",
    hatch="#a3a3a3",
    sequential=("#ffffff", "#d3e5f7", "#9cc6ec", "#5b9edb", "#2674c0", "#0f4c93", "#08285c"),
    diverging=("#7a3300", "#ad5a0c", "#f2c08a", "#ffffff", "#9cc6ec", "#2674c0", "#083a78"),
)
DARK = Theme(
    name="dark",
    background="#0e1117",
    text="#fafafa",
    muted="#a3a8b4",
    faint="#2b303b",
    accent="#66b2ff",
    mask="#3d3d3d",
    hatch="#6b6b6b",
    sequential=("#0e1117", "#122a4a", "#17487c", "#266db0", "#4f97d9", "#97c5f0", "#e6f3ff"),
    diverging=("#ffd9ad", "#e08a35", "#7d4210", "#0e1117", "#17487c", "#4f97d9", "#cfe6ff"),
)
THEMES: dict[str, Theme] = {"light": LIGHT, "dark": DARK}


def head_colour(head: int) -> str:
    """The colour of a head, "#rrggbb": the same whichever heads are shown. Heads count from 0."""
    return HEAD_COLOURS[head % len(HEAD_COLOURS)]


def head_dash(head: int) -> tuple[int, int]:
    """The stroke of a head, (on, off) pixels: tells heads apart that share a colour. Heads count from 0."""
    return HEAD_DASHES[head // len(HEAD_COLOURS) % len(HEAD_DASHES)]


def colour_scale(colours: tuple[str, ...]) -> list[list[float | str]]:
    """Colours of equal steps as Plotly's colour scale: [[0.0, first], ..., [1.0, last]]."""
    return [[index / (len(colours) - 1), colour] for index, colour in enumerate(colours)]


def chart_config(theme: Theme) -> dict[str, Any]:
    """Vega-Lite's `config` for Altair charts: background, type and no frame.

    Streamlit lays its own theme over a chart's: pass `theme=None` to `st.altair_chart`.
    """
    words = {"labelColor": theme.text, "titleColor": theme.text, "labelFontSize": theme.small_size}
    return {
        "background": theme.background,
        "font": theme.font,
        "view": {"stroke": None},
        "axis": words | {"gridColor": theme.faint, "domainColor": theme.muted, "tickColor": theme.muted},
        "legend": words | {"labelFontSize": theme.font_size, "unselectedOpacity": 0.25},
        "title": {
            "color": theme.text,
            "fontSize": theme.title_size,
            "subtitleColor": theme.muted,
            "subtitleFontSize": theme.small_size,
            "anchor": "start",
            "offset": 12,
        },
    }


def plotly_layout(theme: Theme) -> dict[str, Any]:
    """The layout that every Plotly figure starts from, as `go.Figure(data, layout)`.

    Pass `theme=None` to `st.plotly_chart` to keep it.
    """
    return {
        "template": {"layout": {"colorway": list(HEAD_COLOURS)}},  # in place of Plotly's own, 6 kB long
        "paper_bgcolor": theme.background,
        "plot_bgcolor": theme.background,
        "font": {"family": theme.font, "size": theme.small_size, "color": theme.text},
        "hoverlabel": {
            "bgcolor": theme.background,
            "bordercolor": theme.muted,
            "font": {"family": theme.font, "size": theme.font_size, "color": theme.text},
        },
    }
