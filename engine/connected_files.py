"""Connected texts as files for other programs: rows as CSV, whole matrices as NPZ."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from engine.types import ConnectedText

FORMAT = 1
COLUMNS = ("network", "output", "reads", "target", "input", "character", "influence", "share_of_largest")


def connected_csv(texts: Sequence[ConnectedText]) -> str:
    """One line for every pair of an output position and a character up to there (RFC 4180).

    Columns: `output` and `input` count positions from 0; `reads` and `character` are the characters there, `target` the
    word whose logit the row is about; `influence` is in the text's mode, with nine significant digits, and
    `share_of_largest` the same divided by the row's largest, in [0, 1]. Rows without a target are left out.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for text in texts:
        found = text.connectivity
        for output, target in enumerate(text.targets):
            if not target:
                continue
            values, shares = found.values[output], found.relative[output]
            for place in range(output + 1):
                writer.writerow(
                    (
                        text.name,
                        output,
                        text.text[output],
                        target,
                        place,
                        text.text[place],
                        f"{values[place]:.9g}",
                        f"{shares[place]:.9g}",
                    )
                )
    return out.getvalue()


def connected_npz(texts: Mapping[str, ConnectedText]) -> bytes:
    """Every matrix as computed, and what it is about.

    Arrays: for each key `NAME.values` and `NAME.relative`, float32 (T, T), row = output position, and `NAME.peaks`,
    float64 (T,); `record`, a JSON string with each text's characters, desired words, targets, suggestions, mode and
    window. `numpy.load` reads it without pickle.
    """
    arrays: dict[str, np.ndarray] = {}
    record: dict[str, object] = {"format": FORMAT}
    for key, text in texts.items():
        found = text.connectivity
        arrays |= {f"{key}.values": found.values, f"{key}.relative": found.relative, f"{key}.peaks": found.peaks}
        named = {name: value for name, value in asdict(text).items() if name != "connectivity"}
        record[key] = {**named, "mode": found.mode, "words": found.words}
    out = io.BytesIO()
    np.savez_compressed(out, record=np.array(json.dumps(record)), **arrays)  # type: ignore[arg-type]
    return out.getvalue()
