"""Attention that somebody else's program saved, as a trace: every view works on it, without a model.

A file is NPZ, or safetensors with its tokens in the metadata or in a second file, JSON. Arrays called "encoder",
"decoder" and "cross" hold weights (layer, head, query, key); JSON says which tokens they are between. The whole layout
stands in docs/uploaded-attention.md. What `engine.record.save_trace` writes is read too.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.model_card import ModelCard
from engine.text import quoted
from engine.types import KINDS, AttentionMap, Trace, TraceRequest
from engine.uploads.arrays import Unpacked, unpack
from engine.uploads.checks import LONGEST_TITLE
from engine.uploads.maps import maps_of
from engine.uploads.marks import clean
from engine.uploads.texts import texts_of
from engine.uploads.tokens import FIELDS

NAME = "uploaded"
KNOWN = ("source", "target", "predicted", "title", "rows", "logprobs", "alternatives", *FIELDS)
"""What the JSON of an upload may say."""

_TOLERANCE = 1e-3  # of a log-probability above 0
_MOST_ALTERNATIVES = 20


def read_upload(files: Mapping[str, bytes]) -> Trace:
    """The trace of one or two uploaded files.

    Args:
        files: content by name: a file of maps, and a JSON file with its tokens where it has none itself.

    Returns:
        A trace of the model "uploaded@" and the beginning of the content's SHA-256. A decoder map that looks at later
        tokens comes back as an encoder map. `notes` say what was concluded or left out.

    Raises:
        InputError: what cannot be used, and what to do.
    """
    unpacked = unpack(files)
    arrays = dict(unpacked.arrays)
    told, origin = _told(unpacked)
    logprobs = [array for name in ("logprobs", "token_logprobs") if (array := arrays.pop(name, None)) is not None]
    maps = maps_of(arrays, unpacked.half, free=_rows_free(told))
    weights, notes = dict(maps.weights), [*origin, *maps.notes]
    if maps.forward:
        if len(weights) > 1:
            raise InputError(
                "The decoder map looks at later tokens, which a decoder cannot. If it is an encoder's, save it as "
                "“encoder”, without the others; else look whether rows and columns are swapped."
            )
        weights = {"encoder": weights["decoder"]}
        notes.append("The decoder map looks at later tokens: it is shown as one of an encoder.")
    source, read, predicted, said = texts_of(told, weights, forward=maps.forward)
    steps = len(predicted)
    alone = len(weights) == 1 and "cross" not in weights
    axes = {
        "encoder": (source, source, None),
        "decoder": (read, read, predicted),
        "cross": (read, source, predicted),
    }
    whole = source.text if "encoder" in weights or "cross" in weights else read.text
    return Trace(
        request=TraceRequest(_identity(files), _title(told.get("title")) or clean(whole[:LONGEST_TITLE]), None, 0),
        source=source,
        read=read,
        predicted=predicted,
        translation="" if alone else predicted.text,
        maps={
            kind: AttentionMap(kind, weights[kind], *axes[kind], source_name="" if alone else "source")
            for kind in KINDS
            if kind in weights
        },
        token_logprobs=_logprobs(logprobs[0] if logprobs else told.get("logprobs"), steps),
        alternatives=_alternatives(told.get("alternatives"), steps),
        notes=(*notes, *said),
    )


def upload_card(trace: Trace) -> ModelCard:
    """What stands for the model of an uploaded trace: it has no weights, and can do nothing but be looked at."""
    name, _, version = trace.request.model.partition("@")
    return ModelCard(
        name=name,
        family="huggingface",
        title="Uploaded attention",
        summary="Maps from a file, without a model.",
        sha256={"weights.safetensors": version},
        supports=frozenset(trace.maps),
        longest=0,
        data=(),
        licence="",
        limits=("It can be looked at and nothing else: there is no model.",),
    )


def can_play(trace: Trace) -> bool:
    """Whether the maps are of one text that was written token by token: decoder and cross maps of as many layers."""
    layers = {trace.maps[kind].layers for kind in ("decoder", "cross") if kind in trace.maps}
    return len(layers) == 1 and len(trace.predicted) > 0


def upload_bytes(trace: Trace) -> bytes:
    """A trace as an NPZ file in the layout of uploads: an example to learn it from. Maps are float16."""
    described: dict[str, Any] = {"title": trace.request.text, "logprobs": trace.token_logprobs.round(4).tolist()}
    for name, tokens in (("source", trace.source), ("target", trace.read), ("predicted", trace.predicted)):
        if len(tokens):
            told = asdict(tokens)
            described[name] = {"tokens": told["labels"], **{key: told[key] for key in FIELDS if key in told}}
    if set(trace.maps) == {"decoder"}:
        described["tokens"] = described.pop("target")
        described.pop("source", None)
    file = io.BytesIO()
    maps: dict[str, Any] = {kind: attention.weights.astype(np.float16) for kind, attention in trace.maps.items()}
    np.savez_compressed(file, json=np.array(json.dumps(described)), **maps)
    return file.getvalue()


def _identity(files: Mapping[str, bytes]) -> str:
    """The same for the same content, whatever the files are called."""
    digest = hashlib.sha256(b"".join(sorted(hashlib.sha256(content).digest() for content in files.values())))
    return f"{NAME}@{digest.hexdigest()[:8]}"


# ---- what the file says ----


def _told(unpacked: Unpacked) -> tuple[dict[str, Any], list[str]]:
    """The description under its own names, and notes on where it comes from and what of it means nothing."""
    given = dict(unpacked.description)
    if "request" in given and "format" in given:
        return _of_record(given)
    for name in ("source", "target", "predicted"):
        other = f"{name}_tokens"
        if other in given:
            if name in given:
                raise InputError(f"The file has {quoted(name)} and {quoted(other)}. Give one of them.")
            given[name] = given.pop(other)
    unknown = [name for name in given if name not in KNOWN]
    some = ", ".join(map(quoted, unknown[:5])) + (" …" if len(unknown) > 5 else "")
    note = f"{some} in the file mean nothing here and were left out. Known are: {', '.join(dict.fromkeys(KNOWN))}."
    return {name: given[name] for name in KNOWN if name in given}, [note] if unknown else []


def _of_record(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The same of a trace that Saccade has written."""
    try:
        sides = {name: dict(record["tokens"][name]) for name in ("source", "read", "predicted")}
        told = {
            name: {"tokens": side["labels"], **{key: side[key] for key in FIELDS if key in side}}
            for name, side in sides.items()
            if side["labels"]
        }
        model = str(record["request"]["model"])
        found: dict[str, Any] = {
            "source": told.get("source"),
            "target": told.get("read"),
            "predicted": told.get("predicted"),
        }
        found |= {"title": record["request"]["text"], "alternatives": record.get("alternatives"), "rows": "free"}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            "This looks like a trace of Saccade and is damaged. Save it again (“All maps, NPZ”)."
        ) from error
    made = f"Saved by Saccade from {clean(model[:80])}."
    return {name: value for name, value in found.items() if value is not None}, [made]


