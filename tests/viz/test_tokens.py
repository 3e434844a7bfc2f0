"""The strip of output tokens by what a reader sees of it."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from viz import DARK, token_strip

LABELS = ("L'animal", "<b>", "שלום", "</s>")
LOGPROBS = np.log(np.array([0.5, 0.001, 0.999, 1.0], dtype=np.float32))


def cells(strip: str) -> list[ElementTree.Element]:
    """The tokens' elements; that it parses as XML shows that every label is escaped."""
    return list(ElementTree.fromstring(strip)[1])


def shown(cell: ElementTree.Element) -> tuple[str, float, str]:
    """Label, share of the bar, number."""
    label, bar, number = cell
    share = re.search(r"width:([\d.]+)%", bar[0].get("style", ""))
    assert share
    return label.text or "", float(share[1]) / 100, number.text or ""


def test_probabilities_and_bars() -> None:
    found = [shown(cell) for cell in cells(token_strip(LABELS, LOGPROBS))]
    assert [label for label, _, _ in found] == list(LABELS)
    assert [share for _, share, _ in found] == pytest.approx([0.5, 0.001, 0.999, 1.0], abs=5e-5)  # two digits of %
    assert [number for _, _, number in found] == ["50 %", "<1 %", ">99 %", "100 %"]


def test_unknown_and_impossible_tokens() -> None:
    unknown, impossible = cells(token_strip(["a", "b"], [math.nan, -math.inf]))
    assert shown(unknown) == ("a", 0.0, "?")
    assert "log-probability unknown" in (unknown.get("title") or "")
    assert shown(impossible) == ("b", 0.0, "0 %")


def test_special_tokens_are_marked() -> None:
    found = cells(token_strip(LABELS, LOGPROBS, (False, False, False, True), DARK))
    styles = [cell[0].get("style") or "" for cell in found]
    assert ["italic" in style for style in styles] == [False, False, False, True]
    assert DARK.muted in styles[3] and DARK.text in styles[0]


def test_the_tooltip_names_what_else_was_probable() -> None:
    (cell,) = cells(
        token_strip(["il"], [math.log(0.75)], alternatives=[[("il", math.log(0.75)), ('"<i>', math.log(0.2))]])
    )
    assert cell.get("title") == 'il: 75 %, log-probability -0.288. Most probable here: il 75 %, "<i> 20 %'


def test_the_title_is_text() -> None:
    assert "<script>" not in token_strip(LABELS, LOGPROBS, title="<script>alert(1)</script>")


def test_no_tokens() -> None:
    assert cells(token_strip([], [])) == []


@pytest.mark.parametrize("special", [None, [False]])
def test_one_value_per_token(special: list[bool] | None) -> None:
    with pytest.raises(ValueError, match="give one per token"):
        token_strip(["a", "b"], [-0.1] if special is None else [-0.1, -0.2], special)


def test_one_list_of_alternatives_per_token() -> None:
    with pytest.raises(ValueError, match="give one per token"):
        token_strip(["a", "b"], [-0.1, -0.2], alternatives=[[("a", -0.1)]])


def test_probabilities_instead_of_logarithms() -> None:
    with pytest.raises(ValueError, match="give logarithms"):
        token_strip(["a"], [0.7])
