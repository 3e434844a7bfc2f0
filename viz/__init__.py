"""Figures: pure functions from a typed value of the engine to an Altair chart, a Plotly figure or HTML.

`lines` draws the line diagram of one layer, `heatmap` the weights of one head, `heatmap_pair` and `heatmap_difference`
those of two, `token_strip` the probabilities of an output, `distribution` what may come next, `measure_rows` several
measures of the same words and `agreement_table` how far they agree; `connectivity_heatmap` draws how far each output
of a text rests on each character, `distance_chart`, `memorization_chart`, `accuracy_chart`, `agreement_chart` and
`row_comparison` compare networks and measures in that, `state_heatmap` and `unit_lines` draw hidden units;
`bottleneck_chart` draws scores by the length of the source, `encoder_state_heatmap` and `encoder_overview` an encoder;
`small_table` and `text_change` are text; `theme` holds the colours, one per head and the same in every figure. Nothing
here knows torch or streamlit.
"""

from viz.axes import HeadOf
from viz.bottleneck import bottleneck_chart, bottleneck_summary
from viz.connectivity import connectivity_heatmap
from viz.distribution import distribution
from viz.encoder_states import encoder_overview, encoder_state_heatmap, overview_text
from viz.expectation import expected_words
from viz.heatmap import heatmap, heatmap_difference, heatmap_pair
from viz.lines import lines
from viz.measures import agreement_table, measure_rows
from viz.memorization import (
    NETWORK_COLOURS,
    accuracy_chart,
    agreement_chart,
    distance_chart,
    memorization_chart,
    network_colours,
    row_comparison,
)
from viz.states import state_heatmap, unit_lines
from viz.texts import small_table, text_change
from viz.theme import DARK, HEAD_COLOURS, LIGHT, THEMES, Theme, head_colour, head_dash
from viz.tokens import token_strip

__all__ = [
    "DARK",
    "HEAD_COLOURS",
    "LIGHT",
    "NETWORK_COLOURS",
    "THEMES",
    "HeadOf",
    "Theme",
    "accuracy_chart",
    "agreement_chart",
    "agreement_table",
    "bottleneck_chart",
    "bottleneck_summary",
    "connectivity_heatmap",
    "distance_chart",
    "distribution",
    "encoder_overview",
    "encoder_state_heatmap",
    "expected_words",
    "head_colour",
    "head_dash",
    "heatmap",
    "heatmap_difference",
    "heatmap_pair",
    "lines",
    "measure_rows",
    "memorization_chart",
    "network_colours",
    "overview_text",
    "row_comparison",
    "small_table",
    "state_heatmap",
    "text_change",
    "token_strip",
    "unit_lines",
]
