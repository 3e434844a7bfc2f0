"""Folders of models written byte by byte, for tests of what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 8,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 4,
    "max_position_embeddings": 8,
}
TENSORS = {"a": ("F32", [2, 3]), "b": ("F16", [4]), "c": ("I64", [])}
WIDTHS = {"F32": 4, "F16": 2, "I64": 8}


def header_of(tensors: dict[str, tuple[str, list[int]]]) -> dict[str, Any]:
    """What a safetensors header says of tensors that lie one after the other."""
    found, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTHS[dtype]
        for side in shape:
            size *= side
        found[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return found


def packed(header: dict[str, Any] | bytes, data: int | None = None, length: int | None = None) -> bytes:
    """A safetensors file: the header's length (or a claimed one), the header, and zeros."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    if data is None:
        assert isinstance(header, dict)
        data = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + bytes(data)


def write_model(folder: Path, weights: bytes | None = None, config: object = BERT) -> Path:
    """A folder with a config, a tokenizer and, unless another file is given, three small tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(packed(header_of(TENSORS)) if weights is None else weights)
    return folder


def write_shards(folder: Path, homes: dict[str, str], shards: dict[str, dict[str, tuple[str, list[int]]]]) -> Path:
    """A folder with an index that says which shard holds which tensor, and shards that may say otherwise."""
    write_model(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    for name, tensors in shards.items():
        (folder / name).write_bytes(packed(header_of(tensors)))
    return folder
