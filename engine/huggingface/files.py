"""Files that people bring along: regular ones, where they seem to be, no larger than they can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISREG
from typing import Any

from engine.errors import ConfigError, WeightsDamaged, WeightsMissing

LARGEST_JSON = 50_000_000  # bytes of an index or a tokenizer's settings
LARGEST_TOKENIZER = 500_000_000  # bytes of a tokenizer's file
WEIGHTS = (".safetensors", ".bin")  # of any size
READ = (  # what the libraries open by its name
    "*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja", "*.tiktoken", "*.codes", "vocab*", "tokenizer*",
)  # fmt: skip


def name_of(folder: Path) -> str:
    """What a model is called by its folder alone: its id where the folder is one of the Hugging Face cache."""
    owner = folder.parent.parent.name
    if folder.parent.name == "snapshots" and owner.startswith("models--"):
        return owner.removeprefix("models--").replace("--", "/")
    return folder.name


def check_files(folder: Path, also: Sequence[str] = ()) -> None:
    """Refuse what would lead whoever loads a model elsewhere: each file is regular and in the folder.

    In the Hugging Face cache, files are links to blobs of the same model (or to those that all models share), which is
    fine. A pipe would block whoever opens it; any other link could lead anywhere.

    Args:
        folder: of a model.
        also: patterns of more files that are opened, beside those that the libraries open by their names.

    Raises:
        WeightsMissing: the folder cannot be read.
        WeightsDamaged: a link that leads out, no regular file, or a tokenizer of an impossible size.
    """
    roots = [folder.resolve()]
    if folder.parent.name == "snapshots":
        model = folder.resolve().parent.parent
        roots += [model / "blobs", model.parent / "blobs"]
    for path in _opened(folder, (*READ, *also)):
        real = _real(path)
        if real is None or not any(real.is_relative_to(root) for root in roots):
            raise WeightsDamaged(f"{path.name} is a link that leads out of the model's folder. Copy the file itself.")
        size = size_of(path)
        if size > LARGEST_TOKENIZER and path.suffix not in WEIGHTS:
            raise WeightsDamaged(f"{path.name} is {size} bytes long, too long for what it is. Copy the model again.")


def read_object(path: Path, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """A JSON object from a regular file of at most `largest` bytes.

    Raises:
        WeightsMissing: no such file.
        WeightsDamaged: no regular file.
        ConfigError: too large, not JSON, nested too deeply, or no object.
    """
    size = size_of(path)
    if size > largest:
        raise ConfigError(f"{path.name} is {size} bytes long, and {largest} is the most. Copy the file again.")
    try:
        values = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path.name} is not valid JSON. Copy the file again.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name} should hold a JSON object. Copy the file again.")
    return values


def size_of(path: Path) -> int:
    """The bytes of a regular file, by its entry: a pipe or a device is not opened.

    Raises:
        WeightsMissing: no such file.
        WeightsDamaged: not a regular file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        raise WeightsMissing(f"The file {path.name} is missing. Copy the model again.") from None
    if not S_ISREG(found.st_mode):
        raise WeightsDamaged(f"{path.name} is no regular file. Copy the model again.")
    return found.st_size


def is_there(path: Path) -> bool:
    """Whether a folder has an entry of that name, a link that leads nowhere too."""
    return path.is_symlink() or path.exists()


def _opened(folder: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """The entries of a folder that are named by a pattern, sorted; of folders only those that are links."""
    try:
        entries = sorted(folder.iterdir())
        templates = folder / "additional_chat_templates"
        if templates.is_dir() and not templates.is_symlink():
            entries += sorted(templates.iterdir())
    except OSError as error:
        raise WeightsMissing(f"The folder {folder.name} cannot be read ({error.strerror}). Check its rights.") from None
    for path in entries:
        read = any(fnmatchcase(path.name, pattern) for pattern in patterns)
        if read and (path.is_symlink() or not path.is_dir() or path.suffix in (".json", ".safetensors")):
            yield path


def _real(path: Path) -> Path | None:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
