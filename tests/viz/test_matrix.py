"""What the matrices of heads send to the browser, read back from its bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from viz.components.matrix import Matrix, matrix_data
from viz.components.packing import unpack
from viz.components.standalone import standalone_html
from viz.theme import DARK, LIGHT

NAN = float("nan")
FIRST = Matrix("encoder", "Source → source", np.array([[0.5, -0.25, NAN], [0.0, 0.125, -0.625]]))
SECOND = Matrix("cross", "Output → source", np.array([[0.25, 0.75]], dtype=np.float32))


def sent(*matrices: Matrix, **more: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(matrix_data(matrices or (FIRST, SECOND), quantity="margin", **more))


def test_values_come_back_one_matrix_after_the_other() -> None:
    header, arrays = sent()
    assert arrays["values"].dtype == np.float32
    expected = [0.5, -0.25, NAN, 0, 0.125, -0.625, 0.25, 0.75]  # all exact in float32
    np.testing.assert_array_equal(arrays["values"], expected)
    assert [(one["id"], one["name"], one["layers"], one["heads"]) for one in header["matrices"]] == [
        ("encoder", "Source → source", 2, 3),
        ("cross", "Output → source", 1, 2),
    ]
    assert header["quantity"] == "margin" and header["chosen"] is None
    assert "marked" not in arrays


def test_one_limit_serves_all_matrices_and_no_sign_counts() -> None:
    assert sent()[0]["limit"] == 0.75
    assert sent(FIRST)[0]["limit"] == 0.625  # of −0.625
    assert sent(limit=0.5)[0]["limit"] == 0.5
    assert sent(diverging=False)[0]["limit"] == 0.75


@pytest.mark.parametrize("values", [[[0.0, 0.0]], [[NAN, NAN]], [[0.0, NAN]], [[1e-12, -1e-12]]])
def test_where_all_is_zero_or_unknown_the_limit_is_one(values: list[list[float]]) -> None:
    assert sent(Matrix("a", "A", np.array(values)))[0]["limit"] == 1


@pytest.mark.parametrize("limit", [0, -1, NAN, np.inf])
def test_a_limit_that_is_not_above_zero_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        sent(limit=limit)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_are_those_of_the_theme(theme: Any) -> None:
    header, _ = sent(theme=theme)
    assert header["diverging"] is True and tuple(header["colours"]) == theme.diverging
    header, _ = sent(theme=theme, diverging=False)
    assert header["diverging"] is False and tuple(header["colours"]) == theme.sequential
    assert header["hatch"] == theme.hatch and header["theme"]["name"] == theme.name


def test_words_notes_and_marks_travel() -> None:
    noted = Matrix("a", "A", np.ones((2, 2)), (("one", ""), ("", "four")), np.array([[False, True], [True, False]]))
    more = {"ends": ("street", "animal"), "marked_means": "flips", "digits": 3, "scale": 1.5, "file_name": "mine"}
    header, arrays = sent(FIRST, noted, **more)
    assert [one["notes"] for one in header["matrices"]] == [[], [["one", ""], ["", "four"]]]
    assert arrays["marked"].tolist() == [0] * 6 + [0, 1, 1, 0]
    assert header["ends"] == ["street", "animal"]
    assert {name: header[name] for name in more if name != "ends"} == {k: v for k, v in more.items() if k != "ends"}


def test_a_matrix_of_which_nothing_was_measured_says_so() -> None:
    nothing = np.full((2, 2), NAN)
    cases = [
        (Matrix("a", "A", nothing, empty="No pronoun"), "No pronoun"),
        (Matrix("a", "A", nothing), ""),  # drawn, every cell hatched
        (Matrix("a", "A", np.zeros((0, 8))), "nothing measured"),
        (Matrix("a", "A", np.zeros((2, 2)), empty="No pronoun"), ""),
    ]
    assert [sent(one)[0]["matrices"][0]["empty"] for one, _ in cases] == [said for _, said in cases]


def test_the_chosen_head_is_named_by_matrix_layer_and_head() -> None:
    assert sent(chosen=("cross", 0, 1))[0]["chosen"] == ["cross", 0, 1]
    assert sent(chosen=("encoder", np.int64(1), np.int64(2)))[0]["chosen"] == ["encoder", 1, 2]


@pytest.mark.parametrize("chosen", [("encoder", 2, 0), ("encoder", 0, 3), ("encoder", -1, 0), ("cross", 1, 0)])
def test_a_head_that_is_not_there_cannot_be_chosen(chosen: tuple[str, int, int]) -> None:
    with pytest.raises(IndexError, match="counted from 0"):
        sent(chosen=chosen)


def test_a_matrix_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(IndexError, match="choose among encoder, cross"):
        sent(chosen=("decoder", 0, 0))


@pytest.mark.parametrize("notes", [(("a", "b", "c"),), (("a",), ("b",)), (("a", "b", "c"), ("d", "e"))])
def test_notes_of_other_heads_are_refused(notes: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match="note for each of 2 layers × 3 heads"):
        sent(Matrix("a", "A", FIRST.values, notes))


@pytest.mark.parametrize("shape", [(3, 2), (6,), (2, 3, 1)])
def test_marks_of_other_heads_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="mark for each of 2 layers × 3 heads"):
        sent(Matrix("a", "A", FIRST.values, marked=np.zeros(shape, dtype=bool)))


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([], "at least one"),
        ([FIRST, FIRST], "these repeat"),
        ([Matrix("a", "A", np.zeros(3))], "1 axes"),
        ([Matrix("a", "A", np.array([[np.inf]]))], "infinite"),
    ],
)
def test_what_is_no_matrix_is_refused(matrices: list[Matrix], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matrix_data(matrices, quantity="margin")


def test_the_same_matrices_have_the_same_version_and_another_choice_another() -> None:
    first, again, other = (sent(chosen=("encoder", 0, head))[0]["version"] for head in (0, 0, 1))
    assert first == again != other


def test_a_standalone_page_holds_all_and_asks_for_nothing() -> None:
    text = "</script><b>x</b>"
    data = matrix_data([Matrix("a", text, FIRST.values)], quantity=text)
    page = standalone_html("matrix", data, title=text, note="n", theme=LIGHT)
    assert text not in page and page.count("</script>") == 2
    assert "class Matrices" in page and ".matrix" in page
    assert "src=" not in page and "https://" not in page and "import " not in page.split("<style>")[0]
