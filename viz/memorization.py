"""How far networks look back while they complete words, how right they are, and how far measures of that agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from viz.characters import EACH_UP_TO, CharacterAxis, marked_rule, position_axis
from viz.labels import visible
from viz.theme import HEAD_COLOURS, LIGHT, Theme, chart_config

NETWORK_COLOURS: dict[str, str] = {
    "tanh RNN": HEAD_COLOURS[1],
    "GRU": HEAD_COLOURS[2],
    "LSTM": HEAD_COLOURS[0],
    "nested LSTM": HEAD_COLOURS[3],
    "Transformer": HEAD_COLOURS[4],
}
"""One colour per network of word completion, the same in every chart."""

KNOWN = 8
"""The most letters of a word that charts by letters known go to."""
LOWEST = 1e-6
"""The lowest share on a logarithmic axis."""
WINDOW = 80
"""The most characters before a position that `row_comparison` draws, itself included."""
TABLE = "prefix frequencies"
"""What charts call the baseline that knows a word's first letters and how frequent words are."""

_WIDTH, _HEIGHT = 600, 320
_HERE, _AVERAGED = "this text", "mean over validation texts"
_NETWORKS, _ARTICLE = "these networks", "Madsen 2019"
_STRIP = 32  # pixels of a measure's strip
_DASHES = {_HERE: [1, 0], _AVERAGED: [7, 4], _NETWORKS: [1, 0], _ARTICLE: [2, 3]}
_LINE = 2.5


