"""Where models of somebody's own may come from: what the operator allows, and the folder that a reference names."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.catalogue import MODELS
from engine.errors import EmptyInput, InputError, ModelError, UnknownModel
from engine.huggingface import hub, memory
from engine.huggingface.hub import Report

FOLDERS, IDS, DOWNLOADS = "SACCADE_MODEL_FOLDERS", "SACCADE_MODEL_IDS", "SACCADE_DOWNLOADS"
MEMORY, FIRST = "SACCADE_MODEL_MEMORY", "SACCADE_MODEL"
ANY = "*"
SHARE = 0.6  # of the memory, for all opened models together, where the operator says nothing
LONGEST = 1000  # characters of a reference
MOST = 200  # entries of the list of what may be opened
CONFIG = "config.json"

Place = Literal["huggingface", "saccade"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows.

    Attributes:
        folders: models may be opened from inside these, resolved.
        ids: Hugging Face ids that may be opened; None for any. One without a revision allows all of its revisions.
        downloads: whether files that are not on this machine may be brought from the hub.
        limit: bytes of all opened models together.
    """

    folders: tuple[Path, ...] = ()
    ids: tuple[str, ...] | None = ()
    downloads: bool = False
    limit: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Policy:
        """What `saccade run` was told, or the operator's own environment.

        SACCADE_MODEL_FOLDERS (separated like PATH), SACCADE_MODEL_IDS (separated by commas; "*" for any),
        SACCADE_DOWNLOADS (0 or 1), SACCADE_MODEL_MEMORY ("8GB") and SACCADE_MODEL (an id or a folder, which is allowed
        by being named). Nothing set allows nothing.

        Raises:
            ConfigError: an amount of memory that is none.
            InputError: an id that is none.
        """
        values = os.environ if environment is None else environment
        folders = [_resolved(Path(item)) for item in values.get(FOLDERS, "").split(os.pathsep) if item.strip()]
        named = [item for item in re.split(r"[,\s]+", values.get(IDS, "")) if item]
        first = values.get(FIRST, "").strip()
        if first and (Path(first).is_absolute() or _is_folder(Path(first))):
            folders.append(_resolved(Path(first)))
        elif hub.parse(first):
            named.append(first)
        for item in named:
            if item != ANY and hub.parse(item) is None:
                raise InputError(f"{item!r} is no Hugging Face id. Write it like name or owner/name, or * for any.")
        amount = values.get(MEMORY, "").strip()
        return cls(
            folders=tuple(dict.fromkeys(folder for folder in folders if folder is not None)),
            ids=None if ANY in named else tuple(dict.fromkeys(named)),
            downloads=values.get(DOWNLOADS, "").strip().lower() in ("1", "true", "yes", "on"),
            limit=memory.parse_bytes(amount, MEMORY) if amount else int(SHARE * memory.total()),
        )

    @property
    def empty(self) -> bool:
        """Whether nothing at all may be opened."""
        return not self.folders and self.ids == ()

    def allows(self, identifier: str, revision: str | None) -> bool:
        """Whether a Hugging Face id may be opened at a revision."""
        return self.ids is None or any(
            allowed == identifier and pinned in (None, revision)
            for allowed, pinned in filter(None, map(hub.parse, self.ids))
        )


@dataclass(frozen=True, slots=True)
class Located:
    """A model that may be opened.

    Attributes:
        name: for screens and addresses; `locate` finds the same folder by it.
        folder: where its files are.
        kind: "huggingface": as transformers saves it; "saccade": as this project's training saves it.
    """

    name: str
    folder: Path
    kind: Place


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def locate(reference: str, policy: Policy, report: Report | None = None) -> Located:
    """The model that a reference names, if it may be opened: a folder, else a Hugging Face id.

    A relative name is looked for in the allowed folders. Ids are looked for in the cache of this machine, then
    downloaded where the policy allows. What lies outside the allowed folders is refused in the same words whether it
    exists or not.

    Args:
        reference: "bert-tiny", "/models/bert-tiny", "owner/name", "owner/name@revision".
        policy: what the operator allows.
        report: told how far a download is.

    Raises:
        InputError: not a reference; EmptyInput where there is none.
        UnknownModel: nothing by that name, or it is outside what is allowed.
        ModelError: it could not be downloaded.
    """
    text = reference.strip()
    _check_reference(text)
    if Path(text).is_absolute():
        return _in_folders(Path(text), policy)
    for folder in _candidates(text, policy):
        return _located(folder, policy)
    parsed = hub.parse(text)
    if parsed is None:
        raise UnknownModel(
            f"There is no folder {_shown(text)} in the folders that models may be opened from, and it is not the form "
            "of a Hugging Face id. Write a folder's name, or an id: name or owner/name."
        )
    return _by_id(text, *parsed, policy, report)


def listed(policy: Policy) -> tuple[str, ...]:
    """What may be opened, by the names that `locate` takes: folders with a config.json, then ids; 200 at most.

    Allowed folders are looked through two levels deep, links that lead out of them left out. Of the ids, those in the
    cache; where downloads are allowed also those that the operator's list names.
    """
    names: dict[str, None] = {}
    for root in policy.folders:
        for folder in _models_in(root):
            if len(names) >= MOST:
                return tuple(names)
            names[_name(folder, policy)] = None
    if policy.ids is None:
        ids = hub.cached_ids(MOST)
    else:
        ids = tuple(item for item in policy.ids if policy.downloads or _is_cached(item))
    names.update((_kept_apart(item), None) for item in ids)
    return tuple(names)[:MOST]


