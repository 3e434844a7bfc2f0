"""Characters: the recurrent network one character at a time, and its hidden units while it reads."""

from __future__ import annotations

from typing import Any

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.completion_inside import CellRecord, busiest_units
from engine.unit_traces import unit_record
from pages import _gen_controls, _gen_next, _shared
from pages._cards import file_name
from pages._gen import VIEW, scale, text_so_far
from pages._gen_save import File, csv_of
from viz.components.shaded import shaded, shaded_data

BUSIEST = 40  # units in the heatmap, and to choose from
GATES = ("input", "forget", "output")


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = _gen_controls.pick_model()
        if not VIEW.current().presenter:
            _gen_controls.sampling()
    files = _gen_next.by_hand(card, theme)
    st.subheader("Hidden units", anchor=False)
    text = text_so_far(_shared.generator(card), VIEW.current())
    if not text.strip():
        st.info("There is no text yet for the units to fire at. Take a character, or type a prompt.")
        return files
    record: CellRecord = _shared.computed_arrays(card, unit_record, text)
    return [*files, *_units(card, record, theme)]


def _units(card: ModelCard, record: CellRecord, theme: viz.Theme) -> list[File]:
    """One unit over the text, and the busiest of its layer."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        last = len(record.states) - 1
        asked = VIEW.current().layer
        layer: int = _choose("Layer", "layer", list(range(last + 1)), asked if 0 <= asked <= last else last)
        names = [*record.states[layer], *(name for name in record.gates[layer] if name in GATES)]
        asked_part = VIEW.current().part
        part: str = _choose("What", "part", names, asked_part if asked_part in names else names[0])
        gate = part in record.gates[layer]
        values = (record.gates if gate else record.states)[layer][part]
        busiest = busiest_units(values, BUSIEST)
        unit = _pick_unit(busiest, values.shape[1])
    column = values[:, unit]
    title = f"{card.short}, layer {layer + 1}: {part}{' gate' if gate else ''}"
    data = shaded_data(
        ["␣" if letter == " " else "¶" if letter == "\n" else letter for letter in record.text],
        list(record.text),
        column,
        colours="sequential" if gate else "diverging",
        limits=(0.0, 1.0) if gate else None,
        legend=f"{part}, unit {unit + 1}",
        name=f"Unit {unit + 1} over the text",
        theme=theme,
        scale=scale(),
        start_id=VIEW.epoch(),
        file_name=f"unit-{unit + 1}",
    )
    with st.container(key="unit"):
        shaded(data, key="gen unit")
    kind: Any = "gate" if gate else "state"
    with st.container(key="heatmap"):
        st.plotly_chart(
            viz.state_heatmap(values, record.text, title, kind=kind, theme=theme, units=busiest),
            theme=None,
            key="gen units",
            config={"displaylogo": False},
        )
    st.caption(
        f"The {len(busiest)} units of {values.shape[1]} that change most over this text, most first. Some fire within "
        "quotation marks, at the ends of words or lines; most mean nothing that has a name (Karpathy et al. 2016)."
    )
    return [
        File(
            "Unit, CSV",
            f"{file_name(card.name)}-unit-{unit + 1}.csv",
            lambda: csv_of(
                ("index", "character", "value"),
                (
                    (place, letter, float(f"{value:.9g}"))
                    for place, (letter, value) in enumerate(zip(record.text, column.tolist(), strict=True))
                ),
            ),
            "The unit after each character.",
        )
    ]


def _choose(label: str, field: str, options: list[Any], chosen: Any) -> Any:
    """A segmented control of a field whose value may not be among the options; returns what is shown."""
    key = VIEW.key(field)
    st.session_state[key] = chosen
    st.segmented_control(
        label,
        options,
        format_func=lambda one: str(one + 1) if isinstance(one, int) else one,
        required=True,
        key=key,
        on_change=lambda: VIEW.change(**{field: st.session_state[key]}),
    )
    return chosen


def _pick_unit(busiest: tuple[int, ...], count: int) -> int:
    """The unit that is followed: the busiest, or another by its number."""
    asked, key = VIEW.current().unit, VIEW.key("unit")
    unit = asked if 0 <= asked < count else busiest[0]
    st.session_state[key] = unit
    st.selectbox(
        "Unit",
        [*busiest, *sorted(set(range(count)) - set(busiest))],
        format_func=lambda one: f"unit {one + 1}",
        key=key,
        width=160,
        on_change=lambda: VIEW.change(unit=st.session_state[key]),
    )
    return unit
