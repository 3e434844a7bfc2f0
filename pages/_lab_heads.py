"""Which heads look: the preference of every head for one of the candidates, and one head in both sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas  # type: ignore[import-untyped]
import streamlit as st

import viz
from engine.analysis import merge_words
from engine.catalogue import ModelCard
from engine.compare import common_axes
from engine.coreference import keeps_preference
from engine.errors import InputError
from engine.interventions import Head
from engine.measures import value_weighted_of
from engine.tables import HeadRow, head_rows
from engine.types import KINDS, AttentionMap, Kind
from engine.verdict import Side, change_of, ranked, signed
from pages import _lab, _shared
from pages._lab import VIEW
from pages._languages import languages_of
from pages._pair import PairShown, Reading
from pages._shown import NAMES
from viz.components.lines import LinesView, lines, lines_data
from viz.components.matrix import Matrix, matrix, matrix_data
from viz.components.save import save_picture

SHOWN = {"change": "Change from first to second", "first": "First sentence", "second": "Second sentence"}
WEIGHTS = {"raw": "Attention weights", "value": "Value-weighted"}
KEEPS = "prefers the same noun in both sentences"
OFF_HELP = "What switching the head off adds to the log-odds, in nats"
COLUMNS = {
    "map": st.column_config.TextColumn("map"),
    "first": st.column_config.NumberColumn("preference, first", format="%+.3f"),
    "second": st.column_config.NumberColumn("preference, second", format="%+.3f"),
    "change": st.column_config.NumberColumn("change", format="%+.3f"),
    "off_first": st.column_config.NumberColumn("off: log-odds, first", format="%+.3f", help=OFF_HELP),
    "off_second": st.column_config.NumberColumn("off: log-odds, second", format="%+.3f", help=OFF_HELP),
    "keeps": st.column_config.CheckboxColumn("keeps", help="It prefers the same noun in both sentences"),
}
VALUE_HELP = (
    "How much each word adds to the head's output: the norm of the weighted, transformed value vector "
    "(Kobayashi et al. 2020). Rows are divided by their sums, so they too sum to 1."
)

DECODER_ROWS = (
    " A decoder row is that of the word read, the mean over its pieces; the preference counts only the step that says "
    "the pronoun."
)


def draw(card: ModelCard, pair: PairShown, sides: tuple[Side, Side] | None, theme: viz.Theme) -> None:
    """Matrix, table, and the chosen head."""
    first, second = (side.margins for side in pair.sides)
    st.segmented_control(
        "Preference for A over B",
        list(SHOWN),
        format_func=SHOWN.__getitem__,
        required=True,
        help="What the pronoun gives to candidate A minus what it gives to candidate B; several pieces count as one.",
        **VIEW.widget("shown"),
    )
    view = VIEW.current()
    values = {
        "first": first,
        "second": second,
        "change": change_of(pair.sides),
    }[view.shown]
    head = chosen_head(values)
    pick_head(pair, values, head, theme, view.shown)
    if not view.presenter:
        _table(pair, sides)
    if head is None:
        st.info("No head's attention can be read. Mark the pronoun and the two nouns in the sentences above.")
        return
    _one_head(card, pair, head, theme)


def chosen_head(values: Mapping[Kind, np.ndarray]) -> Head | None:
    """The head that the reader chose, if it is there; else the one with the largest value. None where there is none."""
    head = VIEW.current().head
    order = ranked(values)
    if head is not None and head.kind in values:
        layers, heads = values[head.kind].shape
        if head.layer < layers and head.head < heads:
            return head
        st.warning(f"There is no {head.name}: you see another one.")
    return order[0][0] if order else None


def pick_head(
    pair: PairShown, values: Mapping[Kind, np.ndarray], head: Head | None, theme: viz.Theme, shown: str
) -> None:
    """The matrix of preferences; a click chooses a head."""
    a, b = pair.names
    first, second = (side.margins for side in pair.sides)
    matrices = [
        Matrix(
            id=kind,
            name=NAMES["map"][kind],
            values=values[kind],
            notes=_both(first[kind], second[kind]),
            marked=keeps_preference(first[kind], second[kind]),
            empty=next((reason for side in pair.sides if (reason := side.where.missing(kind))), ""),
        )
        for kind in KINDS
    ]
    if shown == "change":
        quantity, ends = f"Preference for {a}, first − second sentence", (f"more {a} in 2", f"more {a} in 1")
    else:
        quantity, ends = f"Preference: {a} − {b}", (b, a)
    data = matrix_data(
        matrices,
        quantity=quantity,
        limit=None,
        ends=ends,
        marked_means=KEEPS,
        chosen=head,
        theme=theme,
        scale=_lab.scale(),
        file_name="preferences",
    )
    with st.container(key="matrix"):
        matrix(data, key="lab matrix", on_change=picked("lab matrix"))


def picked(key: str) -> Callable[[], None]:
    """What a click on a matrix does."""

    def take() -> None:
        sent = st.session_state[key].picked
        if sent:
            VIEW.change(head=Head(sent["id"], int(sent["layer"]), int(sent["head"])))

    return take


def _both(first: np.ndarray, second: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """For each head its preference in both sentences."""
    return tuple(
        tuple(f"first {signed(one)}, second {signed(other)}" for one, other in zip(*rows, strict=True))
        for rows in zip(first, second, strict=True)
    )


def _table(pair: PairShown, sides: tuple[Side, Side] | None) -> None:
    """All heads as rows; a click on a heading sorts them, a click on a row chooses the head."""
    rows = head_rows([side.margins for side in pair.sides], [side.sweep.change for side in sides] if sides else None)
    frame = pandas.DataFrame(rows, columns=HeadRow._fields)

    def chosen() -> None:
        places = st.session_state["lab table"].selection.rows
        if places:
            row = rows[places[0]]
            VIEW.change(head=Head(row.map, row.layer - 1, row.head - 1))

    with st.expander("All heads as a table"):
        st.dataframe(
            frame,
            hide_index=True,
            height=280,
            key="lab table",
            on_select=chosen,
            selection_mode="single-row",
            column_config=COLUMNS,
        )


def _one_head(card: ModelCard, pair: PairShown, head: Head, theme: viz.Theme) -> None:
    """The head's lines in both sentences, and their difference."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.subheader(f"{NAMES['map'][head.kind]}, layer {head.layer + 1}, head {head.head + 1}", anchor=False)
        if weighs(card):
            st.segmented_control(
                "Lines",
                list(WEIGHTS),
                format_func=WEIGHTS.__getitem__,
                required=True,
                help=VALUE_HELP,
                **VIEW.widget("weights"),
            )
    by_value = weighs(card) and VIEW.current().weights == "value"
    maps = [_map(card, side, head.kind) for side in pair.sides]
    for number, (column, side, attention) in enumerate(
        zip(st.columns(2, gap="large"), pair.sides, maps, strict=True), 1
    ):
        with column, st.container(key=f"lines-{number}"):
            _shared.plain_text(side.text, size="1rem", lang=languages_of(card).read)
            _lines(side, attention, head, theme, number)
    try:
        one, other = common_axes(*maps)
    except InputError as reason:
        st.info(_shared.literal(str(reason)))
        return
    places = (viz.HeadOf(attention, head.layer, head.head) for attention in (one, other))
    with st.container(key="heatmap"):
        figure = viz.heatmap_difference(*places, theme=theme, scale=_lab.scale())
        st.plotly_chart(figure, theme=None, width="content", alt="Heatmap: first sentence minus second sentence")
    _lab.keep_legible("heatmap", figure.layout.width)
    save_picture("heatmap", f"{head.kind}-difference", key="lab save difference")
    st.caption(
        ("Value-weighted maps, rows divided by their sums. " if by_value else "")
        + "Words: the sum over a word's key pieces, the mean over its query pieces."
        + (DECODER_ROWS if head.kind == "decoder" else "")
    )


def weighs(card: ModelCard) -> bool:
    """Whether values can be weighed: what W_O makes of them is known of our own models only."""
    return card.path is None


def _map(card: ModelCard, side: Reading, kind: Kind) -> AttentionMap:
    if weighs(card) and VIEW.current().weights == "value":
        return _shared.computed_arrays(card, value_weighted_of, side.text, kind)
    return side.trace.maps[kind]


def _lines(side: Reading, attention: AttentionMap, head: Head, theme: viz.Theme, number: int) -> None:
    merged = merge_words(attention)
    # Row w of a decoder or cross map between words predicts word w.
    pins = side.marked[0] if head.kind == "encoder" else side.said[0]
    look = LinesView(layer=head.layer, heads=(head.head,), query=tuple(pins))
    data = lines_data(
        merged,
        look,
        theme=theme,
        scale=_lab.scale(),
        controls="none",
        start_id=f"{VIEW.epoch()} {head} {pins}",
        file_name=f"{head.kind}-sentence-{number}",
    )
    lines(data, key=f"lab lines {number}")