# --- References -------------------------------------------------------------------------------------------------------


def _check_reference(text: str) -> None:
    """Refuse what is no reference: each in a sentence of its own."""
    if not text:
        raise EmptyInput("There is no model yet. Write a Hugging Face id or a folder, or choose one of the list.")
    if len(text) > LONGEST:
        raise InputError(f"A name of {len(text)} characters is no model's. Write a Hugging Face id or a folder.")
    if not text.isprintable():
        raise InputError("The name holds characters that cannot be printed. Write a Hugging Face id or a folder.")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", text):
        raise InputError(f"{_shown(text)} is an address. Write the model's id alone, like name or owner/name.")
    if "\\" in text or re.match(r"[A-Za-z]:", text):
        raise InputError(f"{_shown(text)} is written as Windows writes folders. Separate folders with /.")
    if text.startswith("~"):
        raise InputError("A name that starts with ~ stands for nobody's folder here. Write the folder from /.")
    if ".." in text.split("/"):
        raise InputError("A name must not lead upwards with .. . Write the folder from / .")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:79]}…")


# --- Folders ----------------------------------------------------------------------------------------------------------


def _in_folders(path: Path, policy: Policy) -> Located:
    folder = _resolved(path)
    if folder is None or not any(folder.is_relative_to(root) for root in policy.folders):
        raise UnknownModel(
            f"{_shown(str(path))} is not inside the folders that models may be opened from. "
            "The operator allows a folder by starting with: saccade run --models DIR"
        )
    if not _is_folder(folder):
        raise UnknownModel(f"There is no folder {_shown(str(path))}. Check its name.")
    return _located(folder, policy)


def _candidates(text: str, policy: Policy) -> Iterator[Path]:
    """Folders that a relative name stands for: under an allowed folder, or such a folder's own name and what follows.

    Links that lead out of the allowed folders are not followed.
    """
    first, _, rest = text.partition("/")
    for root in policy.folders:
        paths = [root / text] + ([root / rest] if first == root.name else [])
        for path in paths:
            folder = _resolved(path)
            if folder and any(folder.is_relative_to(known) for known in policy.folders) and _is_folder(folder):
                yield folder


def _located(folder: Path, policy: Policy) -> Located:
    if not _is_file(folder / CONFIG):
        raise UnknownModel(
            f"The folder {_shown(folder.name or '/')} holds no {CONFIG}, so it is no model's. Choose one that does."
        )
    return Located(_name(folder, policy), folder, kind_of(folder))


def kind_of(folder: Path) -> Place:
    """Who saved a model's folder: this project names its weights weights.safetensors."""
    theirs = ("model.safetensors", "model.safetensors.index.json")
    ours = _is_file(folder / "weights.safetensors") and not any(_is_file(folder / name) for name in theirs)
    return "saccade" if ours else "huggingface"


def _name(folder: Path, policy: Policy) -> str:
    """The shortest name that leads back to a folder; the whole path where a shorter one names another model."""
    for root in policy.folders:
        if folder.is_relative_to(root):
            inside = folder.relative_to(root).as_posix()
            for name in (inside, f"{root.name}/{inside}".removesuffix("/.")):
                if name != "." and name not in MODELS and next(_candidates(name, policy), None) == folder:
                    return name
    return str(folder)


def _models_in(root: Path) -> Iterator[Path]:
    """The folders with a config.json: an allowed folder itself, those in it, and those in those, sorted."""
    seen = 0
    level = [root]
    for depth in range(3):
        below: list[Path] = []
        for folder in level:
            if _is_file(folder / CONFIG):
                yield folder
            elif depth < 2:
                below += [path for path in _inside(folder) if path.is_relative_to(root)]
        seen += len(below)
        level = below if seen <= 20 * MOST else below[:MOST]


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder, resolved and sorted; hidden ones left out."""
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
    return [found for path in paths if (found := _resolved(path)) is not None and _is_folder(found)]


def _resolved(path: Path) -> Path | None:
    """A path without links; None where there can be none (too long, links in a circle)."""
    try:
        return path.expanduser().resolve() if path.parts[:1] == ("~",) else path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


# --- Ids --------------------------------------------------------------------------------------------------------------


def _by_id(text: str, identifier: str, revision: str | None, policy: Policy, report: Report | None) -> Located:
    if not policy.allows(identifier, revision):
        raise UnknownModel(
            f"{text} is not on the list of models that may be opened here. "
            f"The operator allows it by starting with: saccade run --allow {text}"
        )
    folder = hub.cached(identifier, revision)
    if policy.downloads and (folder is None or not hub.complete(folder)):
        folder = hub.download(identifier, revision, report)
    if folder is None:
        raise ModelError(
            f"{text} is not on this machine, and downloads are off. "
            "The operator allows them by starting with: saccade run --downloads"
        )
    return Located(_kept_apart(text), folder, kind_of(folder))


def _is_cached(item: str) -> bool:
    parsed = hub.parse(item)
    return parsed is not None and hub.cached(*parsed) is not None


def _kept_apart(identifier: str) -> str:
    """An id that is also a shipped model's name is told apart by its revision."""
    return f"{identifier}@main" if identifier in MODELS else identifier