def _rows_free(told: Mapping[str, Any]) -> bool:
    rows = told.get("rows", "sum to 1")
    if rows not in ("free", "sum to 1"):
        raise InputError(f'“rows” is {quoted(str(rows))}. Write "free" where rows need not sum to 1, or leave it out.')
    return bool(rows == "free")


def _title(given: Any) -> str:
    if given is not None and not isinstance(given, str):
        raise InputError('The title should be a string. Write "title": "…", or leave it out.')
    return clean(given[:LONGEST_TITLE]) if given else ""


# ---- probabilities ----


def _logprobs(given: Any, steps: int) -> np.ndarray:
    """Float32 (T,), ≤ 0; NaN where unknown."""
    if given is None or steps == 0:
        return np.full(steps, np.nan, dtype=np.float32)
    values = given.tolist() if isinstance(given, np.ndarray) else given
    wrong = "“logprobs” should be a list of natural logarithms, each 0 or less, or null where it is unknown."
    if not isinstance(values, list) or not all(one is None or type(one) in (int, float) for one in values):
        raise InputError(wrong)
    if len(values) != steps:
        raise InputError(
            f"The maps have {steps:,} rows and there are {len(values):,} log-probabilities. Give one a row."
        )
    try:
        found = np.array([math.nan if one is None else one for one in values], dtype=np.float64)
    except OverflowError as error:  # a whole number beyond every float
        raise InputError(wrong) from error
    if (found > _TOLERANCE).any() or np.isposinf(found).any():
        raise InputError(f"{wrong} The highest is {np.nanmax(found):.3g}.")
    return np.minimum(found, 0.0).astype(np.float32)


def _alternatives(given: Any, steps: int) -> tuple[tuple[tuple[str, float], ...], ...]:
    """What else was probable at each step, as pairs of a label and a log-probability."""
    if not given or steps == 0:
        return ()
    try:
        found = tuple(
            tuple((clean(str(label)[:80]), min(float(value), 0.0)) for label, value in step[:_MOST_ALTERNATIVES])
            for step in given
        )
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError("“alternatives” should be a list of pairs [label, log-probability] for each row.") from error
    if len(found) != steps or any(math.isnan(value) for step in found for _, value in step):
        raise InputError(
            f"The maps have {steps:,} rows and the file {len(found):,} lists of alternatives. Give one a row."
        )
    return found
