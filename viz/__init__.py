"""Figures: pure functions from a typed value of the engine to an Altair chart or a Plotly figure.

`lines` draws the line diagram of one layer, `heatmap` the weights of one head, `heatmap_pair` and `heatmap_difference`
those of two, `token_strip` the probabilities of an output; `theme` holds the colours, one per head and the same in
every figure. Nothing here knows torch or streamlit.
"""

from viz.axes import HeadOf
from viz.heatmap import heatmap, heatmap_difference, heatmap_pair
from viz.lines import lines
from viz.theme import DARK, HEAD_COLOURS, LIGHT, THEMES, Theme, head_colour, head_dash
from viz.tokens import token_strip

__all__ = [
    "DARK",
    "HEAD_COLOURS",
    "LIGHT",
    "THEMES",
    "HeadOf",
    "Theme",
    "head_colour",
    "head_dash",
    "heatmap",
    "heatmap_difference",
    "heatmap_pair",
    "lines",
    "token_strip",
]