def network_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each network, "#rrggbb": those of `NETWORK_COLOURS`, and for others the next that are left."""
    left = [colour for colour in HEAD_COLOURS if colour not in NETWORK_COLOURS.values()]
    unique = list(dict.fromkeys(names))
    others = [name for name in unique if name not in NETWORK_COLOURS]
    new = {name: left[index % len(left)] for index, name in enumerate(others)}
    return {name: NETWORK_COLOURS.get(name) or new[name] for name in unique}


def distance_chart(
    profiles: Mapping[str, Sequence[float]],
    averaged: Mapping[str, Sequence[float]] | None = None,
    *,
    theme: Theme = LIGHT,
    longest: int = 60,
    log: bool = False,
    width: int = _WIDTH,
) -> alt.LayerChart:
    """Draw how much of an output's influence comes from how many characters back, one line per network.

    Args:
        profiles: by network, the mean share of a row's influence at each distance from 0, the character just read; in
            [0, 1]. NaN where a distance has no row.
        averaged: the same over validation texts, dashed; None for none.
        theme: colours and type sizes.
        longest: the largest distance to draw, in characters.
        log: whether the share has a logarithmic axis, which leaves out what is below `LOWEST`.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no number to draw, or a share is outside [0, 1].
    """
    rows: list[dict[str, Any]] = [
        {"network": name, "of": of, "distance": distance, "share": share}
        for of, part in ((_HERE, profiles), (_AVERAGED, averaged or {}))
        for name, shares in part.items()
        for distance, share in enumerate(_numbers(shares)[: longest + 1])
    ]
    least = _check_shares(rows)
    if log:
        rows = [row | {"share": None} if (row["share"] or 0.0) < LOWEST else row for row in rows]
        powers = [10.0**power for power in range(math.floor(math.log10(max(least, LOWEST))), 1)]
        scale = alt.Scale(type="log", domain=[powers[0], 1], nice=False)
        axis = alt.Axis(values=powers, labelExpr="format(100 * datum.value, '~r') + '%'")
    else:
        scale, axis = alt.Scale(zero=True), alt.Axis(format="~%", tickCount=5)
    base = _chart(rows).encode(
        x=alt.X("distance:Q", title="characters back", scale=alt.Scale(domain=[0, longest], nice=False)),
        y=alt.Y("share:Q", title="share of the influence", scale=scale, axis=axis),
    )
    lines = base.mark_line(strokeWidth=_LINE).encode(
        color=_colour((*profiles, *(averaged or {}))), strokeDash=_dashes(_HERE, _AVERAGED if averaged else "")
    )
    told = _told(base, alt.Tooltip("distance:Q", title="characters back"), alt.Tooltip("share:Q", format=".3~%"))
    return _layered([lines, told], theme, width)


def memorization_chart(
    scores: Mapping[str, Sequence[tuple[int, float, int]]],
    averaged: Mapping[str, Sequence[tuple[int, float, float, float]]] | None = None,
    *,
    theme: Theme = LIGHT,
    width: int = _WIDTH,
) -> alt.LayerChart:
    """Draw how much of an output's influence comes from outside its word, by how many letters of it are known.

    Args:
        scores: by network, (letters known, share in [0, 1], rows it is the mean of); beyond `KNOWN` letters not drawn.
        averaged: by network, over validation texts, (letters known, share, its interval's low and high end), dashed
            with a band; None for none.
        theme: colours and type sizes.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no number to draw, or a share is outside [0, 1].
    """
    rows: list[dict[str, Any]] = [
        {"network": name, "of": _HERE, "known": known, "share": share, "detail": f"mean of {count} outputs"}
        for name, own in scores.items()
        for known, share, count in own
    ]
    rows += [
        {"network": name, "of": _AVERAGED, "known": known, "share": share, "low": low, "high": high}
        | {"detail": "" if math.isnan(low + high) else f"interval {low:.1%} to {high:.1%}"}
        for name, mean in (averaged or {}).items()
        for known, share, low, high in mean
    ]
    rows = [_for_json(row) for row in rows if row["known"] <= KNOWN]
    _check_shares(rows)
    colour = _colour((*scores, *(averaged or {})))
    bare = _chart(rows)
    base = bare.encode(x=_known_axis(), y=_share_axis("influence from outside the word"))
    bands = (
        bare.transform_filter(f"datum.of === '{_AVERAGED}'")
        .mark_area(opacity=0.18, clip=True)
        .encode(x=_known_axis(), y=_share_axis("influence from outside the word", "low"), y2="high:Q", color=colour)
    )
    lines = base.mark_line(strokeWidth=_LINE).encode(
        color=colour, strokeDash=_dashes(_HERE, _AVERAGED if averaged else "")
    )
    points = base.transform_filter(f"datum.of === '{_HERE}'").mark_point(filled=True, size=55, opacity=1)
    told = _told(
        base,
        alt.Tooltip("known:Q", title="letters known"),
        alt.Tooltip("share:Q", title="from outside the word", format=".1%"),
        alt.Tooltip("detail:N"),
    )
    return _layered([bands, lines, points.encode(color=colour), told], theme, width)


def accuracy_chart(
    accuracy: Mapping[str, Sequence[float | None]],
    table: Sequence[float | None] = (),
    article: Mapping[str, Sequence[float]] | None = None,
    *,
    theme: Theme = LIGHT,
    width: int = _WIDTH,
) -> alt.LayerChart:
    """Draw how often a network's first suggestion is the word, by how many letters of it are known.

    Args:
        accuracy: by network, at each number of letters from 0, in [0, 1]; None where nothing was measured.
        table: the same of the most frequent word with those letters; a thick grey line. Empty for none.
        article: the same as published with the article, thin and dotted, in the colours of their networks; None for
            none.
        theme: colours and type sizes.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no number to draw, or a share is outside [0, 1].
    """
    article = article or {}
    rows = [
        {"network": name, "of": of, "known": known, "share": share}
        for of, part in ((_NETWORKS, accuracy), (_ARTICLE, article), (TABLE, {TABLE: table}))
        for name, shares in part.items()
        for known, share in enumerate(_numbers(shares)[: KNOWN + 1])
    ]
    _check_shares(rows)
    colour = _colour((*accuracy, *article), {TABLE: theme.muted} if table else {})
    base = _chart(rows).encode(x=_known_axis(), y=_share_axis("first suggestion is the word"))
    reference = base.transform_filter(f"datum.of === '{TABLE}'").mark_line(strokeWidth=8, opacity=0.45)
    here = base.transform_filter(f"datum.of === '{_NETWORKS}'")
    points = here.mark_point(filled=True, size=45, opacity=1)
    lines = (
        base.transform_filter(f"datum.of !== '{TABLE}'")
        .mark_line()
        .encode(
            color=colour,
            strokeDash=_dashes(_NETWORKS, _ARTICLE if article else ""),
            strokeWidth=alt.condition(f"datum.of === '{_ARTICLE}'", alt.value(1.8), alt.value(_LINE)),
        )
    )
    told = _told(
        base,
        alt.Tooltip("known:Q", title="letters known"),
        alt.Tooltip("share:Q", title="first suggestion right", format=".1%"),
    )
    return _layered([reference.encode(color=colour), lines, points.encode(color=colour), told], theme, width)


def agreement_chart(
    rows: Mapping[str, Sequence[float]],
    text: str,
    *,
    theme: Theme = LIGHT,
    marked: int | None = None,
    title: str = "rank agreement",
    width: int = 720,
) -> alt.LayerChart:
    """Draw how far two measures order the same characters alike, at each position of a text.

    Args:
        rows: by name, Spearman's rank correlation at each of the T positions, in [−1, 1]; NaN where there is no order
            to compare, which leaves a gap.
        text: T characters.
        theme: colours and type sizes.
        marked: a position with a line through it; None for none.
        title: of the vertical axis.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no row, a row has another length than the text, or the text has no position `marked`.
    """
    _check_rows(rows, len(text))
    data = [
        {"network": name, "position": place, "number": place + 1, "agreement": value, "character": visible(letter)}
        for name, values in rows.items()
        for place, (value, letter) in enumerate(zip(_numbers(values), text, strict=True))
    ]
    x = position_axis(text, width, theme)
    y = alt.Y("agreement:Q", title=title, scale=alt.Scale(domain=[-1, 1]), axis=alt.Axis(values=[-1, -0.5, 0, 0.5, 1]))
    base = _chart(data).encode(x=x, y=y)
    colour = _colour(rows) if len(rows) > 1 else alt.value(network_colours(rows)[next(iter(rows))])
    size = 30 if len(text) <= EACH_UP_TO else 8
    told = _told(
        base,
        alt.Tooltip("character:N"),
        alt.Tooltip("number:Q", title="position"),
        alt.Tooltip("agreement:Q", format=".2f"),
    )
    zero = alt.Chart(alt.InlineData(values=[{"agreement": 0}])).mark_rule(color=theme.muted).encode(y=y)
    lines = base.mark_line(strokeWidth=2, strokeJoin="round", point={"size": size, "filled": True}).encode(color=colour)
    rule = [] if marked is None else [marked_rule(text, marked, x, theme)]
    return _layered([zero, *rule, lines, told], theme, width, 140)


def row_comparison(
    text: str,
    rows: Mapping[str, Sequence[float]],
    position: int,
    *,
    theme: Theme = LIGHT,
    signed: bool = False,
    width: int = 720,
) -> alt.LayerChart:
    """Draw several measures of one output as strips over the characters that it has read, each with its own colours.

    A strip's numbers are divided by its largest |value| at all positions up to `position`, which its name says: colours
    compare the characters of one strip, not two strips.

    Args:
        text: T characters.
        rows: by name, a measure of each character from 0, at least `position` + 1 of them; from top to bottom.
        position: the output's own; the last `WINDOW` characters up to it are drawn.
        theme: colours and type sizes.
        signed: whether all strips have the colours of signed numbers, blue above 0 and brown below; else only those
            with a number below 0 do.
        width: of the plot, in pixels.

    Raises:
        ValueError: when there is no row, one is too short or not finite, or the text has no such position.
    """
    CharacterAxis.of(text).cell_of(position, "position")
    _check_rows(rows, position + 1, exactly=False)
    first = max(position + 1 - WINDOW, 0)
    shown = text[first : position + 1]
    cells, names = [], []
    for name, row in rows.items():
        values = [float(value) for value in row[: position + 1]]
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{name}: not all of its numbers are finite, leave the measure out")
        peak = max(map(abs, values))
        names.append(f"{name}, up to {peak:.2g}")
        cells += [
            {
                "measure": names[-1],
                "left": place - 0.5,
                "right": place + 0.5,
                "number": first + place + 1,
                "character": visible(letter),
                "value": value,
                "share": value / peak if peak else 0.0,
                "signed": signed or min(values) < 0,
            }
            for place, (value, letter) in enumerate(zip(values[first:], shown, strict=True))
        ]
    y = alt.Y("measure:N", sort=names, title=None, axis=alt.Axis(labelLimit=320, ticks=False, domain=False))
    strips = [
        _chart([cell for cell in cells if cell["signed"] is kind])
        .mark_rect(stroke=theme.faint, strokeWidth=0.5)
        .encode(
            x=position_axis(shown, width, theme, "left", "characters up to the output"),
            x2="right:Q",
            y=y,
            color=alt.Color("share:Q", scale=_steps(colours, least), legend=None),
            tooltip=[
                alt.Tooltip("measure:N"),
                alt.Tooltip("character:N"),
                alt.Tooltip("number:Q", title="position"),
                alt.Tooltip("value:Q", format=".4~g"),
            ],
        )
        for kind, colours, least in ((False, theme.sequential, 0), (True, theme.diverging, -1))
        if any(cell["signed"] is kind for cell in cells)
    ]
    chart: alt.LayerChart = _layered(strips, theme, width, _STRIP * len(rows)).resolve_scale(color="independent")
    return chart


def _chart(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _layered(layers: list[alt.Chart], theme: Theme, width: int, height: int = _HEIGHT) -> alt.LayerChart:
    chart = alt.LayerChart(layer=layers).properties(width=width, height=height)
    done: alt.LayerChart = chart.configure(**chart_config(theme))
    return done


def _colour(names: Iterable[str], more: Mapping[str, str] | None = None) -> alt.Color:
    colours = network_colours(names) | dict(more or {})
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    legend = alt.Legend(title=None, labelLimit=260, symbolType="stroke", symbolStrokeWidth=4, symbolOpacity=1)
    return alt.Color("network:N", scale=scale, legend=legend)


def _dashes(*kinds: str) -> alt.StrokeDash:
    """A stroke for each kind of number; a legend where there is more than one."""
    shown = [kind for kind in kinds if kind]
    scale = alt.Scale(domain=shown, range=[_DASHES[kind] for kind in shown])
    legend = alt.Legend(title=None, labelLimit=260, symbolType="stroke", symbolSize=400, symbolStrokeWidth=2)
    return alt.StrokeDash("of:N", scale=scale, legend=legend if len(shown) > 1 else None)


def _told(base: alt.Chart, *tooltips: alt.Tooltip) -> alt.Chart:
    """Unseen points that say what is under the pointer."""
    of = [alt.Tooltip("network:N", title="of")]
    told: alt.Chart = base.mark_point(size=160, opacity=0, filled=True).encode(tooltip=of + list(tooltips))
    return told


def _known_axis() -> alt.X:
    axis = alt.Axis(values=list(range(KNOWN + 1)), format="d", grid=False)
    return alt.X(
        "known:Q", title="letters of the word known", axis=axis, scale=alt.Scale(domain=[0, KNOWN], nice=False)
    )


def _share_axis(title: str, field: str = "share") -> alt.Y:
    axis = alt.Axis(format="%", tickCount=5)
    return alt.Y(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(domain=[0, 1]))


def _steps(colours: Sequence[str], least: float) -> alt.Scale:
    """Colours of equal steps from `least` to 1."""
    count = len(colours) - 1
    domain = [least + (1 - least) * index / count for index in range(len(colours))]
    return alt.Scale(domain=domain, range=list(colours), interpolate="rgb")


def _numbers(values: Iterable[float | None]) -> list[float | None]:
    """For JSON, which has no NaN."""
    return [None if value is None or math.isnan(value) else float(value) for value in values]


def _for_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def _check_shares(rows: Sequence[Mapping[str, Any]]) -> float:
    """The smallest above 0, or 1 where none is."""
    shares = [row["share"] for row in rows if row["share"] is not None]
    if not shares:
        raise ValueError("there is no number to draw: give at least one network with one")
    if min(shares) < 0 or max(shares) > 1 + 1e-6:  # sums of float32 end a little above 1
        raise ValueError(f"shares from {min(shares):g} to {max(shares):g}: give shares of 1, no percentages")
    return min((share for share in shares if share > 0), default=1.0)


def _check_rows(rows: Mapping[str, Sequence[float]], length: int, *, exactly: bool = True) -> None:
    if not rows:
        raise ValueError("rows: give at least one")
    for name, values in rows.items():
        if len(values) < length or (exactly and len(values) > length):
            raise ValueError(f"{name} has {len(values)} numbers for {length} characters: give one for each")
