"""The neurons of one head: what each dimension of query and key adds to a logit, of any model that reads a text."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.errors import SaccadeError
from engine.neuron_tables import neurons_csv, neurons_json
from engine.neurons import (
    HeadVectors,
    Neurons,
    head_vectors_of,
    likely_row,
    neurons_at,
    outline_of,
)
from engine.reading import Reading
from engine.types import Kind
from pages import _shared
from pages._cards import file_name, name_in
from pages._gen_text import texts_of
from pages._own import VIEW, OwnView, pick_kind, pick_model
from pages._own_text import box
from viz.components.neurons import (
    listed_keys,
    neurons,
    neurons_data,
    neurons_html,
    picked_in,
    row_title,
    row_tokens,
)
from viz.components.shaded import picked_in as token_in
from viz.components.shaded import shaded, shaded_data
from viz.labels import isolate

PRESENTER = 1.4  # of type and figure
ABOUT = (
    "**q** belongs to the token that looks, **k** to the one looked at. Their product, dimension by dimension, times "
    "the scaling (usually 1/√d) adds up to the logit; the softmax over all keys of the row makes the weight of it. "
    "Strips and bars have one scale for all keys. Rotary positions are already in q and k. After Vig 2019."
)


def draw(theme: viz.Theme) -> None:
    """The section; a mistake is said here, and the rest of the page stays."""
    controls = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with controls:
        card = pick_model()
    text, second = box(card)
    try:
        outline: Reading = _shared.computed(card, outline_of, text, second)
        with controls:
            kind, layer, head = _pick_head(outline)
        vectors: HeadVectors = _shared.computed_arrays(card, head_vectors_of, text, second, kind, layer, head)
        for said in outline.notes:
            st.info(_shared.literal(said))
        found = neurons_at(vectors, _row(vectors, VIEW.current()))
    except SaccadeError as error:
        st.error(_shared.literal(str(error)))
        return
    start = f"{VIEW.epoch()} {card.identity} {text} {second}"
    _pick_query(found, theme, start)
    _figure(found, theme, start)
    if not VIEW.current().presenter:
        st.caption(ABOUT)
        _save(found, card, theme)


def _pick_head(outline: Reading) -> tuple[Kind, int, int]:
    """Which attention, layer and head; what the view asks for and is not there stands for the first."""
    view = VIEW.current()
    kind = pick_kind(list(outline.axes))
    layer = _number("Layer", "layer", [f"layer {n + 1}" for n in range(outline.layers[kind])], view.layer)
    names = outline.head_names[kind] or [f"head {n + 1}" for n in range(outline.heads[kind])]
    return kind, layer, _number("Head", "head", list(names), view.head)


def _number(label: str, field: str, names: list[str], asked: int) -> int:
    """A menu of a field that counts from 0."""
    chosen, key = asked if 0 <= asked < len(names) else 0, VIEW.key(field)
    st.session_state[key] = chosen
    st.selectbox(
        label,
        range(len(names)),
        format_func=names.__getitem__,
        key=key,
        width=round((115 if max(map(len, names)) < 12 else 240) * _scale()),
        on_change=lambda: VIEW.change(**{field: st.session_state[key]}),
    )
    return chosen


def _row(vectors: HeadVectors, view: OwnView) -> int:
    """The position that looks: the view's, else one worth looking at."""
    there = 0 <= view.query < len(vectors.query_tokens)
    return view.query if there else likely_row(row_tokens(vectors))


def _pick_query(found: Neurons, theme: viz.Theme, start: str) -> None:
    """The text whose tokens look; a click takes another one."""
    tokens = row_tokens(found)
    texts, start_id = texts_of(tokens), f"{start} {found.kind}"
    data = shaded_data(
        tokens.labels,
        texts,
        titles=[isolate(row_title(found, row)) for row in range(len(tokens))],
        mode="pick",
        pressed=(found.row,),
        name="The token that looks: choose one",
        theme=theme,
        scale=_scale(),
        start_id=start_id,
        file_name="query",
    )

    def changed() -> None:
        row = token_in("own query token", texts, start_id=start_id)
        if row is not None:
            VIEW.change(query=row)

    st.markdown("**Which token looks?** Choose one; the list below has the keys it looks at.")
    with st.container(key="own-query"):
        shaded(data, key="own query token", on_change=changed)


def _figure(found: Neurons, theme: viz.Theme, start: str) -> None:
    """Keys and dimensions; the reader's key goes into the address."""

    def changed() -> None:
        key = picked_in("own neurons", found, start_id=start)
        if key is not None:
            VIEW.change(key=key)

    with st.container(key="own-neurons"):
        neurons(_data(found, theme, start), key="own neurons", on_change=changed)


def _data(found: Neurons, theme: viz.Theme, start: str = "") -> bytes:
    return neurons_data(
        found, key=_key(found), theme=theme, scale=_scale(), start_id=start, file_name=f"{_file_name(found)}-neurons"
    )


def _key(found: Neurons) -> int:
    """The key that is looked into, from 0; −1 for the one with the most weight."""
    asked = VIEW.current().key
    return asked if asked < len(found.weights) else -1


def _save(found: Neurons, card: ModelCard, theme: viz.Theme) -> None:
    """The numbers as files, and the figure as one that works by itself."""
    listed = listed_keys(found, _key(found))
    name = f"{_file_name(found)}-neurons"
    title = f"{card.title}: {found.request.text}"
    with st.popover("Save the neurons", icon=":material/download:"), st.container(horizontal=True):
        st.download_button(
            "CSV",
            lambda: neurons_csv(found, listed),
            f"{name}.csv",
            "text/csv",
            help="One line for each dimension of each key in the list: q, k, their product and its running sum.",
            on_click="ignore",
        )
        st.download_button(
            "JSON",
            lambda: neurons_json(found),
            f"{name}.json",
            "application/json",
            help="The query, all keys, biases, logits and weights of the row, with tokens and model.",
            on_click="ignore",
        )
        st.download_button(
            "Figure, HTML",
            lambda: neurons_html(_data(found, theme), title=title, note="Made with Saccade", theme=theme),
            f"{name}.html",
            "text/html",
            help="This figure as one file that works in any browser, offline, without Saccade.",
            on_click="ignore",
        )


def _file_name(found: Neurons) -> str:
    model = file_name(name_in(found.request.model))
    return f"{model}-{found.kind}-layer-{found.layer + 1}-head-{found.head + 1}"


def _scale() -> float:
    """How much larger than on a desk the figure is."""
    return PRESENTER if VIEW.current().presenter else 1.0
