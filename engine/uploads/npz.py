"""An uploaded NPZ file as arrays: its directory and every header are checked before anything is unpacked.

Nothing here can run code: no pickle is ever read, whatever a file holds, and no name in a file becomes a path.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.huggingface.memory import shown_bytes
from engine.text import quoted
from engine.uploads.checks import (
    LESS,
    MOST_ARRAYS,
    MOST_BYTES,
    MOST_JSON,
    PICKLE,
    check_cells,
    check_shape,
    json_object,
    shape_text,
)

UNPACKED_FREELY = 16_000_000  # bytes; only beyond them is the ratio looked at
MOST_RATIO = 200  # of unpacked to packed: maps of half precision with many zeros reach 20
MOST_STRINGS = 100_000  # in an array; maps have fewer tokens
LONGEST_HEADER = 4_096  # bytes of one array's header in an NPZ file; numpy writes 128
DIRECTORY = 128 * 1024  # bytes of a ZIP file's directory

_END = struct.Struct("<4s4H2LH")  # of a ZIP file: the end of its directory
_NPY = {(1, 0): ("<H", np.lib.format.read_array_header_1_0), (2, 0): ("<I", np.lib.format.read_array_header_2_0)}


def read_npz(shown: str, content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of floating-point numbers by name, and what its strings and its JSON say.

    Args:
        shown: the file's name as a message says it.
        content: the file.

    Raises:
        InputError: it is damaged, holds too much, or what is no plain array of numbers or strings.
    """
    if b"/data.pkl" in content[:512]:
        raise InputError(f"{shown} is a file of torch.save. {PICKLE}")
    _check_end(shown, content)
    arrays: dict[str, np.ndarray] = {}
    description: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _entries(shown, archive, len(content))
            heads = {name: _npy_header(shown, name, archive, info) for name, info in entries.items()}
            check_cells(shown, [head.shape for head in heads.values() if head.dtype.kind == "f"])
            for name, head in heads.items():
                array = _npy(archive, entries[name], head)
                if head.dtype.kind == "f":
                    arrays[name] = array
                else:
                    description |= _said(shown, name, array)
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, struct and numpy each have their own for a damaged file
        raise InputError(
            f"{shown} is damaged or cut off. Save it again with numpy.savez, and upload all of it."
        ) from error
    return arrays, description


def _check_end(shown: str, content: bytes) -> None:
    """Before `zipfile` reads the directory: its size and the number of entries, in the plain form alone."""
    place = len(content) - _END.size
    mark, *numbers = _END.unpack(content[place:]) if place >= 0 else (b"",)
    if mark != b"PK\x05\x06":
        raise InputError(f"{shown} is cut off, or has something behind its end. Save it again with numpy.savez.")
    disk, first, here, entries, size, offset, comment = numbers
    if entries > MOST_ARRAYS:
        raise InputError(
            f"{shown} holds {entries:,} arrays; {MOST_ARRAYS} is the most. Put all layers of a kind into one array: "
            "numpy.stack(layers)."
        )
    odd = disk or first or comment or here != entries or size > DIRECTORY or offset + size != place
    if odd or content[max(place - 20, 0) : place].startswith(b"PK\x06\x07"):
        raise InputError(f"{shown} is no file that numpy.savez wrote. Save it with numpy.savez.")


