"""Files for other programs: every label and every weight is read back equal."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.record import load_trace, save_trace
from engine.tables import COLUMNS, HeadRow, head_rows, heads_csv, map_csv, trace_bytes
from engine.types import AttentionMap, Tokens

STRANGE = (
    "a,b", '"', '""', "two\nlines", "CR LF\r\n", "\r", " space ", "", "'", ";", "\t",
    "مرحبا", "\u202eabc", "👩🏽‍🚀", "e\u0301",
    "=1+1", "+1", "-1", "@SUM(A1)", "null", "NA", "nan", "1.5", "\x00", "</s>",
)  # fmt: skip


def tokens(*labels: str) -> Tokens:
    size = len(labels)
    return Tokens("", labels, (), tuple(range(size)), ((0, 0),) * size, (False,) * size)


def written(text: str, folder: Path) -> Path:
    """A file as the documentation says."""
    path = folder / "map.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(text)
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_small_map_is_written_like_this():
    weights = np.array([[[[1.0, 0.0], [0.1, 0.9]]]], dtype=np.float32)
    made = AttentionMap("decoder", weights, tokens("<s>", "chat"), tokens("<s>", "chat"))
    assert map_csv(made, 0, [0]).split("\r\n") == [
        '"head","query_index","query","key_index","key","weight"',
        '0,0,"<s>",0,"<s>",1.0',
        '0,0,"<s>",1,"chat",0.0',
        '0,1,"chat",0,"<s>",0.100000001',
        '0,1,"chat",1,"chat",0.899999976',
        "",
    ]


def test_layer_and_head_are_those_asked_for_and_rows_are_named_as_on_screens():
    weights = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1) / 8
    made = AttentionMap("cross", weights, tokens("<s>"), tokens("cat"), tokens("chat"))
    assert map_csv(made, 1, [2]).splitlines()[1] == '2,0,"chat",0,"cat",0.625'
    assert [line[0] for line in map_csv(made, 1, [2, 0]).splitlines()[1:]] == ["2", "0"]
    assert map_csv(made, 0, [1]).splitlines()[1] == '1,0,"chat",0,"cat",0.125'


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0)])
def test_a_map_without_rows_or_columns_is_a_header(shape):
    made = AttentionMap("cross", np.zeros((1, 1, *shape), np.float32), *(tokens(*"ab"[:size]) for size in shape))
    assert list(csv.reader(io.StringIO(map_csv(made, 0, [0]), newline=""))) == [list(COLUMNS)]


def test_strange_labels_are_read_back_equal(tmp_path):
    labels = tokens(*STRANGE)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(labels)), (1, 1, len(labels))).astype(np.float32)
    rows = read(written(map_csv(AttentionMap("encoder", weights, labels, labels), 0, [0]), tmp_path))
    size = len(STRANGE)
    assert [row["key"] for row in rows] == [*STRANGE] * size
    assert [row["query"] for row in rows] == [label for label in STRANGE for _ in range(size)]
    assert [(int(row["query_index"]), int(row["key_index"])) for row in rows] == [*np.ndindex(size, size)]
    found = np.array([row["weight"] for row in rows], dtype=np.float32).reshape(size, size)
    assert found.tobytes() == weights[0, 0].tobytes()


def test_pandas_reads_the_same(tmp_path):
    labels = tokens(*STRANGE)
    weights = np.random.default_rng(0).dirichlet(np.ones(len(labels)), (1, 1, len(labels))).astype(np.float32)
    path = written(map_csv(AttentionMap("encoder", weights, labels, labels), 0, [0]), tmp_path)
    table = pandas.read_csv(path, dtype={"query": str, "key": str}, keep_default_na=False)
    assert tuple(table["key"][: len(labels)]) == labels.labels
    assert np.array_equal(table["weight"].to_numpy(np.float32).reshape(weights.shape), weights)


def test_pandas_takes_no_label_for_a_number(tmp_path):
    labels = tokens("007", "1.50")
    path = written(
        map_csv(AttentionMap("encoder", np.eye(2, dtype=np.float32)[None, None], labels, labels), 0, [0]), tmp_path
    )
    table = pandas.read_csv(path, dtype={"query": str, "key": str}, keep_default_na=False)
    assert table["key"].tolist() == ["007", "1.50"] * 2


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), min_size=1, max_size=4), st.data())
def test_any_labels_and_any_weights_are_read_back_equal(labels, data):
    floats = st.floats(0, 1, width=32)
    size = len(labels) ** 2
    weights = np.array(data.draw(st.lists(floats, min_size=size, max_size=size)), dtype=np.float32)
    made = AttentionMap("encoder", weights.reshape(1, 1, len(labels), -1), tokens(*labels), tokens(*labels))
    stored = map_csv(made, 0, [0]).encode("utf-8")
    rows = list(csv.DictReader(io.StringIO(stored.decode("utf-8"), newline="")))
    assert [row["key"] for row in rows[: len(labels)]] == labels
    assert [row["query"] for row in rows[:: len(labels)]] == labels
    assert np.array([row["weight"] for row in rows], dtype=np.float32).tobytes() == weights.tobytes()


def test_nine_digits_are_enough_for_every_float32():
    """Neighbours by their bits, the smallest and the subnormal ones included."""
    bits = np.random.default_rng(0).integers(0, 0x3F800000, 20_000, dtype=np.uint32)
    bits = np.concatenate([bits, np.arange(50, dtype=np.uint32), 0x3F800000 - np.arange(50, dtype=np.uint32)])
    weights = bits.view(np.float32)
    made = AttentionMap("cross", weights[None, None, :, None], tokens(*["q"] * len(bits)), tokens("k"))
    rows = csv.DictReader(io.StringIO(map_csv(made, 0, [0]), newline=""))
    assert np.array([row["weight"] for row in rows], dtype=np.float32).tobytes() == weights.tobytes()


def test_the_bytes_of_a_trace_are_its_file(tiny_runner, tmp_path):
    trace = tiny_runner.trace("The cat sleeps.")
    path = tmp_path / "trace.npz"
    path.write_bytes(trace_bytes(trace))
    found = load_trace(path)
    assert found.request == trace.request and found.translation == trace.translation
    for kind, attention in trace.maps.items():
        assert np.array_equal(found.maps[kind].weights, attention.weights)
        assert found.maps[kind].row_labels == attention.row_labels
    save_trace(trace, tmp_path / "saved.npz")
    with np.load(path) as one, np.load(tmp_path / "saved.npz") as other:
        assert sorted(one) == sorted(other)
        assert all(one[name].tobytes() == other[name].tobytes() for name in one)


# --- The heads of a minimal pair --------------------------------------------------------------------------------------

FIRST = {"encoder": np.array([[0.5, -0.25], [0.0, 0.75]]), "cross": np.array([[0.125, np.nan]])}
SECOND = {"encoder": np.array([[0.25, -0.5], [0.0, -0.75]]), "cross": np.array([[0.0625, 0.5]])}
CHANGES = (
    {"encoder": np.array([[1.0, -2.0], [0.0, 3.5]]), "cross": np.array([[-0.5, 0.25]])},
    {"encoder": np.array([[0.5, 0.0], [-1.5, 4.0]]), "cross": np.array([[2.0, 0.125]])},
)


def test_rows_of_heads_by_hand():
    """All of these numbers are exact in binary."""
    rows = head_rows((FIRST, SECOND), CHANGES)
    assert rows[:4] == [
        HeadRow("encoder", 1, 1, 0.5, 0.25, 0.25, 1.0, 0.5, True),
        HeadRow("encoder", 1, 2, -0.25, -0.5, 0.25, -2.0, 0.0, True),
        HeadRow("encoder", 2, 1, 0.0, 0.0, 0.0, 0.0, -1.5, False),  # no preference at all
        HeadRow("encoder", 2, 2, 0.75, -0.75, 1.5, 3.5, 4.0, False),
    ]
    assert rows[4] == HeadRow("cross", 1, 1, 0.125, 0.0625, 0.0625, -0.5, 2.0, True)
    assert len(rows) == 6
    assert all(type(value) in (str, int, float, bool) for row in rows for value in row)  # numpy stays inside


def test_a_head_that_was_not_measured():
    row = head_rows((FIRST, SECOND), CHANGES)[5]
    assert (row.map, row.layer, row.head, row.second, row.off_first, row.off_second) == (
        "cross",
        1,
        2,
        0.5,
        0.25,
        0.125,
    )
    assert np.isnan(row.first) and np.isnan(row.change) and row.keeps is False


def test_without_a_sweep_the_rest_is_there():
    rows = head_rows((FIRST, SECOND))
    assert all(np.isnan([row.off_first, row.off_second]).all() for row in rows)
    assert [row[:5] for row in rows[:5]] == [row[:5] for row in head_rows((FIRST, SECOND), CHANGES)[:5]]


@pytest.mark.parametrize("margins", [{}, {"encoder": np.zeros((0, 0))}])
def test_no_heads_are_no_rows(margins):
    assert head_rows((margins, margins)) == []
    assert heads_csv((margins, margins)) == ",".join(HeadRow._fields) + "\r\n"


def test_the_csv_of_heads_by_hand():
    """What was not measured is empty, also whether a head keeps its preference."""
    assert heads_csv((FIRST, SECOND), CHANGES).split("\r\n") == [
        "map,layer,head,first,second,change,off_first,off_second,keeps",
        "encoder,1,1,0.500000,0.250000,0.250000,1.000000,0.500000,yes",
        "encoder,1,2,-0.250000,-0.500000,0.250000,-2.000000,0.000000,yes",
        "encoder,2,1,0.000000,0.000000,0.000000,0.000000,-1.500000,no",
        "encoder,2,2,0.750000,-0.750000,1.500000,3.500000,4.000000,no",
        "cross,1,1,0.125000,0.062500,0.062500,-0.500000,2.000000,yes",
        "cross,1,2,,0.500000,,0.250000,0.125000,",
        "",
    ]
    assert heads_csv((FIRST, SECOND)).split("\r\n")[1] == "encoder,1,1,0.500000,0.250000,0.250000,,,yes"


def test_pandas_reads_the_heads():
    rng = np.random.default_rng(0)
    margins = [{"decoder": rng.uniform(-1, 1, (3, 4)).astype(np.float32)} for _ in range(2)]
    changes = [{"decoder": rng.normal(0, 2, (3, 4)).astype(np.float32)} for _ in range(2)]
    table = pandas.read_csv(io.StringIO(heads_csv(margins, changes)))
    assert table["layer"].tolist() == [1] * 4 + [2] * 4 + [3] * 4 and table["head"].tolist() == [1, 2, 3, 4] * 3
    columns = {"first": margins[0], "second": margins[1], "off_first": changes[0], "off_second": changes[1]}
    for name, values in columns.items():  # six digits: half a unit of the last
        np.testing.assert_allclose(table[name], values["decoder"].ravel(), rtol=0, atol=5.1e-7)
    assert set(table["keeps"]) == {"yes", "no"}
