"""Files of the article's layout: one made by hand, what is no such file, and the published numbers where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.article import MOST_BYTES, MOST_ROWS, read_article
from engine.errors import EmptyInput, InputError, InputTooLong
from engine.memorization import hits, influence_by_distance, memorization_score, with_mode
from engine.types import MASKED

PUBLISHED = Path(__file__).resolve().parents[3] / "shared" / "reference" / "memorization-in-rnns"
TEXT, TARGETS = " a to", ("a", "a", "to", "to", "to")
ROWS = ([4.0, 0, 0, 0, 0], [1, 9, 0, 0, 0], [1, 0, 1, 0, 0], [16, 9, 16, 9, 0], [1, 1, 4, 9, 1])
PREDICT = (("the", "a", "of"), ("a", "an", "as"), ("the", "of", "and"), ("the", "to", "a"), ("at", "as", "to"))


def rows() -> list[dict[str, Any]]:
    return [
        {
            "char": TEXT[place],
            "target": TARGETS[place],
            "predict": list(PREDICT[place]),
            "probability": [0.5, 0.25, 0.125],
            "connectivity": list(ROWS[place]),
        }
        for place in range(len(TEXT))
    ]


def read(value: object) -> Any:
    return read_article(json.dumps(value).encode(), "GRU")


# --- A file by hand ---------------------------------------------------------------------------------------------------


def test_a_file_by_hand():
    text = read(rows())
    assert (text.name, text.text, text.desired, text.targets, text.window) == ("GRU", TEXT, TARGETS, TARGETS, 0)
    assert text.suggestions[1] == (("a", 0.5), ("an", 0.25), ("as", 0.125))
    found = text.connectivity
    assert found.mode == "squared" and found.words == (0, 0, 1, 1, 1)
    assert found.values.dtype == np.float32 and found.values.tolist() == [list(row) for row in ROWS]
    assert found.peaks.tolist() == [4, 9, 1, 16, 9]
    assert found.relative[3].tolist() == [1, 0.5625, 1, 0.5625, 0]


def test_the_metrics_of_a_file_by_hand():
    text = read(rows())
    assert [hits(text, top) for top in (1, 2, 3)] == [(1, 5), (3, 5), (4, 5)]
    # " to" begins at 2: outside are 1/2 at its space, 25/50 at t, 2/16 at o; the first word has 0 twice
    assert [(one.total, one.rows) for one in memorization_score(text, 2)] == [
        (0.5, 2), (pytest.approx(0.5, abs=1e-7), 2), (pytest.approx(0.125, abs=1e-7), 1),
    ]  # fmt: skip
    # lags 0, 1/10, 2/2, (16·3 + 9·2 + 16)/50, (4 + 3 + 4·2 + 9)/16
    assert influence_by_distance(text).mean_lag == pytest.approx((0 + 0.1 + 1 + 82 / 50 + 24 / 16) / 5, rel=1e-6)
    rooted = with_mode(text, "one-hot")
    # 2 | 1 3 | 1 0 1 | 4 3 4 3 | 1 1 2 3 1
    assert [one.total for one in memorization_score(rooted, 2)] == pytest.approx([0.5, 0.5, 0.25], rel=1e-6)
    assert influence_by_distance(rooted).mean_lag == pytest.approx((0 + 0.25 + 1 + 22 / 14 + 14 / 8) / 5, rel=1e-6)
    assert influence_by_distance(text).shares[4] == pytest.approx(1 / 16, rel=1e-6)


@pytest.mark.parametrize("target", ["<unknown>", "<eos>", ""])
def test_rows_of_no_word_are_masked(target):
    changed = rows()
    for place in (2, 3, 4):
        changed[place]["target"] = target
    changed[0]["predict"][2] = "<unknown>"  # a suggestion stays as it is
    text = read(changed)
    assert text.desired == text.targets == ("a", "a", "", "", "")
    assert text.connectivity.words == (0, 0, MASKED, MASKED, MASKED)
    assert not text.connectivity.values[2:].any() and not text.connectivity.peaks[2:].any()
    assert hits(text, 3) == (2, 2) and text.suggestions[0][2] == ("<unknown>", 0.125)
    assert influence_by_distance(text).rows == 2


def test_what_is_allowed_beside_the_article():
    changed = [{**row, "comment": [1]} for row in rows()]
    changed[1]["char"] = "É"
    changed[1]["probability"] = [0.1, 0, 1]
    text = read_article(b"\xef\xbb\xbf" + json.dumps(changed).encode(), "x")  # the mark that some editors begin with
    assert text.text == " É to"
    assert text.suggestions[1] == (("as", 1.0), ("a", 0.1), ("an", 0.0))  # most probable first


def test_one_row():
    text = read([{**rows()[0], "connectivity": [7]}])
    assert len(text) == 1 and text.connectivity.values.tolist() == [[7.0]]


# --- What is no such file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"char,target\n", "not JSON"),
        (b"\xff\xfe[]", "not JSON"),
        (b"[" + b"9" * 5000 + b"]", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"char": " "}', "not a list"),
        (b"null", "not a list"),
        (b"[3]", "Row 1: it is not an object"),
        (b"[[]]", "Row 1: it is not an object"),
        (b"[{}]", 'Row 1: there is no "char"'),
    ],
)
def test_other_files(content, says):
    with pytest.raises(InputError, match=says) as found:
        read_article(content, "x")
    assert "Give a file in the layout of the article's" in str(found.value) and len(str(found.value)) < 300


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("char", "ab", "one printable character"),
        ("char", "", "one printable character"),
        ("char", "\n", "one printable character"),
        ("char", "\ud800", "one printable character"),
        ("char", "\u202e", "one printable character"),
        ("char", 7, "one printable character"),
        ("char", "<eos>", "Leave out these rows"),
        ("target", None, '"target" is not a word'),
        ("target", "a" * 101, "at most 100"),
        ("target", "a\nb", '"target" is not a word'),
        ("predict", "the", '"predict" is not a list of 3'),
        ("predict", ["a", "b"], '"predict" is not a list of 3'),
        ("predict", ["a", "b", 3], '"predict" is not a word'),
        ("predict", ["a", "b", "\ud800"], '"predict" is not a word'),
        ("probability", None, '"probability" is not a list of 3'),
        ("probability", [0.5, 0.25], '"probability" is not a list of 3'),
        ("probability", [0.5, 0.25, True], '"probability" is not a list of 3'),
        ("probability", [0.5, 0.25, "0"], '"probability" is not a list of 3'),
        ("probability", [1.5, 0, 0], "between 0 and 1"),
        ("probability", [-0.5, 0, 0], "between 0 and 1"),
        ("probability", [float("nan"), 0, 0], "between 0 and 1"),
        ("connectivity", {}, "not a list of numbers"),
        ("connectivity", [0, 0, "0", 0, 0], "not a list of numbers"),
        ("connectivity", [0, 0, [0], 0, 0], "not a list of numbers"),
        ("connectivity", [0, True, 0, 0, 0], "not a list of numbers"),
        ("connectivity", [0, 0, None, 0, 0], "not a list of numbers"),
        ("connectivity", [0, 0, 0, 0], "has 4 numbers, and the text 5 characters"),
        ("connectivity", [0] * 6, "has 6 numbers, and the text 5 characters"),
        ("connectivity", [], "has 0 numbers"),
        ("connectivity", [1, float("nan"), 0, 0, 0], "not finite"),
        ("connectivity", [1, float("inf"), 0, 0, 0], "not finite"),
        ("connectivity", [10**400, 0, 0, 0, 0], "not finite"),
        ("connectivity", [1e39, 0, 0, 0, 0], "beyond the range of float32"),
        ("connectivity", [1, -1e-9, 0, 0, 0], "negative"),
        ("connectivity", [1, 0, 0, 1e-30, 0], "not 0 after the row's own character"),
    ],
)
def test_wrong_rows_are_named(key, value, says):
    changed = rows()
    changed[2][key] = value
    with pytest.raises(InputError, match=says) as found:
        read(changed)
    assert str(found.value).startswith("Row 3: ")


@pytest.mark.parametrize("key", ["char", "target", "predict", "probability", "connectivity"])
def test_every_key_is_needed(key):
    changed = rows()
    del changed[4][key]
    with pytest.raises(InputError, match=f'Row 5: there is no "{key}"'):
        read(changed)


def test_a_row_of_a_masked_word_is_checked_all_the_same():
    changed = rows()
    changed[1] |= {"target": "<unknown>", "connectivity": [1, 1, 1, 0, 0]}
    with pytest.raises(InputError, match=r"Row 2: .* not 0 after"):
        read(changed)


def test_files_that_are_too_long():
    with pytest.raises(InputTooLong, match="more than 20 MB"):
        read_article(b" " * (MOST_BYTES + 1), "x")
    with pytest.raises(InputTooLong, match="1,001 rows"):
        read([{}] * (MOST_ROWS + 1))
    with pytest.raises(InputTooLong, match="more values"):
        read_article(b"[" + b"{}," * 2_000_000 + b"{}]", "x")
    with pytest.raises(EmptyInput, match="no rows"):
        read([])


def test_the_longest_file_that_is_read():
    row = {**rows()[0], "connectivity": [0] * MOST_ROWS}
    text = read([{**row, "char": " a"[place % 2]} for place in range(MOST_ROWS)])
    assert len(text) == MOST_ROWS


# --- The published files ----------------------------------------------------------------------------------------------


def test_the_published_numbers():
    """Every figure to the digits that are known of it."""
    if not PUBLISHED.is_dir():
        pytest.skip(f"the article's data files are not in {PUBLISHED.parent.name}/{PUBLISHED.name} beside the project")
    names = ("gru", "lstm", "nlstm")
    texts = [read_article((PUBLISHED / f"connectivity_{name}.json").read_bytes(), name) for name in names]
    assert [len(text) for text in texts] == [198] * 3 and {text.text for text in texts} == {texts[0].text}
    assert texts[0].text.startswith(" context the formal study of grammar is") and "" not in texts[0].targets
    assert [hits(text, 1) for text in texts] == [(127, 198), (124, 198), (106, 198)]
    assert [hits(text, 3) for text in texts] == [(149, 198), (146, 198), (136, 198)]
    gru = texts[0].connectivity
    assert [int(gru.values[row].argmax()) for row in (34, 106)] == [30, 98]
    assert [round(float(gru.peaks[row]), 3) for row in (34, 106)] == [74.147, 13.664]
    assert [[round(one.share, 2) for one in memorization_score(text, 2)] for text in texts] == [
        [0.76, 0.58, 0.47],
        [0.82, 0.55, 0.44],
        [0.64, 0.06, 0.04],
    ]
    assert [round(influence_by_distance(text).mean_lag, 1) for text in texts] == [10.8, 6.8, 1.0]
    assert [round(influence_by_distance(with_mode(text, "one-hot")).mean_lag, 1) for text in texts] == [27.2, 19.6, 2.2]