def _entries(shown: str, archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The arrays by name, all limits checked by what the directory says; what is unpacked never exceeds that."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename or any(mark in info.filename for mark in "/\\\0") or info.filename[0] == ".":
            raise InputError(f"{shown} holds {quoted(info.filename)}, which is no array. Save it with numpy.savez.")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{shown} is encrypted or packed in an unusual way. Save it with numpy.savez.")
        if name in entries:
            raise InputError(f"{shown} holds two arrays called {quoted(name)}. Give each its own name.")
        entries[name] = info
    total = sum(info.file_size for info in entries.values())
    if total > MOST_BYTES:
        raise InputError(
            f"{shown} holds {shown_bytes(total)} when unpacked; {shown_bytes(MOST_BYTES)} is the most. {LESS}"
        )
    if total > max(UNPACKED_FREELY, MOST_RATIO * size):
        raise InputError(
            f"{shown} would grow to {total // max(size, 1):,} times its size when unpacked; {MOST_RATIO} is the most. "
            "If it is sound, save it with numpy.savez, without compression."
        )
    return entries


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands before an array's numbers: `size` bytes of it."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: int


def _npy_header(shown: str, name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Head:
    """The header of one array; it holds as many numbers as its entry has room for, and of a plain type."""
    with archive.open(info) as file:
        beginning = file.read(12)
        if not beginning.startswith(b"\x93NUMPY"):
            raise InputError(f"{shown} holds {quoted(name)}, which is no array. Save it with numpy.savez.")
        form, read = _NPY.get((beginning[6], beginning[7]), ("", None))
        if read is None:
            raise InputError(f"The array {quoted(name)} has named fields. Save a plain array of numbers or strings.")
        (length,) = struct.unpack_from(form, beginning, 8)
        if length > LONGEST_HEADER:
            raise InputError(
                f"The header of the array {quoted(name)} claims {length:,} bytes. Save it with numpy.savez."
            )
        beginning += file.read(8 + struct.calcsize(form) + length - len(beginning))
    shape, fortran, dtype = read(io.BytesIO(beginning[8:]), max_header_size=LONGEST_HEADER)
    if dtype.hasobject:
        raise InputError(
            f"The array {quoted(name)} holds Python objects. {PICKLE} Strings: numpy.array(tokens, dtype=str)."
        )
    _check_type(name, dtype)
    size = 8 + struct.calcsize(form) + length
    check_shape(name, shape)
    if dtype.kind == "U" and math.prod(shape) > MOST_STRINGS:
        raise InputError(f"{quoted(name)} holds {math.prod(shape):,} strings; {MOST_STRINGS:,} is the most. {LESS}")
    if math.prod(shape) * dtype.itemsize != info.file_size - size:
        raise InputError(
            f"The array {quoted(name)} says that its shape is {shape_text(shape)}, and has {info.file_size - size:,} "
            f"bytes where that needs {math.prod(shape) * dtype.itemsize:,}. Save it again."
        )
    return _Head(shape, fortran, dtype, size)


def _check_type(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.itemsize == 0:
        raise InputError(
            f"The array {quoted(name)} has strings without room for a character. Save it with numpy.savez."
        )
    if dtype.subdtype or not (dtype.kind == "U" or dtype == np.uint8 or (dtype.kind == "f" and dtype.itemsize <= 8)):
        raise InputError(
            f"The array {quoted(name)} is of type {quoted(str(dtype))}. Attention is float16, float32 or float64, "
            "tokens are strings: numpy.array(tokens, dtype=str)."
        )


def _npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, head: _Head) -> np.ndarray:
    """The array itself; reading to the end checks its CRC."""
    with archive.open(info) as file:
        array = np.frombuffer(file.read(), dtype=head.dtype, offset=head.size)
    return array.reshape(head.shape[::-1]).T if head.fortran else array.reshape(head.shape)


def _said(shown: str, name: str, array: np.ndarray) -> dict[str, Any]:
    """What an array of strings, or one of bytes called "json", says."""
    if array.nbytes > 4 * MOST_JSON:
        raise InputError(f"The text in {quoted(name)} is longer than {shown_bytes(MOST_JSON)}. Shorten it.")
    if array.dtype == np.uint8:
        if name != "json":
            raise InputError(
                f"The array {quoted(name)} holds whole numbers. Attention is float16, float32 or float64: "
                "weights.astype(numpy.float32)."
            )
        return json_object(shown, array.tobytes())
    if array.ndim == 0:
        text = str(array[()])
        return json_object(shown, text.encode("utf-8", "replace")) if name in ("json", "record") else {name: text}
    if array.ndim != 1:
        raise InputError(
            f"The tokens in {quoted(name)} have the shape {shape_text(array.shape)}. Give one row of strings."
        )
    return {name: array.tolist()}
