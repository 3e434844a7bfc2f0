"""Safetensors headers, read by hand: a file is judged before any library maps it.

Source: the format's description, https://huggingface.co/docs/safetensors: 8 bytes of header length (little-endian), a
JSON header with each tensor's dtype, shape and place, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import WeightsDamaged

LONGEST_HEADER = 10_000_000  # bytes: 100,000 tensors of one file, which take a few seconds to look at
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
}  # fmt: skip
METADATA = "__metadata__"
AGAIN = "Download or copy the file again."


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a file: its dtype as safetensors writes it ("BF16"), and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.elements * BITS[self.dtype] // 8


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file, by name, after every number of the header was checked against the file.

    Only the header is read. `path` must be a regular file.

    Raises:
        WeightsDamaged: cut short, a header that is too long or no JSON, an unknown dtype, a shape that does not fit its
            bytes, or bytes that overlap, leave gaps or lie outside the file.
    """
    name = path.name
    size = path.stat().st_size
    if size < 8:
        _refuse(name, f"it is {size} bytes long")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LONGEST_HEADER:
            _refuse(name, f"its header claims {length} bytes, and {LONGEST_HEADER} is the most")
        if length > size - 8:
            _refuse(name, f"its header claims {length} bytes and the file has {size}: it is cut short")
        header = file.read(length)
    return _tensors(_parsed(header, name), size - 8 - length, name)


def _parsed(header: bytes, name: str) -> dict[str, Any]:
    if not header.startswith(b"{"):
        _refuse(name, "its header is no JSON object")
    try:
        values = json.loads(header.decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        _refuse(name, "its header is not valid JSON")
    assert isinstance(values, dict)  # it begins with a brace
    return values


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _tensors(header: dict[str, Any], data: int, name: str) -> dict[str, Stored]:
    """The tensors of a header, which must fill `data` bytes one after the other."""
    notes = header.pop(METADATA, {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        _refuse(name, "its metadata is not text")
    found: dict[str, Stored] = {}
    places: list[tuple[int, int, str]] = []
    for tensor, entry in header.items():
        stored, start, end = _entry(tensor, entry, name)
        if end - start != -(-stored.elements * BITS[stored.dtype] // 8):
            _refuse(name, f"the bytes of {_short(tensor)} are not what its shape and dtype need")
        found[tensor] = stored
        places.append((start, end, tensor))
    at = 0
    for start, end, tensor in sorted(places):
        if start != at:
            _refuse(name, f"the bytes of {_short(tensor)} overlap others or leave a gap")
        at = end
    if at != data:
        _refuse(name, f"its tensors need {at} bytes and {data} follow the header: it is cut short or was changed")
    return found


def _entry(tensor: str, entry: Any, name: str) -> tuple[Stored, int, int]:
    what = _short(tensor)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        _refuse(name, f"the entry of {what} is not dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(name, f"{what} has a dtype that is not known")
    if not _counts(shape):
        _refuse(name, f"the shape of {what} is not a list of counts")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(name, f"the place of {what} is not a range of bytes")
    return Stored(dtype, tuple(shape)), offsets[0], offsets[1]


def _counts(values: Any) -> bool:
    """Whether it is a list of whole numbers from 0 to 2^63 − 1, at most 64 of them."""
    if not isinstance(values, list) or len(values) > 64:
        return False
    return all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _short(tensor: str) -> str:
    return repr(tensor if len(tensor) <= 80 else f"{tensor[:79]}…")


def _refuse(name: str, reason: str) -> NoReturn:
    raise WeightsDamaged(f"The weights in {name} cannot be read: {reason}. {AGAIN}") from None
