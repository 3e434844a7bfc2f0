"""What the aligned panels send to the browser, read back from its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.types import AttentionMap, Tokens
from viz.components.alignments import Gold, Panel, Pin, alignments_data, alignments_html, same_rows
from viz.components.packing import unpack
from viz.theme import DARK, LIGHT

SOURCE = ("The", "zone", "</s>")
READ, PREDICTED = ("<s>", "la"), ("la", "zone")
WEIGHTS = ((0.75, 0.25, 0.0), (0.125, 0.5, 0.375))


def words(*labels: str) -> Tokens:
    count = len(labels)
    special = tuple(label in ("<s>", "</s>") for label in labels)
    return Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, special)


def aligned(weights: Any = WEIGHTS, predicted: tuple[str, ...] = PREDICTED, **changed: Any) -> AttentionMap:
    """A cross map of one layer and one head."""
    numbers = np.asarray(weights, np.float32)[None, None]
    return replace(AttentionMap("cross", numbers, words(*READ), words(*SOURCE), words(*predicted)), **changed)


FIRST = Panel("Transformer", "own output", aligned(), "1 of 2 words on a gold link")
SECOND = Panel("dot", "", aligned(np.full((2, 3), 1 / 3)))
NONE = Panel("no attention", "one vector for the sentence", None, output=words(*PREDICTED))
OTHER = Panel("general", "", aligned(predicted=("une", "zone")))


def sent(*panels: Panel, **more: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(alignments_data(panels or (FIRST, NONE, SECOND), **more))


def test_weights_come_back_one_map_after_the_other() -> None:
    header, arrays = sent()
    received = arrays["weights"] / header["levels"]
    expected = [0.75, 0.25, 0, 0.125, 0.5, 0.375, *[1 / 3] * 6]
    np.testing.assert_allclose(received, expected, atol=0.5 / header["levels"] + 1e-7)  # half a step
    assert received[2] == 0
    assert [panel["map"] for panel in header["panels"]] == [True, False, True]


def test_rows_are_what_is_predicted_and_titles_say_what_is_read() -> None:
    header, _ = sent()
    first, none, _ = header["panels"]
    assert [row["label"] for row in first["rows"]] == ["la", "zone"]
    assert [row["title"] for row in first["rows"]] == ["reads <s> → predicts la", "reads la → predicts zone"]
    assert [row["title"] for row in none["rows"]] == ["la", "zone"]
    assert [(token["label"], token["special"]) for token in header["source"]] == [
        ("The", False),
        ("zone", False),
        ("</s>", True),
    ]
    assert (first["name"], first["note"], first["detail"]) == (FIRST.name, FIRST.note, FIRST.detail)
    assert header["rows_are"] == "token predicted"


def test_rows_are_the_same_only_where_every_known_output_is() -> None:
    silent = replace(NONE, output=None)
    longer = replace(NONE, output=words(*PREDICTED, "</s>"))
    cases = [
        ((FIRST,), True),
        ((FIRST, SECOND, NONE), True),
        ((FIRST, silent), True),
        ((FIRST, OTHER), False),
        ((FIRST, longer), False),
        ((NONE, longer), False),
    ]
    for panels, same in cases:
        assert same_rows(panels) is same
        assert sent(*panels)[0]["same_rows"] is same


def test_a_gold_link_that_is_sure_is_not_possible_as_well() -> None:
    gold = Gold(frozenset({(1, 1), (0, 0)}), frozenset({(1, 1), (2, 1)}))
    assert sent(gold=gold)[0]["gold"] == {"sure": [[0, 0], [1, 1]], "possible": [[2, 1]]}
    assert sent()[0]["gold"] is None


def test_gold_links_need_the_same_rows() -> None:
    with pytest.raises(ValueError, match="force one output"):
        sent(FIRST, OTHER, gold=Gold(frozenset(), frozenset()))


@pytest.mark.parametrize("link", [(3, 0), (0, 2), (-1, 0), (0, -1)])
@pytest.mark.parametrize("sort", ["sure", "possible"])
def test_a_gold_link_outside_the_axes_is_named(link: tuple[int, int], sort: str) -> None:
    gold = Gold(frozenset(), frozenset())._replace(**{sort: frozenset({link})})
    with pytest.raises(IndexError, match=r"of 3 × 2, counted from 0") as raised:
        sent(gold=gold)
    assert str(link) in str(raised.value)


@pytest.mark.parametrize("pin", [Pin(), Pin(source=2), Pin(row=1, panel=1), Pin(0, 1, 2)])
def test_a_pin_travels_and_comes_back(pin: Pin) -> None:
    header, _ = sent(pinned=pin, start_id="7")
    assert Pin.of(header["start"]) == pin
    assert header["start_id"] == "7"


@pytest.mark.parametrize(
    ("pin", "message"),
    [
        (Pin(source=3), "no source position 3, choose one of 3"),
        (Pin(row=2), "no row 2, choose one of 2"),
        (Pin(row=-1), "no row -1"),
        (Pin(source=0, panel=3), "no panel 3, choose one of 3"),
    ],
)
def test_a_pin_that_is_not_there_is_named(pin: Pin, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        sent(pinned=pin)


def test_colours_words_and_choices_travel() -> None:
    more = {"view": "lines", "title": "t", "numbers": True, "scale": 1.5, "file_name": "mine"}
    header, _ = sent(theme=DARK, **more)
    assert {name: header[name] for name in more} == more
    assert tuple(header["colours"]) == DARK.sequential and header["theme"]["name"] == "dark"
    assert header["wording"]["looks"] == "looks at"
    gradients = aligned(measure="gradient")
    assert sent(Panel("g", "", gradients))[0]["wording"]["looks"] == "is moved by"


def test_panels_without_any_map_still_list_their_words() -> None:
    header, arrays = sent(NONE)
    assert header["source"] == [] and arrays["weights"].size == 0
    assert [row["label"] for row in header["panels"][0]["rows"]] == ["la", "zone"]


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ((FIRST,) * 7, "choose 1 to 6"),
        ((Panel("a", "", aligned(predicted_tokens=None, kind="encoder")),), "give a cross map"),
        ((FIRST, Panel("a", "", aligned(measure="gradient"))), "gradient beside attention"),
        ((FIRST, Panel("a", "", aligned(key_tokens=words("Une", "zone", "</s>")))), "source tokens are others"),
    ],
)
def test_panels_that_do_not_go_together_are_refused(panels: tuple[Panel, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sent(*panels)


def test_no_panel_and_an_unknown_view_are_refused() -> None:
    with pytest.raises(ValueError, match="0 given"):
        alignments_data([])
    with pytest.raises(ValueError, match="heatmap, lines"):
        alignments_data([FIRST], view="bars")  # type: ignore[arg-type]


def test_several_heads_are_refused_by_name(make_map: Callable[..., AttentionMap]) -> None:
    with pytest.raises(ValueError, match="wide: the map has 2 layers × 3 heads"):
        sent(Panel("wide", "", make_map("cross", READ, SOURCE)))


def test_the_same_panels_have_the_same_version_and_another_pin_another() -> None:
    first, again, other = (sent(pinned=Pin(row=row))[0]["version"] for row in (0, 0, 1))
    assert first == again != other


def test_a_page_of_its_own_holds_no_text_that_could_end_its_script() -> None:
    text = "</script><script>alert(1)</script>"
    hostile = Panel(text, text, aligned(key_tokens=words(text, "b", "c")), text)
    page = alignments_html(alignments_data([hostile], title=text), title=text, note=text, theme=LIGHT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)</script>" not in page
    assert "export default function render(" in page and "\nrender({ data" in page
    assert "https://" not in page and "http://" not in page.replace("http://www.w3.org/", "")
