"""A trace as one NPZ file, and back: arrays as they are, everything else as JSON."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.errors import InputError
from engine.interventions import from_json, to_json
from engine.types import AttentionMap, Tokens, Trace, TraceRequest

FORMAT = 1
TOKENS = ("source", "read", "predicted")
AXES = {
    "encoder": ("source", "source", None),
    "decoder": ("read", "read", "predicted"),
    "cross": ("read", "source", "predicted"),
}


def save_trace(trace: Trace, to: Path | BinaryIO) -> None:
    """Write every map (float32), the log-probabilities, the tokens and the request; `load_trace` reads it back
    equal.

    Args:
        trace: of a model's own maps, whose layers and heads are named by their numbers.
        to: where the file goes, or a file open for writing bytes, which stays open.
    """
    record = {
        "format": FORMAT,
        "request": asdict(trace.request) | {"interventions": [to_json(one) for one in trace.request.interventions]},
        "tokens": {name: asdict(getattr(trace, name)) for name in TOKENS},
        **{name: getattr(trace, name) for name in ("translation", "alternatives", "device", "milliseconds", "notes")},
    }
    arrays: dict[str, Any] = {f"map.{kind}": attention.weights for kind, attention in trace.maps.items()}
    arrays |= {"record": np.array(json.dumps(record)), "token_logprobs": trace.token_logprobs}
    with to.open("wb") if isinstance(to, Path) else nullcontext(to) as file:
        np.savez_compressed(file, **arrays)


def load_trace(path: Path) -> Trace:
    """Read what `save_trace` wrote.

    Raises:
        InputError: the file is not such a record.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            record = json.loads(str(file["record"]))
            arrays = {key.removeprefix("map."): file[key] for key in file if key.startswith("map.")}
            logprobs = file["token_logprobs"]
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}")
        return _trace(record, arrays, logprobs)
    except Exception as error:  # zipfile, zlib, numpy and json each have their own for a damaged file
        reason = str(error) or "its parts do not fit each other"
        message = f"{path.name} is no trace that this version can read ({reason}). Write it again with `saccade trace`."
        raise InputError(message) from error


def _request(values: dict[str, Any]) -> TraceRequest:
    made = values.pop("interventions", [])
    return TraceRequest(**values, interventions=tuple(from_json(one) for one in made))


def _trace(record: dict[str, Any], arrays: dict[str, np.ndarray], logprobs: np.ndarray) -> Trace:
    tokens: dict[str | None, Tokens | None] = {None: None}
    for name in TOKENS:
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in record["tokens"][name].items()}
        tokens[name] = Tokens(**values | {"spans": tuple((a, b) for a, b in values["spans"])})
    maps = {kind: AttentionMap(kind, array, *(tokens[axis] for axis in AXES[kind])) for kind, array in arrays.items()}  # type: ignore[arg-type]
    return Trace(
        request=_request(record["request"]),
        source=tokens["source"],  # type: ignore[arg-type]
        read=tokens["read"],  # type: ignore[arg-type]
        predicted=tokens["predicted"],  # type: ignore[arg-type]
        translation=record["translation"],
        maps=maps,  # type: ignore[arg-type]
        token_logprobs=logprobs,
        alternatives=tuple(tuple((label, score) for label, score in step) for step in record["alternatives"]),
        device=record["device"],
        milliseconds=record["milliseconds"],
        notes=tuple(record["notes"]),
    )
