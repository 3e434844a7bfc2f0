"""Model files: locate, verify, load, save. Weights are safetensors (float16), everything else JSON or sentencepiece."""

from __future__ import annotations

import hashlib
import json
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from engine.catalogue import ModelCard
from engine.errors import ConfigError, WeightsDamaged, WeightsMissing

WEIGHTS = "weights.safetensors"
TOKENIZER = "tokenizer.model"
CONFIG = "config.json"
T = TypeVar("T")
BUILDING = threading.RLock()
"""Held while a network is built: to build one of half precision, transformers changes torch's default dtype, which all
threads share.
"""


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(card: ModelCard) -> None:
    """Check that every file of a model is there and is the one the catalogue names.

    Raises:
        WeightsMissing: a file is not there.
        WeightsDamaged: a checksum differs; the message gives both.
    """
    for name, expected in card.sha256.items():
        path = card.folder / name
        if not path.is_file():
            raise WeightsMissing(
                f"The file {_shown(path)} of model {card.name} is missing. Restore it: git checkout {_shown(path)}"
            )
        found = sha256_of(path)
        if found != expected:
            raise WeightsDamaged(
                f"The file {_shown(path)} is not the one that belongs to model {card.name}: expected sha256 "
                f"{expected}, "
                f"found {found}. It is damaged or was swapped. Restore it: git checkout {_shown(path)}"
            )


def _shown(path: Path) -> str:
    return "/".join(path.parts[-3:])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        WeightsMissing: no such file.
        WeightsDamaged: it is not a JSON object.
    """
    if not path.is_file():
        raise WeightsMissing(f"The file {_shown(path)} is missing. Restore it: git checkout {_shown(path)}")
    try:
        values = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise WeightsDamaged(
            f"The file {_shown(path)} is not valid JSON ({error}). Restore it from the repository."
        ) from error
    if not isinstance(values, dict):
        raise WeightsDamaged(f"The file {_shown(path)} should hold a JSON object. Restore it from the repository.")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, for people to read too."""
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")


def from_json(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from a JSON object; unknown or missing keys raise.

    Raises:
        ConfigError: naming the key.
    """
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}. Known keys: {', '.join(sorted(known))}.")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}.") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Fill a module from a safetensors file; stored float16 is widened to the module's type.

    Raises:
        WeightsMissing: no such file.
        WeightsDamaged: not safetensors, or its tensors do not fit the module.
    """
    if not path.is_file():
        raise WeightsMissing(f"The file {_shown(path)} is missing. Restore it: git checkout {_shown(path)}")
    try:
        module.load_state_dict(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" …")  # a list of every tensor that does not fit
        message = f"The weights in {_shown(path)} cannot be read ({reason}). Restore the file from the repository."
        raise WeightsDamaged(message) from error


def save_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as float16 safetensors.

    Raises:
        ValueError: a weight is not finite in float16.
    """
    rounded = {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in tensors.items()}
    for name, tensor in rounded.items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds weights that float16 cannot: train again with a lower rate")
    safetensors.torch.save_file(rounded, path)
    path.chmod(0o644)  # safetensors writes for the owner alone
