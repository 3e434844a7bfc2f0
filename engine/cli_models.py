"""What the `saccade` command does about models of somebody's own: which the web app may open, and `saccade convert`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli_progress import bar
from engine.errors import ConfigError, InputError
from engine.huggingface import hub, memory, source

ModelOption = Annotated[
    str | None, typer.Option(help="Open this model at the start: a folder, or a Hugging Face id.", metavar="ID_OR_PATH")
]
ModelsOption = Annotated[
    list[Path] | None, typer.Option(help="Models may be opened from inside this folder; repeatable.", metavar="DIR")
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(help="This Hugging Face id may be opened, and none that is not named; * for any.", metavar="ID"),
]
DownloadsOption = Annotated[
    bool | None, typer.Option("--downloads/--no-downloads", help="Bring allowed ids from the hub.", show_default=False)
]
MemoryOption = Annotated[
    str | None, typer.Option(help="For all opened models together, like 8GB; 60 % of the memory otherwise.")
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of `saccade run` say of models; None and empty where they say nothing."""

    model: str | None = None
    folders: tuple[Path, ...] = ()
    ids: tuple[str, ...] = ()
    downloads: bool | None = None
    memory: str | None = None


def environment(given: Mapping[str, str], address: str, asked: Asked) -> dict[str, str]:
    """The environment of the web app: what was given, and over it what was asked.

    On an address that only this machine reaches, ids of the Hugging Face cache may be opened unless a list says which;
    on any other address nothing may that is not named.

    Raises:
        InputError: a folder that is not there, an id that is none, or a model that is neither or nothing.
        ConfigError: an amount of memory that is none.
        ModelError: the model to open at the start is not there, or it is refused.
    """
    values = dict(given)
    if asked.folders:
        values[source.FOLDERS] = os.pathsep.join(str(_folder(path)) for path in asked.folders)
    if asked.ids:
        values[source.IDS] = ",".join(asked.ids)
    elif source.IDS not in values and source.is_loopback(address):
        values[source.IDS] = source.ANY
    if asked.downloads is not None:
        values[source.DOWNLOADS] = str(int(asked.downloads))
    if asked.memory is not None:
        memory.parse_bytes(asked.memory, "--model-memory")
        values[source.MEMORY] = asked.memory
    if asked.model is not None:
        values[source.FIRST] = _first(asked.model)
    _check(values)
    return values


def convert(
    model: Annotated[str, typer.Argument(help="A folder, or a Hugging Face id.", metavar="ID_OR_PATH")],
    out: Annotated[Path | None, typer.Option(help="The folder to make; NAME-safetensors otherwise.")] = None,
    downloads: Annotated[
        bool, typer.Option("--downloads/--no-downloads", help="Bring an id's files from the hub.")
    ] = True,
) -> None:
    """Write pickled weights (pytorch_model.bin) as safetensors, which the web app opens. No code in them is run."""
    from engine.huggingface import convert as conversion

    with bar("downloading", 1.0) as advance:
        done = 0.0

        def report(share: float, _what: str) -> None:
            nonlocal done
            advance(share - done)
            done = share

        folder = conversion.source_of(model, downloads, report)
    parsed = hub.parse(model)
    beside = Path.cwd() if folder.parent.name == "snapshots" else folder.parent
    name = parsed[0].split("/")[-1] if parsed and folder.parent.name == "snapshots" else folder.name
    made = conversion.convert(folder, (out or beside / f"{name}-safetensors").absolute(), name)
    print(f"{made}\nTo open it: saccade run --model {made}")


def _folder(path: Path) -> Path:
    if not path.expanduser().is_dir():
        raise InputError(f"There is no folder {path}. Give --models a folder that holds models' folders.")
    found = path.expanduser().resolve()
    if os.pathsep in str(found):
        raise ConfigError(f"{found} has {os.pathsep!r} in its name, which separates folders. Rename it.")
    return found


def _first(model: str) -> str:
    """A folder in full, for the app runs elsewhere; a name or an id as it is."""
    if not model.strip():
        raise InputError("--model is empty. Give it a folder, or a Hugging Face id like owner/name.")
    path = Path(model).expanduser()
    return str(path.resolve()) if path.is_dir() else model


def _check(values: Mapping[str, str]) -> None:
    """Refuse now what the app would refuse at each visit."""
    policy = source.Policy.from_environment(values)
    first = values.get(source.FIRST, "")
    parsed = hub.parse(first) if first and not Path(first).is_absolute() else None
    if first and not (policy.downloads and parsed):
        from engine.huggingface.checks import check_folder

        located = source.locate(first, policy)
        check_folder(located.folder, first)
