"""Maps and traces as files for other programs: some heads as CSV, a whole trace as NPZ."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.coreference import keeps_preference
from engine.record import save_trace
from engine.types import AttentionMap, Kind, Trace


class HeadRow(NamedTuple):
    """One head of a minimal pair; layers and heads count from 1 here.

    Attributes:
        map: "encoder", "decoder" or "cross".
        layer, head: from 1.
        first, second: the preference in each sentence: attention from the pronoun to candidate A minus that to B.
        change: the first minus the second.
        off_first, off_second: what switching the head off adds to the log-odds, in nats.
        keeps: whether it prefers the same candidate in both.
    """

    map: Kind
    layer: int
    head: int
    first: float
    second: float
    change: float
    off_first: float
    off_second: float
    keeps: bool


COLUMNS = ("head", "query_index", "query", "key_index", "key", "weight")


def map_csv(attention: AttentionMap, layer: int, heads: Sequence[int]) -> str:
    """Some heads of a layer as CSV (RFC 4180): for each, one line for every pair of a query and a key, masked or not.

    Columns: `head`, `query_index` and `key_index` count from 0, since labels repeat; `query` is the row's label as
    screens show it (the token predicted for cross maps, the token itself otherwise), `key` the token looked at;
    `weight` is in [0, 1], with nine significant digits: enough to give the very float32 back.

    Labels are in quotation marks and otherwise exactly as they are, line breaks included. That also holds for those
    that begin with = + - or @, which a spreadsheet may take for a formula: import these two columns as text. Written
    to a file as UTF-8 with newline="", the text is read back equal by

        rows = list(csv.DictReader(open(path, newline="", encoding="utf-8")))
        weights = np.array([row["weight"] for row in rows], dtype=np.float32)
        weights = weights.reshape(heads, queries, keys)

    and by `pandas.read_csv(path, dtype={"query": str, "key": str}, keep_default_na=False)`, which without these options
    takes a token "null" for nothing and "007" for a number.

    Args:
        attention: pieces or words, reduced or not.
        layer: from 0.
        heads: from 0, in the order in which they are written.

    Returns:
        A header and one line for each pair, each ended by CR LF. Of a map without rows or columns, the header.
    """
    columns = list(enumerate(attention.key_tokens.labels))
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for head in heads:
        weights = attention.weights[layer, head]
        for i, query in enumerate(attention.row_labels):
            writer.writerows((head, i, query, j, key, _decimal(weights[i, j])) for j, key in columns)
    return text.getvalue()


def head_rows(
    margins: Sequence[Mapping[Kind, np.ndarray]], changes: Sequence[Mapping[Kind, np.ndarray]] | None = None
) -> list[HeadRow]:
    """One row for each head of a minimal pair.

    Args:
        margins: of both sentences, by kind (layer, head); NaN where not measured.
        changes: of the log-odds with the head off, in both sentences; None where they were not measured.
    """
    first, second = margins
    rows = []
    for kind, one in first.items():
        keeps = keeps_preference(one, second[kind])
        for at in np.ndindex(one.shape):
            a, b = float(one[at]), float(second[kind][at])
            off = [float(side[kind][at]) for side in changes] if changes else [math.nan, math.nan]
            rows.append(HeadRow(kind, at[0] + 1, at[1] + 1, a, b, a - b, off[0], off[1], bool(keeps[at])))
    return rows


def heads_csv(
    margins: Sequence[Mapping[Kind, np.ndarray]], changes: Sequence[Mapping[Kind, np.ndarray]] | None = None
) -> str:
    """`head_rows` as CSV (RFC 4180), six digits behind the point; what was not measured is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HeadRow._fields)
    for row in head_rows(margins, changes):
        numbers = ["" if math.isnan(value) else f"{value:.6f}" for value in row[3:8]]
        keeps = "" if math.isnan(row.change) else "yes" if row.keeps else "no"
        writer.writerow([row.map, row.layer, row.head, *numbers, keeps])
    return text.getvalue()


def _decimal(weight: np.float32) -> float:
    """The number of nine significant digits nearest to a float32, which csv writes with those digits.

    It is off by 5e-9 of the weight at most, and half-way to the next float32 is 3e-8: it rounds back to the same one.
    """
    return float(f"{weight:.9g}")


def trace_bytes(trace: Trace) -> bytes:
    """The NPZ file that `engine.record.save_trace` writes: every map, the tokens and the request."""
    file = io.BytesIO()
    save_trace(trace, file)
    return file.getvalue()
