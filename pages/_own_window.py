"""One head of a long text near, and the exact weights of a window of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.loading import Model
from engine.long_text.detail import Sublayer, Window, Zoomed, sublayer
from engine.long_text.overview import Overview, long_reading
from engine.long_text.passages import WINDOW, around, centred
from engine.types import Kind
from pages import _shared, _views
from pages._host import host_of
from pages._own import VIEW
from pages._permalink import View, without_pins
from pages._shown import NAMES
from viz.overview import overview_heatmap, row_profile

ONE_TEXT = {"encoder": "Text → text", "decoder": "Text → text before"}
PRESENTER = 1.3  # of type and figures
CLICK = "Click a place of the map, and the window below moves there; the outline shows where it is."
TWO = (
    "The window is of two passages, each {half} tokens long: they look at themselves and at each other, and the text "
    "between them is left out."
)


def draw(
    card: ModelCard, found: Overview, texts: tuple[str, str], place: tuple[Kind, int, int], theme: viz.Theme
) -> None:
    """The section's lower part.

    Args:
        card: of the model.
        found: the overview of the text.
        texts: the text, and the second one.
        place: which attention, layer and head.
        theme: of the page.
    """
    kind, _, head = place
    layer_of = _sublayer(card, texts, place)
    _begin_with(layer_of, head)
    zoomed: Zoomed = _shared.computed_slowly(
        card, "Cells", 1, lambda model, report: layer_of.zoomed(head), ("long near", texts, place)
    )
    sizes = (len(layer_of.query_tokens), len(layer_of.key_tokens))
    rows, columns = around(kind, *sizes, VIEW.current().row, VIEW.current().column)
    window = layer_of.window(rows, columns)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _map(zoomed, kind, sizes, window, theme)
    with right:
        _profile(zoomed, theme)
    st.markdown(f"**The window**: {_shared.literal(window.statement)}")
    if not VIEW.current().presenter:
        _places(kind, sizes, window)
    trace = window.trace(found.request)
    two = "cross" in found.pooled
    host = host_of(
        VIEW,
        _files,
        NAMES["map"] if two else ONE_TEXT,
        special="Special tokens",
        model=card.identity,
    )
    _views.explore(card, trace, theme, partial(_below, window), replace(host, maps={kind: host.maps[kind]}))


def _begin_with(layer_of: Sublayer, head: int) -> None:
    """The window's views begin with the one head; of a large layer there is no other."""
    look, place = VIEW.current().look, layer_of.heads.index(head)
    if look.heads is None or any(one >= len(layer_of.heads) for one in look.heads):
        VIEW.change(look=replace(look, map=layer_of.kind, heads=(place,), layer=0))
        VIEW.touch()


def _sublayer(card: ModelCard, texts: tuple[str, str], place: tuple[Kind, int, int]) -> Sublayer:
    """Queries and keys of the layer, of all its heads where they can be kept; from memory, or read once more."""
    kind, layer, head = place

    def compute(model: Model, report: Callable[[int], None]) -> Sublayer:
        return sublayer(long_reading(model, *texts), kind, layer, head)

    with st.spinner("Reading the text up to this layer…"):
        found = _shared.computed_slowly(card, "Layer", 1, compute, ("long layer", texts, kind, layer))
        if head not in found.heads:
            found = _shared.computed_slowly(card, "Layer", 1, compute, ("long layer", texts, kind, layer, head))
    return found


def _map(zoomed: Zoomed, kind: Kind, sizes: tuple[int, int], window: Window, theme: viz.Theme) -> None:
    """The head's map; a click moves the window."""
    figure = overview_heatmap(
        zoomed.attention,
        zoomed.rows,
        zoomed.columns,
        (zoomed.query_tokens, zoomed.key_tokens),
        windows=[(window.rows, window.columns)],
        theme=theme,
        scale=scale(),
    )

    def clicked() -> None:
        points = st.session_state["own long map"].selection.points
        if points:
            row, column = centred(kind, *sizes, int(points[0]["y"]) - 1, int(points[0]["x"]) - 1)
            _move(row=row, column=column)

    with st.container(key="own-long-near"):
        st.plotly_chart(
            figure,
            theme=None,
            width="content",
            key="own long map",
            on_select=clicked,
            selection_mode="points",
            config={"modeBarButtonsToRemove": ["select2d", "lasso2d"]},
            alt=f"Map of {zoomed.attention.layer_names[0]}, {zoomed.attention.head_names[0]}, in cells",
        )
    if not VIEW.current().presenter:
        st.caption(CLICK)


def _move(**place: int) -> None:
    """The window is elsewhere: pins of the one before mean nothing there."""
    VIEW.change(**place, look=without_pins(VIEW.current().look))
    VIEW.touch()


def _profile(zoomed: Zoomed, theme: viz.Theme) -> None:
    """What the head's rows do along the text."""
    chart = row_profile(zoomed.first, zoomed.entropy, zoomed.distance, theme=theme, width=340, scale=scale())
    with st.container(key="own-long-rows"):
        st.altair_chart(
            chart,
            theme=None,
            width="content",
            alt="What each row of the head does along the text: weight on the first token, entropy, mean distance",
        )


def _places(kind: Kind, sizes: tuple[int, int], window: Window) -> None:
    """Where the window begins, for those who do not click, and what it is of."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, field, most, start in (
            ("Tokens that look, from", "row", sizes[0], window.rows[0]),
            ("Tokens looked at, from", "column", sizes[1], window.columns[0]),
        ):
            key = VIEW.key(field)
            st.session_state[key] = start + 1
            st.number_input(label, 1, most, key=key, width=200, on_change=_typed, args=(field,))
    if kind != "cross" and window.rows != window.columns:
        st.caption(TWO.format(half=WINDOW // 2))


def _typed(field: str) -> None:
    _move(**{field: int(st.session_state[VIEW.key(field)]) - 1})


def _below(window: Window, view: View) -> None:
    if not view.presenter:
        st.caption("Rows are cut out of those of the whole text: here they sum to what is left inside the window.")


def _files(files: Callable[[], None]) -> None:
    """What can be saved of the window; the page's own menu has the link."""
    with st.popover("Save the window", icon=":material/download:"):
        files()


def scale() -> float:
    """How much larger than on a desk figures and type are."""
    return PRESENTER if VIEW.current().presenter else 1.0
