"""The maps of an uploaded file: which there are, whether they are attention, and in one form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from engine.errors import InputError
from engine.text import quoted
from engine.types import KINDS, Kind
from engine.uploads.checks import shape_text

MOST_HEADS = 256  # and layers
LOOSE = 1e-2  # how far a row may be from 1, and a weight from [0, 1]: what half precision does, and a little more
STRICT: Mapping[int, float] = {2: 2e-3, 4: 1e-4, 8: 1e-4}  # by bytes of a number; further off is said
FORWARD = 1e-6  # a weight on a later token that is still none
NAMED = 8  # rows in a message
AT_ONCE = 256  # rows of a head that are copied to be looked at

_NAME = re.compile(r"(?:map\.)?(encoder|decoder|cross)(?:\.(\d{1,4}))?")
_AXES = "(layer, head, query, key), (head, query, key) or (query, key)"
_NAMES = "Call the maps encoder, decoder and cross, or encoder.0, encoder.1, … where each layer is an array of its own."


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps as a file has them.

    Attributes:
        weights: float32 (layer, head, query, key) in [0, 1], by kind.
        forward: whether the decoder's map looks at later tokens.
        notes: what is to be said of them, as sentences.
    """

    weights: Mapping[Kind, np.ndarray]
    forward: bool = False
    notes: tuple[str, ...] = ()


def maps_of(arrays: Mapping[str, np.ndarray], half: frozenset[str] = frozenset(), *, free: bool = False) -> Maps:
    """The maps of a file, each row checked.

    Args:
        arrays: floating-point numbers by name.
        half: names of those that were bfloat16.
        free: whether rows may sum to something other than 1.

    Raises:
        InputError: no map, an unknown name, a shape that does not fit, or numbers that are no attention.
    """
    found = _stacked(arrays)
    if not found:
        raise InputError(f"There is no map in this file. {_NAMES}")
    coarse = {name.removeprefix("map.").partition(".")[0] for name in half}
    weights: dict[Kind, np.ndarray] = {}
    notes: list[str] = []
    for kind in KINDS:
        if kind in found:
            strict = LOOSE if kind in coarse else STRICT[found[kind].dtype.itemsize]
            weights[kind], said = _checked(kind, found[kind], strict, free)
            notes += said
    _check_together(weights)
    forward = "decoder" in weights and _looks_forward(weights["decoder"])
    if "decoder" in weights and not forward:
        _make_causal(weights["decoder"])
    for array in weights.values():
        array.setflags(write=False)
    return Maps(weights, forward, tuple(notes))


def _stacked(arrays: Mapping[str, np.ndarray]) -> dict[Kind, np.ndarray]:
    """Arrays (layer, head, query, key) of their own types, by kind."""
    whole: dict[str, np.ndarray] = {}
    layers: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise InputError(f"An array is called {quoted(name)}, which is no kind of attention. {_NAMES}")
        kind, layer = match[1], match[2]
        if kind in whole or (layer is None and kind in layers) or int(layer or 0) in layers.get(kind, {}):
            raise InputError(f"There are several arrays for {quoted(name)}. Give the {kind} map once. {_NAMES}")
        if layer is None:
            whole[kind] = _four(name, array)
        else:
            layers.setdefault(kind, {})[int(layer)] = _three(name, array)
    found = whole | {kind: _of_layers(kind, of) for kind, of in layers.items()}
    return {kind: _counted(kind, found[kind]) for kind in KINDS if kind in found}


def _four(name: str, array: np.ndarray) -> np.ndarray:
    """With all four axes; a batch of one that was left between layers and heads goes."""
    if array.ndim == 5 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim not in (2, 3, 4):
        batch = " Take one text of the batch: maps[:, 0]." if array.ndim == 5 else ""
        raise InputError(
            f"The array {quoted(name)} has the shape {shape_text(array.shape)}. Save it as {_AXES}.{batch}"
        )
    return array[(None,) * (4 - array.ndim)]


def _three(name: str, array: np.ndarray) -> np.ndarray:
    """One layer (head, query, key); a batch of one goes."""
    if array.ndim == 4 and array.shape[0] == 1:
        return array[0]
    if array.ndim not in (2, 3):
        raise InputError(
            f"The array {quoted(name)} is one layer and has the shape {shape_text(array.shape)}. Save it as "
            "(head, query, key)."
        )
    return array[(None,) * (3 - array.ndim)]


def _of_layers(kind: str, layers: Mapping[int, np.ndarray]) -> np.ndarray:
    if missing := [number for number in range(len(layers)) if number not in layers]:
        name = quoted(f"{kind}.{missing[0]}")
        raise InputError(f"There are {len(layers)} layers of {kind} attention but no {name}. Count layers from 0.")
    first, *others = (layers[number] for number in range(len(layers)))
    for number, other in enumerate(others, 1):
        if other.shape != first.shape:
            raise InputError(
                f"Layer {quoted(f'{kind}.0')} has the shape {shape_text(first.shape)} and {quoted(f'{kind}.{number}')} "
                f"{shape_text(other.shape)}. All layers of a kind need the same heads and tokens."
            )
    return np.stack([first, *others])


