from __future__ import annotations

import altair as alt

from viz.curve import training_curve

LOG = [
    {"minutes": 1.0, "loss": 5.0, "rate": 0.1},
    {"minutes": 2.0, "loss": 4.0},
    {"minutes": 2.0, "validation_loss": 4.5},
    {"minutes": 3.0, "averaged_validation_loss": 4.25},
]


def test_every_logged_loss_is_a_point_of_its_line() -> None:
    values = training_curve(LOG).data.values
    assert [(row["minutes"], row["loss"], row["of"]) for row in values] == [
        (1.0, 5.0, "training"),
        (2.0, 4.0, "training"),
        (2.0, 4.5, "validation"),
        (3.0, 4.25, "validation, averaged weights"),
    ]


def test_only_losses_that_were_logged_get_a_colour() -> None:
    scale = training_curve(LOG[:2]).to_dict()["encoding"]["color"]["scale"]
    assert scale["domain"] == ["training"] and len(scale["range"]) == 1


def test_the_axis_says_what_the_loss_is_the_mean_over() -> None:
    def title(chart: alt.Chart) -> str:
        return chart.to_dict()["encoding"]["y"]["title"]

    assert title(training_curve(LOG)) == "cross-entropy per target token, nats"
    assert title(training_curve(LOG, unit="character")) == "cross-entropy per character, nats"


def test_the_chart_survives_json() -> None:
    chart = training_curve(LOG)
    assert alt.Chart.from_json(chart.to_json()).to_dict() == chart.to_dict()
