"""The training curve: losses against time, as a run's log has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from viz.theme import LIGHT, Theme, chart_config, head_colour

LOSSES = {
    "loss": "training",
    "validation_loss": "validation",
    "averaged_validation_loss": "validation, averaged weights",
}


def training_curve(log: Sequence[Mapping[str, float]], theme: Theme = LIGHT, unit: str = "target token") -> alt.Chart:
    """Draw the loss that was trained on, a cross-entropy in nats, against minutes of training.

    Args:
        log: the lines of a run's log; each has "minutes" and one or more of `LOSSES`.
        theme: colours and type sizes.
        unit: what the loss is the mean over, for the axis: "target token", "character".

    Returns:
        An Altair chart with one line per kind of loss; a kind measured once is a point.
    """
    rows = [
        {"minutes": line["minutes"], "loss": line[key], "of": name}
        for line in log
        for key, name in LOSSES.items()
        if key in line
    ]
    kinds = [name for name in LOSSES.values() if any(row["of"] == name for row in rows)]
    colours = alt.Scale(domain=kinds, range=[head_colour(index) for index in range(len(kinds))])
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(point={"size": 30})
        .encode(
            x=alt.X("minutes:Q", title="minutes of training"),
            y=alt.Y("loss:Q", title=f"cross-entropy per {unit}, nats", scale=alt.Scale(zero=False)),
            color=alt.Color("of:N", scale=colours, legend=alt.Legend(title=None, orient="top-right", labelLimit=320)),
        )
        .properties(width=640, height=320)
        .configure(**chart_config(theme))
    )
