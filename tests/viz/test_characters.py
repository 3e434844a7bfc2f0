"""The axis of a text's characters: blocks, titles and labels."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pytest

from viz.characters import CharacterAxis, cell_axis, position_axis, strongest, thinned, words_of
from viz.labels import label_width
from viz.theme import LIGHT

TEXT = " the animal did not cross the street because it was too tired to go on and the sun was low over it all"


def shown(axis: alt.X) -> dict[str, Any]:
    found: Any = axis.to_dict()
    settings: dict[str, Any] = found["axis"]
    return settings


def test_a_space_belongs_to_the_word_after_it() -> None:
    assert words_of(" of a  b ") == [(0, "of"), (3, "a"), (6, "b")]
    assert words_of("ab cd") == [(0, "ab"), (2, "cd")]
    assert words_of(" ") == []


def test_blocks_cover_the_text_and_know_their_positions() -> None:
    axis = CharacterAxis.of("abcdefg", most=3)
    assert (axis.cells, axis.pooled) == (3, True)
    assert list(zip(axis.starts.tolist(), axis.ends.tolist(), strict=True)) == [(0, 2), (2, 4), (4, 7)]
    assert [axis.cell_of(position) for position in range(7)] == [0, 0, 1, 1, 2, 2, 2]
    assert axis.titles() == ("characters 1–2 (“ab”)", "characters 3–4 (“cd”)", "characters 5–7 (“efg”)")
    with pytest.raises(ValueError, match="positions 0 to 6"):
        axis.cell_of(7)


def test_titles_of_single_characters_count_from_1() -> None:
    assert CharacterAxis.of(" <").titles() == ("“␣” (character 1)", "“<” (character 2)")


def test_short_texts_label_characters_and_long_ones_words() -> None:
    assert CharacterAxis.of(" a b").ticks(10, 50) == [(0, "·"), (1, "a"), (2, "·"), (3, "b")]
    ticks = CharacterAxis.of(TEXT).ticks(10, 1)
    assert ticks[:3] == [(0, "the"), (4, "animal"), (11, "did")]
    assert CharacterAxis.of("x" * 81).ticks(10, 1) == [(0, "x" * 13 + "…")]
    assert CharacterAxis.of(" " * 81).ticks(10, 1) == [(0, "␣")]


@pytest.mark.parametrize("room", [1.0, 17.0, 400.0])
def test_labels_keep_their_distance(room: float) -> None:
    places = np.array([place for place, _ in CharacterAxis.of(TEXT * 8, 300).ticks(2.5, room)])
    assert places[0] == 0 and (np.diff(places) * 2.5 >= room).all()


def test_thinning_keeps_what_has_room() -> None:
    assert thinned([(0, "a"), (1, "b"), (3, "c"), (4, "d")], 2) == [(0, "a"), (3, "c")]


def test_the_strongest_of_a_block_keeps_its_sign() -> None:
    values = np.array([[1.0, -2.0, 0.0], [0.5, 1.5, -3.0], [2.0, -2.0, 0.0]])
    found = strongest(values, np.array([0, 2]), np.array([0, 2]))
    np.testing.assert_array_equal(found, [[-2.0, -3.0], [2.0, 0.0]])
    np.testing.assert_array_equal(strongest(values, np.arange(3), np.arange(3)), values)


def test_no_tick_is_so_near_its_cell_that_hover_texts_take_its_label() -> None:
    """Plotly takes a tick's text for a cell within a ten-thousandth of the range: 300 cells at most."""
    axis = cell_axis([(0, "<b>"), (299, "$x$")], ["a"] * 300)
    assert all(abs(value - round(value)) > 300 / 10_000 for value in axis["tickvals"])
    assert axis["ticktext"] == ["&lt;b&gt;", "&#36;x&#36;"]
    assert axis["labelalias"]["299"] == "a"


def test_words_under_a_chart_have_room() -> None:
    axis = shown(position_axis(TEXT * 5, 600, LIGHT))
    assert axis["labelAngle"] == -60
    assert (np.diff(axis["values"]) * 600 / len(TEXT * 5) >= axis["labelFontSize"]).all()
    letters = shown(position_axis(TEXT[:80], 720, LIGHT))
    assert len(letters["values"]) == 80 and letters["labelAngle"] == 0
    assert label_width("e", letters["labelFontSize"]) <= 720 / 80


def test_there_is_no_axis_without_text() -> None:
    with pytest.raises(ValueError, match="at least one"):
        CharacterAxis.of("")
