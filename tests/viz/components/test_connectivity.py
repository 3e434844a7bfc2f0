"""What a panel of connected text receives: influences of the lower triangle, words once each, the article's colours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.colors
import pytest

from engine.types import MASKED, ConnectedText, Connectivity
from viz.components.connectivity import SHADES, TextView, connectivity_data, triangle
from viz.components.inline import FOLDER, script
from viz.components.packing import unpack
from viz.components.standalone import standalone_html
from viz.theme import DARK, LIGHT

VALUES = [
    [2.0, 0, 0, 0],
    [1.0, -4.0, 0, 0],
    [0.0, 0.0, 0, 0],
    [0.25, 0.5, 0.001, 0.0],
]


def connected(values: Sequence[Sequence[float]] = VALUES, text: str = " at ", **changes: object) -> ConnectedText:
    """A text of four characters; the third has no target, the fourth no suggestion."""
    fields: dict[str, object] = {
        "name": "GRU",
        "text": text,
        "desired": ("at", "at", "", "the"),
        "suggestions": ((("the", 0.5), ("at", 0.25), ("a", 0.125)), (("at", 0.75),), (("at", 1.0), ("the", 0.0)), ()),
        "targets": ("at", "the", "", "the"),
        "connectivity": Connectivity.of(np.array(values, dtype=np.float64), "one-hot", (0, 1, MASKED, 1)),
    }
    return ConnectedText(**(fields | changes))  # type: ignore[arg-type]


def test_rows_travel_up_to_their_own_time() -> None:
    header, arrays = unpack(connectivity_data(connected(), TextView(), group="g"))
    rows = [[255], [64, 255], [0, 0, 0], [128, 255, 1, 0]]  # each divided by its largest size: 1/4 is 63.75 of 255
    assert arrays["influence"].tolist() == [level for row in rows for level in row]
    assert arrays["influence"].dtype == np.uint8
    assert header["levels"] == 255 and header["text"] == " at "


def test_an_influence_is_off_by_half_a_step_at_most() -> None:
    rng = np.random.default_rng(0)
    relative = np.tril(rng.uniform(-1, 1, (60, 60))).astype(np.float32)
    received = triangle(relative) / 255
    assert np.abs(received - np.abs(relative[np.tril_indices(60)])).max() <= 0.5 / 255 + 1e-7  # float32 beside float64


def test_words_travel_once_and_are_found_by_number() -> None:
    header, arrays = unpack(connectivity_data(connected(), TextView(), group="g"))
    words = header["words"]
    assert words[0] == "" and sorted(words) == ["", "a", "at", "the"]
    named = {kind: [words[number] for number in arrays[kind]] for kind in ("desired", "targets", "suggestions")}
    assert named["desired"] == ["at", "at", "", "the"]
    assert named["targets"] == ["at", "the", "", "the"]
    assert named["suggestions"] == ["the", "at", "a", "at", "", "", "at", "the", "", "", "", ""]
    assert arrays["probabilities"].tolist() == [0.5, 0.25, 0.125, 0.75, 0, 0, 1, 0, 0, 0, 0, 0]


def test_a_thousand_characters_are_half_a_megabyte() -> None:
    size = 1000
    values = np.tril(np.random.default_rng(1).random((size, size)))
    named = tuple(f"word{n}" for n in range(size))
    steps = tuple(tuple((f"other{3 * n + rank}", 0.1) for rank in range(3)) for n in range(size))
    text = connected(
        text=" " * size,
        desired=named,
        targets=named,
        suggestions=steps,
        connectivity=Connectivity.of(values, "one-hot", (0,) * size),
    )
    data = connectivity_data(text, TextView(), group="g")
    _, arrays = unpack(data)
    assert arrays["influence"].size == size * (size + 1) // 2 == 500_500
    assert len(data) < 600_000


def test_shades_are_the_articles_part_of_viridis() -> None:
    assert SHADES[0] == "#365d8d"  # the article's own base colour
    scale = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in plotly.colors.sequential.Viridis]
    place = np.linspace(0.29, 2 / 3, len(SHADES)) * (len(scale) - 1)
    for colour, at in zip(SHADES, place, strict=True):
        low = min(int(at), len(scale) - 2)
        mixed = np.array(scale[low]) + (np.array(scale[low + 1]) - scale[low]) * (at - low)
        ours = [int(colour[c : c + 2], 16) for c in (1, 3, 5)]
        assert np.abs(mixed - ours).max() <= 8, (
            colour,
            mixed,
        )  # plotly mixes between ten colours of the scale
    assert all(one < other for one, other in pairwise(int(colour[3:5], 16) for colour in SHADES))  # ever lighter


@pytest.mark.parametrize("view", [TextView(), TextView(3, True), TextView(0)])
def test_a_view_comes_back_as_it_went(view: TextView) -> None:
    header, _ = unpack(connectivity_data(connected(), view, group="g", start_id="a"))
    assert TextView.of(header["start"]) == view
    assert header["start_id"] == "a"
    assert TextView.of({"position": 2.0, "pinned": 1, "start_id": "a", "at": 5}) == TextView(2, True)


def test_the_header_says_what_is_drawn() -> None:
    text = connected(window=3, name="<img src=x>")
    data = connectivity_data(
        text, TextView(), group="g", controls=True, subtitle="2 × 600", theme=DARK, scale=1.5, file_name="gru"
    )
    header, _ = unpack(data)
    told = {name: header[name] for name in ("name", "subtitle", "window", "group", "controls", "scale", "file_name")}
    assert told == {
        "name": "<img src=x>",
        "subtitle": "2 × 600",
        "window": 3,
        "group": "g",
        "controls": True,
        "scale": 1.5,
        "file_name": "gru",
    }
    assert header["theme"]["background"] == DARK.background and header["hatch"] == DARK.hatch
    assert unpack(connectivity_data(text, TextView(), group="g"))[0]["controls"] is False


def test_no_text_is_refused() -> None:
    nothing = Connectivity.of(np.zeros((0, 0)), "one-hot", ())
    with pytest.raises(AssertionError, match="needs a character"):
        connectivity_data(ConnectedText("GRU", "", (), (), (), nothing), TextView(), group="g")


def test_a_page_of_its_own_holds_no_text_that_could_end_its_script() -> None:
    hostile = "</script><script>alert(1)</script>"
    data = connectivity_data(connected(name=hostile), TextView(), group="g", subtitle=hostile)
    page = standalone_html("connectivity", data, title=hostile, note=hostile, theme=LIGHT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "https://" not in page and "http://" not in page.replace("http://www.w3.org/", "")
    assert "export default function render(" in page


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = "".join(path.read_text("utf-8") for path in sorted((FOLDER / "connectivity").glob("*.js")))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?:", own)
    assert script("connectivity").count("export default") == 1
