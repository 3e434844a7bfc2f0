"""One head of a long text near, and the exact weights of a window of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

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
from pages._own_attention import ONE_TEXT
from pages._permalink import View, without_pins
from pages._shown import NAMES
from viz.overview import overview_heatmap, row_profile

PRESENTER = 1.3  # of type and figures
CLICK = "Click a place of the map, and the window below moves there; the outline shows where it is."
INSIDE = (
    "Rows are cut out of those of the whole text: here they sum to what is left inside the window, and what lines are "
    "said to carry is a share of that."
)
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
    presenter = VIEW.current().presenter
    left, right = (st.container(), st.container()) if presenter else st.columns([3, 2], gap="medium")
    with left:
        _map(zoomed, kind, window, theme)
    with right:
        _profile(zoomed, theme)
    said = st.empty()
    if window.whole:
        _forget_place()
    elif not presenter:
        _places(kind, window)
    trace = window.trace(found.request)
    two = "cross" in found.pooled
    host = host_of(
        VIEW,
        _files,
        NAMES["map"] if two else ONE_TEXT,
        special="Special tokens",
        model=card.identity,
    )
    below = partial(_below, window, said)
    _views.explore(card, trace, theme, below, replace(host, maps={kind: host.maps[kind]}))


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


def _map(zoomed: Zoomed, kind: Kind, window: Window, theme: viz.Theme) -> None:
    """The head's map; a click moves the window, unless that holds everything."""
    figure = overview_heatmap(
        zoomed.attention,
        zoomed.rows,
        zoomed.columns,
        (zoomed.query_tokens, zoomed.key_tokens),
        windows=[] if window.whole else [(window.rows, window.columns)],
        theme=theme,
        scale=scale(),
    )

    def clicked() -> None:
        points = st.session_state["own long map"].selection.points
        if points:
            row, column = centred(kind, *window.sizes, int(points[0]["y"]) - 1, int(points[0]["x"]) - 1)
            _move(row=row, column=column)

    with st.container(key="own-long-near"):
        st.plotly_chart(
            figure,
            theme=None,
            width="content",
            key="own long map",
            on_select="ignore" if window.whole else clicked,
            selection_mode="points",
            config={"modeBarButtonsToRemove": ["select2d", "lasso2d"]},
            alt=f"Map of {zoomed.attention.layer_names[0]}, {zoomed.attention.head_names[0]}, in cells",
        )
    if not (VIEW.current().presenter or window.whole):
        st.caption(CLICK)


def _forget_place() -> None:
    """A window of everything begins nowhere else: the address need not say where."""
    view = VIEW.current()
    if (view.row, view.column) != (0, 0):
        VIEW.change(row=0, column=0)


def _move(**place: int) -> None:
    """The window is elsewhere: pins of the one before mean nothing there."""
    VIEW.change(**place, look=without_pins(VIEW.current().look))
    VIEW.touch()


def _profile(zoomed: Zoomed, theme: viz.Theme) -> None:
    """What the head's rows do along the text."""
    width = 560 if VIEW.current().presenter else 340  # with room to the end of the line, or beside the map
    chart = row_profile(zoomed.first, zoomed.entropy, zoomed.distance, theme=theme, width=width, scale=scale())
    with st.container(key="own-long-rows"):
        st.altair_chart(
            chart,
            theme=None,
            width="content",
            alt="What each row of the head does along the text: weight on the first token, entropy, mean distance",
        )


def _places(kind: Kind, window: Window) -> None:
    """Where the window begins, for those who do not click, and what it is of."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for label, field, most, start in (
            ("Tokens that look, from", "row", window.sizes[0], window.rows[0]),
            ("Tokens looked at, from", "column", window.sizes[1], window.columns[0]),
        ):
            key = VIEW.key(field)
            st.session_state[key] = start + 1
            st.number_input(label, 1, most, key=key, width=200, on_change=_typed, args=(field,))
    if kind != "cross" and window.rows != window.columns:
        st.caption(TWO.format(half=WINDOW // 2))


def _typed(field: str) -> None:
    _move(**{field: int(st.session_state[VIEW.key(field)]) - 1})


def _below(window: Window, said: DeltaGenerator, view: View) -> None:
    """What is outside the window, for the heads that are shown: above the figure in a place that is kept for it."""
    if window.whole:
        said.markdown("**The window** is the whole text.")
        return
    statement = window.statement(shown_heads(view, window.attention.heads))
    said.markdown(f"**The window**: {_shared.literal(statement)}")
    if not view.presenter:
        st.caption(INSIDE)


def shown_heads(view: View, count: int) -> tuple[int, ...]:
    """Which heads of a window a figure shows; all of them where it shows none by itself.

    Args:
        view: what is shown.
        count: how many heads the window has.
    """
    if view.view == "grid" or view.over_heads != "each" or not view.heads:
        return tuple(range(count))
    if view.view == "lines":
        return view.heads
    second = () if view.compare == "one" or view.other is None else view.other[1:]
    return tuple(dict.fromkeys((*view.heads[:1], *second)))


def _files(files: Callable[[], None]) -> None:
    """What can be saved of the window; the page's own menu has the link."""
    with st.popover("Save the window", icon=":material/download:"):
        files()


def scale() -> float:
    """How much larger than on a desk figures and type are."""
    return PRESENTER if VIEW.current().presenter else 1.0