def _counted(kind: str, array: np.ndarray) -> np.ndarray:
    if 0 in array.shape:
        raise InputError(f"The {kind} map is empty: its shape is {shape_text(array.shape)}. Save it as {_AXES}.")
    for noun, count in zip(("layers", "heads"), array.shape, strict=False):
        if count > MOST_HEADS:
            raise InputError(f"The {kind} map has {count:,} {noun}; {MOST_HEADS} is the most. Save it as {_AXES}.")
    if kind != "cross" and array.shape[2] != array.shape[3]:
        raise InputError(
            f"The {kind} map has {array.shape[2]:,} rows and {array.shape[3]:,} columns, but both are the same tokens. "
            "Run the whole text in one forward, without a cache of keys."
        )
    return array


def _check_together(weights: Mapping[Kind, np.ndarray]) -> None:
    """Kinds that share a text have as many positions of it."""
    for one, axis, other, place, noun in (
        ("decoder", 2, "cross", 2, "rows"),
        ("encoder", 3, "cross", 3, "columns"),
    ):
        if one in weights and other in weights:
            first, second = weights[one].shape[axis], weights[other].shape[place]  # type: ignore[index]
            if first != second:
                raise InputError(
                    f"The {one} map has {first:,} {noun} and the {other} map {second:,}. They are of the same text: "
                    "save both from one forward."
                )


# ---- numbers ----


def _checked(kind: Kind, array: np.ndarray, strict: float, free: bool) -> tuple[np.ndarray, list[str]]:
    """The weights as float32, and what is to be said of their rows. One layer at a time, so that no copy is large."""
    weights = np.empty(array.shape, dtype=np.float32)
    sums = np.empty(array.shape[:3])
    for layer, values in enumerate(array):
        _check_numbers(kind, layer, values)
        sums[layer] = values.sum(axis=-1, dtype=np.float64)
        np.clip(values, 0.0, 1.0, out=weights[layer], casting="same_kind")
    return weights, _said_of_rows(kind, sums, strict, free)


def _check_numbers(kind: Kind, layer: int, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        head, row, _ = (int(place) + 1 for place in np.argwhere(~np.isfinite(values))[0])
        raise InputError(
            f"The {kind} map has a number that is not finite (layer {layer + 1}, head {head}, row {row}). A row with "
            "every key masked gives such: use numpy.nan_to_num, or leave padding out."
        )
    low, high = float(values.min()), float(values.max())
    if low < -LOOSE or high > 1 + LOOSE:
        raise InputError(
            f"The {kind} map has weights from {low:.3g} to {high:.3g} (layer {layer + 1}); attention is from 0 to 1. "
            "Save it after the softmax and without dropout: model.eval()."
        )


def _said_of_rows(kind: Kind, sums: np.ndarray, strict: float, free: bool) -> list[str]:
    """Notes on sums (layer, head, row) other than 1.

    Raises:
        InputError: a row is too far from 1, and rows are not free.
    """
    nothing = sums == 0
    off = np.where(nothing, 0.0, np.abs(sums - 1))
    if not free and off.max() > LOOSE:
        layer, head, row = (int(place) for place in np.unravel_index(int(off.argmax()), off.shape))
        raise InputError(
            f"Row {row + 1} of the {kind} map (layer {layer + 1}, head {head + 1}) sums to "
            f"{sums[layer, head, row]:.3g} and "
            'not to 1. If rows were cut or renormalised on purpose, add "rows": "free" to the JSON; else save the '
            "whole "
            "softmax, without dropout: model.eval()."
        )
    notes = []
    empty = nothing.all(axis=(0, 1))
    if empty.any():
        notes.append(f"{_rows(empty)} of the {kind} map {_are(empty)} all zeros, as padding has it.")
    if more := int((nothing & ~empty).sum()):
        notes.append(f"In the {kind} map {more:,} rows of single heads are all zeros.")
    if off.max() > (strict if not free else LOOSE):
        low, high = sums[~nothing].min(), sums[~nothing].max()
        why = "The file says that rows are free" if free else "This is what half precision does"
        notes.append(f"Rows of the {kind} map sum to {low:.4g} to {high:.4g}. {why}; nothing was renormalised.")
    return notes


def _rows(which: np.ndarray) -> str:
    """E.g. "Rows 8, 9": positions count from 1 on screens."""
    places = [str(int(place) + 1) for place in np.flatnonzero(which)]
    more = f" and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
    return f"{'Row' if len(places) == 1 else 'Rows'} {', '.join(places[:NAMED])}{more}"


def _are(which: np.ndarray) -> str:
    return "is" if int(which.sum()) == 1 else "are"


def _looks_forward(weights: np.ndarray) -> bool:
    return any(float(np.triu(rows, first + 1).max(initial=0.0)) > FORWARD for first, rows in _rows_of(weights))


def _make_causal(weights: np.ndarray) -> None:
    """Exactly 0 on later tokens, as masked keys are; in place, for a copy of the largest maps takes 500 MB."""
    for first, rows in _rows_of(weights):
        rows[:] = np.tril(rows, first)


def _rows_of(weights: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """A few rows of a head at a time, as views, with the number of the first."""
    for layer in weights:
        for head in layer:
            for first in range(0, len(head), AT_ONCE):
                yield first, head[first : first + AT_ONCE]
