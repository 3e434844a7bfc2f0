"""Models by their Hugging Face id: what the cache of this machine holds, and downloads into it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from engine.errors import ModelError, SaccadeError, UnknownModel, Unsupported
from engine.huggingface.memory import shown_bytes

Report: TypeAlias = Callable[[float, str], None]
"""Called while something is loading: how much of it is done, from 0 to 1, and what is done now, in a few words."""

WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
IDENTIFIER = re.compile(rf"(?P<id>(?:{WORD}/)?{WORD})(?:@(?P<revision>{WORD}))?", re.ASCII)
SMALL = (  # what describes a model and its tokenizer; no code, no pickle
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model*",
    "vocab*.json",
    "vocab*.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "*.model",
    "*.spm",
    "*.safetensors.index.json",
)
INDEX, SINGLE, SHARD = "model.safetensors.index.json", "model.safetensors", "model-*-of-*.safetensors"
OTHERS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.h5", "*.msgpack", "*.onnx", "*.gguf")
PICKLED = ("pytorch_model.bin", "pytorch_model-*.bin", "pytorch_model.bin.index.json")


def parse(reference: str) -> tuple[str, str | None] | None:
    """A Hugging Face id and its revision (None: the default branch), from "name", "owner/name" or "owner/name@v1".

    Words are ASCII letters, digits, dots, underscores and hyphens, 96 at most, without a dot or hyphen at either end.

    Returns:
        None where the reference is not of that form.
    """
    found = IDENTIFIER.fullmatch(reference)
    if not found or ".." in reference or "--" in found["id"] or found["id"].endswith(".git"):
        return None
    return found["id"], found["revision"]


def library() -> ModuleType:
    """The package `huggingface_hub`.

    Raises:
        Unsupported: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        message = "Models by their Hugging Face id need more packages. Install them: pip install 'saccade[hf]'"
        raise Unsupported(message) from error
    return huggingface_hub


def cache() -> Path:
    """The folder of the cache, which HF_HOME and HF_HUB_CACHE move."""
    library()
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def cached_ids(most: int) -> tuple[str, ...]:
    """The ids whose default branch the cache holds with a config.json, sorted; `most` of them are looked at."""
    found = []
    with suppress(OSError, Unsupported):
        for place in sorted(cache().glob("models--*"))[:most]:
            name = place.name.removeprefix("models--").replace("--", "/")
            if parse(name) and cached(name) is not None:
                found.append(name)
    return tuple(found)


def cached(identifier: str, revision: str | None = None) -> Path | None:
    """The folder in the cache with a model's files; None where there is none with a config.json. Never asks a network.

    Raises:
        Unsupported: the library is not installed.
    """
    where = cache()
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            library().snapshot_download(
                identifier, revision=revision, cache_dir=where, local_files_only=True, allow_patterns=["config.json"]
            )
        )
        inside = folder.resolve().is_relative_to(where.resolve())
        return folder if inside and (folder / "config.json").is_file() else None
    except (LocalEntryNotFoundError, OSError, ValueError, RuntimeError):
        return None


def complete(folder: Path) -> bool:
    """Whether a folder of the cache has every file of the weights that it should: no download was cut short."""
    from engine.huggingface.checks import shards_of

    try:
        return bool(shards_of(folder))
    except SaccadeError:
        return False


def download(identifier: str, revision: str | None = None, report: Report | None = None, pickled: bool = False) -> Path:
    """Bring a model's files into the cache: config, tokenizer, safetensors. Never code, never pickle unless asked.

    Args:
        identifier: a Hugging Face id.
        revision: a branch, tag or commit; None for the default branch.
        report: told how much of the bytes is here.
        pickled: take pytorch_model*.bin in place of the safetensors: for `saccade convert` alone.

    Returns:
        the folder in the cache.

    Raises:
        UnknownModel: no such model or revision, or it is not open to this machine's account.
        Unsupported: it has no safetensors.
        ModelError: no network, no room on the disk, or the download failed.
    """
    hub = library()
    name = identifier if revision is None else f"{identifier}@{revision}"
    try:
        info = hub.HfApi().model_info(identifier, revision=revision, files_metadata=True, timeout=30)
        sizes = {item.rfilename: int(item.size or 0) for item in info.siblings or ()}
        wanted = chosen(sizes, name, pickled)
        _check_room(sum(sizes[file] for file in wanted), name)
        options: dict[str, Any] = {"revision": revision, "cache_dir": cache(), "max_workers": 4}
        weights = [file for file in wanted if file.endswith((".safetensors", ".bin"))]
        small = [file for file in wanted if file not in weights]
        # the weights last, so that what has them has everything
        hub.snapshot_download(identifier, allow_patterns=small, tqdm_class=_bar(0, name, None), **options)
        whole = sum(sizes[file] for file in weights)
        bar = _bar(whole, name, report)
        return Path(hub.snapshot_download(identifier, allow_patterns=[*small, *weights], tqdm_class=bar, **options))
    except SaccadeError:
        raise
    except Exception as error:  # of the network library, the hub's library or the system: each is one sentence here
        raise _explained(error, name) from error


