"""The overview of a long text as files: a table of heads, and the pooled maps."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np

from engine.long_text.overview import Overview

COLUMNS = (
    "attention", "layer", "head", "pattern", "weight on the first token", "entropy in bits", "distance in tokens",
)  # fmt: skip


def overview_csv(found: Overview) -> str:
    """One line for each head of each layer, with its means over all rows; layers and heads count from 1 (RFC 4180)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for kind in found.pooled:
        patterns = found.patterns(kind)
        numbers = (found.first[kind], found.entropy[kind], found.distance[kind])
        for layer, head in np.ndindex(found.first[kind].shape):
            means = [_number(float(values[layer, head])) for values in numbers]
            writer.writerow((kind, layer + 1, head + 1, patterns[layer][head].name, *means))
    return text.getvalue()


def _number(value: float) -> float | str:
    return "" if math.isnan(value) else float(f"{value:.6g}")


def overview_npz(found: Overview) -> bytes:
    """The pooled maps, where their blocks begin, the means of heads, and the request as JSON.

    Arrays are called as the fields of `Overview`, with the kind of attention behind: "pooled encoder".
    """
    names = ("pooled", "rows", "columns", "first", "entropy", "distance")
    arrays = {f"{name} {kind}": getattr(found, name)[kind] for name in names for kind in found.pooled}
    request = {"model": found.request.model, "text": found.request.text, "notes": found.notes}
    file = io.BytesIO()
    np.savez_compressed(file, request=np.array(json.dumps(request, ensure_ascii=False)), **arrays)
    return file.getvalue()
