"""Uploaded files as arrays and a description: NPZ, or safetensors, and the JSON beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

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
    parsed,
)
from engine.uploads.npz import read_npz

_FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What files hold.

    Attributes:
        arrays: floating-point numbers of any size, by name.
        description: what the JSON says, with arrays of strings under their own names.
        half: names of the arrays that were bfloat16.
    """

    arrays: Mapping[str, np.ndarray]
    description: Mapping[str, Any]
    half: frozenset[str] = field(default=frozenset())


def unpack(files: Mapping[str, bytes]) -> Unpacked:
    """The arrays and the description of one file of maps, and of a JSON file that may come with it.

    What a file is, its first bytes say; its name is for messages only.

    Raises:
        InputError: a file is none of these, is damaged, holds too much or what can run code; or one is missing.
    """
    if not files:
        raise InputError("There is no file yet. Choose an NPZ file, or a safetensors file with its tokens.json.")
    maps: list[Unpacked] = []
    described: list[dict[str, Any]] = []
    for name, content in files.items():
        shown = quoted(name)
        if len(content) > MOST_BYTES:
            raise InputError(f"{shown} has {shown_bytes(len(content))}; {shown_bytes(MOST_BYTES)} is the most. {LESS}")
        if content[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            maps.append(Unpacked(*read_npz(shown, content)))
        elif content[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and b"\0" not in content[:8]:
            described.append(json_object(shown, content))
        else:
            _refuse_known(shown, content)
            maps.append(_safetensors(shown, content))
    if len(maps) != 1 or len(described) > 1:
        others = "take the others away" if maps else "add the file of maps"
        raise InputError(
            f"Here are {len(maps)} files of maps and {len(described)} of tokens. Give one file of maps (NPZ or "
            f"safetensors) and at most one JSON file with its tokens: {others}."
        )
    (found,) = maps
    return Unpacked(found.arrays, {**found.description, **(described[0] if described else {})}, found.half)


def _refuse_known(shown: str, content: bytes) -> None:
    """Say what a file is that people might well try."""
    if not content:
        raise InputError(f"{shown} is empty. Save it again.")
    if content.startswith(b"\x93NUMPY"):
        raise InputError(
            f"{shown} is a single array. Save maps and tokens together: numpy.savez(path, encoder=maps, …)."
        )
    if content[:1] == b"\x80":
        raise InputError(f"{shown} is a pickled file. {PICKLE}")


def _safetensors(shown: str, content: bytes) -> Unpacked:
    unknown = (
        f"{shown} is no NPZ, safetensors or JSON file. Save the maps with numpy.savez or safetensors.numpy.save_file."
    )
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or content[8:9] != b"{":
        raise InputError(unknown)
    if length > min(MOST_JSON, len(content) - 8):
        raise InputError(f"The header of {shown} claims {length:,} bytes, more than it can have. Save it again.")
    header = json_object(shown, content[8 : 8 + length])
    said = header.pop("__metadata__", None) or {}
    if not isinstance(said, dict) or not all(isinstance(tensor, dict) for tensor in header.values()):
        raise InputError(unknown)
    if len(header) > MOST_ARRAYS:
        raise InputError(
            f"{shown} holds {len(header):,} arrays; {MOST_ARRAYS} is the most. Stack the layers of a kind."
        )
    for name, tensor in header.items():
        if tensor.get("dtype") not in (*_FLOATS, "BF16"):
            kind = quoted(str(tensor.get("dtype")))
            raise InputError(f"The array {quoted(name)} is of type {kind}. Attention is F16, BF16, F32 or F64.")
        shape = tensor.get("shape")
        check_shape(name, shape if isinstance(shape, list) else [None])
    check_cells(shown, [tensor["shape"] for tensor in header.values()])
    try:
        found = deserialize(content)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{shown} is damaged or cut off. Save it again, and upload all of it.") from error
    arrays = {name: _widened(tensor) for name, tensor in found}
    half = frozenset(name for name, tensor in found if tensor["dtype"] == "BF16")
    return Unpacked(arrays, _metadata(shown, said), half)


def _widened(tensor: Mapping[str, Any]) -> np.ndarray:
    if tensor["dtype"] != "BF16":
        return np.frombuffer(tensor["data"], _FLOATS[tensor["dtype"]]).reshape(tensor["shape"])
    halves = np.frombuffer(tensor["data"], "<u2").astype(np.uint32)
    halves <<= np.uint32(16)
    return halves.view(np.float32).reshape(tensor["shape"])


def _metadata(shown: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata are strings: each field as JSON, or the whole description as "json"; a title is what it is."""
    description: dict[str, Any] = {}
    for name, text in said.items():
        if name == "json" and isinstance(text, str):
            description |= json_object(shown, text.encode("utf-8", "replace"))
        elif isinstance(text, str) and text[:1] in ("[", "{"):
            description[name] = parsed(shown, text)
        else:
            description[name] = text
    description.pop("format", None)  # "pt" or "np", by the library that wrote it
    return description
