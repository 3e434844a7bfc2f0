"""Uploaded files as tests make them: attention of random numbers, and archives as numpy writes them."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from engine.types import Trace
from engine.uploads.files import read_upload


def attention(*shape: int, causal: bool = False, seed: int = 0) -> np.ndarray:
    """Softmax of random logits, float32; later keys 0 where it is causal."""
    logits = np.random.default_rng(seed).normal(size=shape)
    if causal:
        logits = np.where(np.tri(*shape[-2:], dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def npy_header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    """The beginning of an array's file, whatever its header says."""
    size = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(size, "little") + text.encode("latin-1")


def archive(*entries: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return file.getvalue()


def read(content: bytes | None = None, **arrays: Any) -> Trace:
    """The trace of one NPZ file."""
    return read_upload({"maps.npz": npz(**arrays) if content is None else content})


def refused(*parts: str, content: bytes | None = None, **arrays: Any) -> str:
    """The sentence that says why a file cannot be used; it has these parts, and says what to do."""
    with pytest.raises(InputError) as error:
        read(content, **arrays)
    message = str(error.value)
    for part in parts:
        assert part in message, message
    assert re.search(r"[.!…][”)]?$", message), message
    assert len(message) < 600, message
    return message
