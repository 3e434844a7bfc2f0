"""The overview of a long text as files."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from engine.long_text.overview import overview
from engine.long_text.tables import COLUMNS, overview_csv, overview_npz
from tests.engine.long_text.texts import transformer_reading


def test_the_table_has_a_line_for_each_head() -> None:
    reading, _ = transformer_reading(30, 20)
    found = overview(reading)
    header, *rows = csv.reader(io.StringIO(overview_csv(found)))
    assert tuple(header) == COLUMNS
    assert len(rows) == (2 + 3 + 3) * 4
    assert [row[:3] for row in rows[:5]] == [["encoder", "1", str(head)] for head in (1, 2, 3, 4)] + [
        ["encoder", "2", "1"]
    ]
    kind, layer, head, name, first, entropy, distance = rows[9]
    assert (kind, layer, head, name) == ("decoder", "1", "2", found.patterns("decoder")[0][1].name)
    means = [float(values["decoder"][0, 1]) for values in (found.first, found.entropy, found.distance)]
    assert [float(value) for value in (first, entropy, distance)] == pytest.approx(means, rel=1e-5)
    assert {row[6] for row in rows if row[0] == "cross"} == {""}  # no distance between two texts


def test_the_arrays_are_the_overview_without_pickle() -> None:
    reading, _ = transformer_reading(100, 20)
    found = overview(reading)
    with np.load(io.BytesIO(overview_npz(found)), allow_pickle=False) as file:
        assert len(file.files) == 1 + 6 * 3
        assert (file["pooled cross"] == found.pooled["cross"]).all()
        assert (file["columns cross"] == found.columns["cross"]).all() and file["columns cross"][-1] == 100
        np.testing.assert_array_equal(file["distance cross"], found.distance["cross"])
        assert json.loads(str(file["request"])) == {"model": "small@12345678", "text": "numbers", "notes": []}
