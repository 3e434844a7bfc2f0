"""The neurons of a row as files for other programs: every number as CSV, or query, keys and logits as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.neurons import Neurons

COLUMNS = ("key_index", "key", "allowed", "dimension", "q", "k", "product", "running_sum")


def neurons_csv(found: Neurons, keys: Sequence[int] | None = None) -> str:
    """The numbers of a row as CSV (RFC 4180): a line for each dimension of each key.

    Columns: `key_index` and `dimension` count from 0; `key` is the token looked at, in quotation marks and otherwise as
    it is; `allowed` is 1 or 0; `product` is q·k·scaling of the one dimension and `running_sum` that of all up to it.

    Args:
        found: the row.
        keys: which, from 0; None for all.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    query = [_decimal(value) for value in found.query]
    for key in range(len(found.keys)) if keys is None else keys:
        start = (key, found.key_tokens.labels[key], int(found.allowed[key]))
        columns = zip(query, found.keys[key], found.products[key], found.running[key], strict=True)
        for dimension, (looks, *rest) in enumerate(columns):
            writer.writerow((*start, dimension, looks, *map(_decimal, rest)))
    return text.getvalue()


def neurons_json(found: Neurons) -> str:
    """Everything of a row but products and running sums, which follow from it; what is −∞ is null."""
    content: dict[str, Any] = {
        "model": found.request.model,
        "text": found.request.text,
        "kind": found.kind,
        **{name: getattr(found, name) for name in ("layer", "head", "key_head", "shared_by", "row")},
        "query_token": found.query_tokens.labels[found.row],
        "predicted_token": found.predicted_tokens.labels[found.row] if found.predicted_tokens else None,
        "key_tokens": found.key_tokens.labels,
        **{name: getattr(found, name) for name in ("scaling", "cap", "sink", "sink_weight")},
        "allowed": found.allowed.tolist(),
        "query": _decimals(found.query),
        "keys": [_decimals(key) for key in found.keys],
        **{name: _decimals(getattr(found, name)) for name in ("bias", "capped", "logits", "weights")},
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def _decimal(value: np.float32) -> float:
    """The number of nine significant digits, which is read back as the same float32."""
    return float(f"{value:.9g}")


def _decimals(values: np.ndarray) -> list[float | None]:
    return [_decimal(value) if np.isfinite(value) else None for value in values]
