"""What travels to a component in the browser: one bytes value, `[u32 length][JSON header][arrays]`.

Streamlit sends a component raw bytes only as the whole of its data, hence the packing. The browser's side is `unpack`
in shared.js.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

ALIGNMENT = 4  # of each array, in bytes
DTYPES = ("uint8", "uint16", "float32")


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Header and arrays (uint8, uint16 or float32, flattened in C order) as one value.

    The header gains "arrays" (dtype, offset and size of each) and "version": a checksum by which the
    browser knows that nothing has changed.
    """
    parts, places, offset = [], {}, 0
    for name, array in arrays.items():
        assert array.dtype.name in DTYPES, array.dtype
        content = np.ascontiguousarray(array).tobytes()
        places[name] = {"dtype": array.dtype.name, "offset": offset, "size": array.size}
        content += b"\0" * (-len(content) % ALIGNMENT)
        parts.append(content)
        offset += len(content)
    body = b"".join(parts)
    plain = json.dumps({**header, "arrays": places}, ensure_ascii=False).encode("utf-8", "replace")
    version = hashlib.sha1(plain + body, usedforsecurity=False).hexdigest()
    head = plain[:-1] + f', "version": "{version}"}}'.encode()
    return len(head).to_bytes(4, "little") + head + body


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the browser reads: the header and the flat arrays."""
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    body = data[4 + length :]
    arrays = {
        name: np.frombuffer(body, place["dtype"], place["size"], place["offset"])
        for name, place in header["arrays"].items()
    }
    return header, arrays
