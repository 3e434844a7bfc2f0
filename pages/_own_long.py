"""A long text in a model: every head at a glance, one head near, and the exact weights of a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import streamlit as st

import viz
from engine.catalogue import ASSETS, ModelCard
from engine.errors import InputError
from engine.loading import Model
from engine.long_text.overview import Estimate, Overview, estimate, long_reading, overview
from engine.long_text.tables import overview_csv, overview_npz
from engine.types import Kind
from pages import _own_window, _shared
from pages._cards import file_name, name_in
from pages._own import VIEW, ask, pick_kind, pick_model
from pages._own_text import box
from pages._own_window import scale
from pages._permalink import without_pins
from viz.components.grid import grid, grid_data

LARGEST_FILE = 1_000_000  # bytes of a text file
WANTED = "own long wanted"  # in the session: the text whose overview was asked for
ABOUT = (
    "All weights of a long text may not fit into memory. One pass gives each layer's queries and keys; weights are "
    "computed from them block by block, and of each block of tokens the largest is kept. Of what you click, the exact "
    "weights are computed again."
)
CELLS = (
    "Each cell is the largest weight of a block of tokens. What heads are called: **first token** with the mean weight "
    "on it (an attention sink), **near** with the mean distance in tokens, **broad** with the entropy as a share of "
    "that of even attention, **mixed** those that are none of these."
)


def draw(theme: viz.Theme) -> None:
    """The section."""
    if not VIEW.current().presenter:
        st.caption(ABOUT)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = pick_model()
        with st.popover("Open a text file", icon=":material/upload_file:"):
            st.file_uploader("Text file (.txt, UTF-8)", type=["txt"], key="own long file", on_change=_take_file)
    if problem := st.session_state.pop("own long problem", None):
        st.error(_shared.literal(problem))
    text, second = box(card, example(), name="own long", height=120, button="Read")
    planned: Estimate = _shared.computed(card, planned_of, text, second)
    for note in planned.notes:
        st.info(_shared.literal(note))
    found = _overview(card, planned, text, second)
    if found is None:
        return
    kind, layer, head = _chosen(found)
    _heads(found, kind, (layer, head), theme)
    _own_window.draw(card, found, (text, second), (kind, layer, head), theme)


# ---- the text ----


@cache
def example() -> str:
    """Our own story of some thousand words."""
    return (ASSETS / "long" / "harbour.txt").read_text("utf-8").strip()


def _take_file() -> None:
    """Read an uploaded text; what cannot be used leaves the text as it was."""
    uploaded = st.session_state["own long file"]
    if uploaded is None:
        return
    try:
        ask(text_of(uploaded.getvalue()), VIEW.current().second)
    except InputError as error:
        st.session_state["own long problem"] = str(error)


def text_of(content: bytes) -> str:
    """The text of a file.

    Raises:
        InputError: it is too large, or not UTF-8.
    """
    if len(content) > LARGEST_FILE:
        raise InputError(f"This file has {len(content):,} bytes and {LARGEST_FILE:,} are read at most. Cut it shorter.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("This file is no text in UTF-8. Save it as plain text in that encoding.") from None


# ---- the overview ----


def planned_of(model: Model, text: str, second: str) -> Estimate:
    """What the overview takes, and whether the text is cut."""
    return estimate(long_reading(model, text, second))


def _overview(card: ModelCard, planned: Estimate, text: str, second: str) -> Overview | None:
    """The overview, from memory or under a progress bar; None until it is asked for."""
    key = ("long overview", text, second)
    wanted = (card.identity, text, second)
    if not _shared.is_kept(card, key) and st.session_state.get(WANTED) != wanted:
        st.markdown(_shared.literal(planned.statement))
        st.button("Compute", type="primary", icon=":material/play_arrow:", on_click=_want, args=(wanted,))
        return None
    if not VIEW.current().presenter:
        st.caption(_shared.literal(planned.statement))

    def compute(model: Model, report: Callable[[int], None]) -> Overview:
        return overview(long_reading(model, text, second), report)

    try:
        return _shared.computed_slowly(card, "Heads", planned.heads, compute, key, stop=_stop)
    finally:
        st.session_state.pop(WANTED, None)


def _want(wanted: tuple[str, str, str]) -> None:
    st.session_state[WANTED] = wanted


def _stop() -> None:
    st.session_state.pop(WANTED, None)


def _chosen(found: Overview) -> tuple[Kind, int, int]:
    """Which attention, layer and head; what the view asks for and is not there becomes the page's own choice."""
    view, kind = VIEW.current(), pick_kind(list(found.pooled))
    layers, heads = found.first[kind].shape
    if 0 <= view.layer < layers and 0 <= view.head < heads:
        return kind, view.layer, view.head
    layer, head = found.sharpest(kind)
    _open_head(kind, layer, head)
    return kind, layer, head


def _open_head(kind: Kind, layer: int, head: int) -> None:
    """Another head is looked at: the window's views begin with it."""
    look = replace(without_pins(VIEW.current().look), map=kind, layer=0, heads=(head,))
    VIEW.change(kind=kind, layer=layer, head=head, look=look)
    VIEW.touch()


def _heads(found: Overview, kind: Kind, chosen: tuple[int, int], theme: viz.Theme) -> None:
    """Thumbnails of all heads; one that is picked is opened."""
    patterns = [
        [f"{one.name} {one.score:.2f}" if one.score else one.name for one in row] for row in found.patterns(kind)
    ]
    name = f"{kind}-overview"
    data = grid_data(found.attention(kind), patterns, chosen=chosen, theme=theme, scale=scale(), file_name=name)

    def picked() -> None:
        head = st.session_state["own long heads"].picked
        if head:
            _open_head(kind, int(head["layer"]), int(head["head"]))

    with st.container(key="own-long-grid"):
        grid(data, key="own long heads", on_change=picked)
    if not VIEW.current().presenter:
        st.caption(CELLS)
        _save(found)


def _save(found: Overview) -> None:
    name = f"{file_name(name_in(found.request.model))}-overview"
    with st.popover("Save the overview", icon=":material/download:"), st.container(horizontal=True):
        st.download_button(
            "Heads, CSV",
            lambda: overview_csv(found),
            f"{name}.csv",
            "text/csv",
            help="One line for each head: mean weight on the first token, entropy and distance over all rows.",
            on_click="ignore",
        )
        st.download_button(
            "Pooled maps, NPZ",
            lambda: overview_npz(found),
            f"{name}.npz",
            "application/octet-stream",
            help="What the thumbnails show, where their blocks begin, and the means of all heads, for NumPy.",
            on_click="ignore",
        )