def chosen(files: Iterable[str], name: str, pickled: bool = False) -> list[str]:
    """Which files of a repository are downloaded: none in a folder, and one copy of the weights.

    Raises:
        Unsupported: it has no safetensors (or, where those are asked for, no pickled weights).
    """
    there = [file for file in files if "/" not in file]
    small = [file for file in there if any(fnmatchcase(file, pattern) for pattern in SMALL)]
    if pickled:
        weights = [file for file in there if any(fnmatchcase(file, pattern) for pattern in PICKLED)]
        if not weights:
            raise Unsupported(f"{name} has no pytorch_model.bin, so there is nothing to convert.")
        return sorted({*small, *weights} - {INDEX})
    weights = [SINGLE] if SINGLE in there else [file for file in there if fnmatchcase(file, SHARD)]
    if weights:
        return sorted({*small, *weights})
    raise in_other_formats(there, name) or Unsupported(
        f"{name} has no weights in the safetensors format. Choose a model that has model.safetensors."
    )


def in_other_formats(files: Sequence[str], name: str) -> Unsupported | None:
    """Why the weights among some files are not read, and what can be done; None if there are none."""
    if any(fnmatchcase(file, pattern) for file in files for pattern in PICKLED):
        return Unsupported(
            f"{name} has only pickled weights, which can run code when they are read. "
            f"The operator converts them: saccade convert {name}"
        )
    there = [file for file in files if any(fnmatchcase(file, pattern) for pattern in OTHERS)]
    if not there:
        return None
    return Unsupported(
        f"{name} has its weights in {there[0][:80]!r} alone, a format that is not read. Load it where it was made, and "
        "save it with transformers' save_pretrained, which writes model.safetensors."
    )


def _check_room(needed: int, name: str) -> None:
    where = next(path for path in (cache(), *cache().parents) if path.is_dir())
    free = shutil.disk_usage(where).free
    if needed > free:
        raise ModelError(
            f"{name} is {shown_bytes(needed)} and the disk of the cache has {shown_bytes(free)} left. "
            "Make room, or move the cache with HF_HOME."
        )


def _bar(whole: int, name: str, report: Report | None) -> type:
    """A class of progress bars that draws nothing and tells `report`: the bytes of all files are one bar."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Silent(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            self.bytes = options.get("unit") == "B" and "econstruct" in str(options.get("desc", ""))
            self.count = float(options.get("initial") or 0)
            super().__init__(*arguments, **(options | {"disable": True}))

        def update(self, n: float | None = 1) -> bool | None:
            self.count += n or 0
            if self.bytes and report is not None and whole:
                share = min(self.count / whole, 1.0)
                report(share, f"Downloading {name}: {shown_bytes(share * whole)} of {shown_bytes(whole)}")
            return super().update(n)

    return Silent


def _explained(error: Exception, name: str) -> ModelError:
    """What to do about a download that failed."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return UnknownModel(
            f"{name} is gated: its owners give access to accounts. Ask them for it, then log in on the server: "
            "hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UnknownModel(f"{name} has no such revision. Leave out what follows the @, or write another.")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UnknownModel(f"There is no model {name} that this server can see. Check the spelling of its id.")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ModelError(f"{name} is not on this machine and HF_HUB_OFFLINE forbids downloads. Unset it, or copy it.")
    if isinstance(error, OSError) and error.errno is not None:
        return ModelError(f"{name} could not be stored ({error.strerror}). Check the disk, then try again.")
    return ModelError(f"{name} could not be downloaded ({type(error).__name__}). Check the network, then try again.")
