"""Pickled weights to safetensors: the operator's command, in a process of its own that reads tensors and nothing else.

Reading a pickle can run code. `torch.load(weights_only=True)` refuses whatever is not a tensor; should that ever fail,
the process that reads has no room to do much: limits on memory, file size and time, no network library loaded, none of
the environment's secrets.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import (
    InputError,
    ModelError,
    SaccadeError,
    UnknownModel,
    Unsupported,
    WeightsDamaged,
    WeightsMissing,
)
from engine.huggingface import hub
from engine.huggingface.checks import check_folder
from engine.huggingface.files import check_files, is_there, read_object, size_of
from engine.huggingface.source import CONFIG, Policy

if TYPE_CHECKING:
    from torch import Tensor

ROOT = Path(__file__).parents[2]
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
ROOM = 4_000_000_000  # bytes of memory beside the weights: torch itself, with the tensors of a small model
SECONDS = 6 * 3600  # of processor time
KEPT = ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")
REFUSED = 3  # the exit status of a reading process that says why on standard output


def source_of(reference: str, downloads: bool, report: hub.Report | None = None) -> Path:
    """The folder with the pickled weights: a folder, a name in the allowed folders, else a Hugging Face id.

    This is for the operator's command alone: any folder is taken.

    Raises:
        InputError: neither a folder nor an id, or nothing at all.
        UnknownModel: an id that is not on this machine, or not on the hub.
        Unsupported, ModelError: as `hub.download`.
    """
    if not reference.strip():
        raise InputError("There is no model to convert. Give a folder, or a Hugging Face id like owner/name.")
    places = [Path(reference).expanduser(), *(folder / reference for folder in Policy.from_environment().folders)]
    for place in places:
        with suppress(OSError, ValueError):
            if place.is_dir():
                return place.resolve()
    parsed = hub.parse(reference)
    if parsed is None:
        raise InputError(
            f"There is no folder {reference[:80]!r}, and it is not the form of a Hugging Face id. "
            "Check the folder's name, or write the id like owner/name."
        )
    folder = hub.cached(*parsed)
    if folder is not None and pickles_of(folder):
        return folder
    if not downloads:
        raise UnknownModel(f"{reference} has no pickled weights on this machine. Leave out --no-downloads.")
    return hub.download(*parsed, report, pickled=True)


def convert(folder: Path, out: Path, name: str) -> Path:
    """Write a model's pickled weights as safetensors into a new folder, with its configuration and tokenizer.

    The new folder appears at the end, whole; whatever goes wrong leaves nothing.

    Args:
        folder: with pytorch_model.bin, or pytorch_model.bin.index.json and the files that it names.
        out: the folder to make.
        name: what the model is called in messages.

    Returns:
        `out`.

    Raises:
        InputError: `out` exists, or it cannot be made.
        Unsupported: nothing to convert, or the files hold more than tensors.
        WeightsDamaged, WeightsMissing, ConfigError: as `check_folder`.
        ModelError: the reading process was stopped.
    """
    check_files(folder, also=("*.bin",))
    read_object(folder / CONFIG)
    files = pickles_of(folder)
    if not files:
        raise Unsupported(f"{name} has no {BIN}, so there is nothing to convert.")
    with _new_folder(out) as made:
        _read_elsewhere(files, made, name)
        for path in folder.iterdir():
            kept = any(fnmatchcase(path.name, pattern) for pattern in hub.SMALL) or path.suffix == ".jinja"
            if kept and path.is_file() and not path.name.endswith(".index.json"):
                shutil.copyfile(path, made / path.name)
        check_folder(made, name)
    return out


def pickles_of(folder: Path) -> tuple[Path, ...]:
    """The pickled weights of a folder, in their order; none where there are none.

    Raises:
        WeightsMissing: a file that the index names is not there.
        WeightsDamaged: the index names something that is no such file of the folder, or a file is no regular one.
    """
    if is_there(folder / BIN):
        names = [BIN]
    elif is_there(folder / BIN_INDEX):
        found = read_object(folder / BIN_INDEX).get("weight_map")
        names = sorted({str(file) for file in found.values()}) if isinstance(found, dict) else []
        for name in names:
            if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.bin", name, re.ASCII):
                raise WeightsDamaged(
                    f"{BIN_INDEX} names {name[:80]!r}, which is no .bin file of its own folder. "
                    f"Copy the model's own {BIN_INDEX}."
                )
            if not (folder / name).exists():
                raise WeightsMissing(f"{BIN_INDEX} names {name}, which is not there. Download the model again.")
    else:
        return ()
    for name in names:
        size_of(folder / name)
    return tuple(folder / name for name in names)


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder under a temporary name, which gets its own at the end; removed where something goes wrong."""
    if is_there(out):
        raise InputError(f"{out} exists already. Give another folder with --out, or remove it.")
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist. Create it, or give another --out.")
    made = out.parent / f".{out.name[:100]}.{os.getpid()}.part"
    made.mkdir()
    try:
        yield made
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _read_elsewhere(files: tuple[Path, ...], out: Path, name: str) -> None:
    """Let a process of its own read the pickles and write safetensors."""
    size = sum(path.stat().st_size for path in files)
    task = {"files": [str(path.resolve()) for path in files], "out": str(out.resolve()), "bytes": size}
    environment = {key: value for key in KEPT if (value := os.environ.get(key))}
    environment |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "engine.huggingface.convert"],
        input=json.dumps(task),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment,
        text=True,
        check=False,
    )
    if done.returncode == REFUSED:
        raise Unsupported(f"{name} was not converted: {done.stdout.strip()[:400]}")
    if done.returncode:
        raise ModelError(
            f"{name} was not converted: the process that reads it was stopped (status {done.returncode}), as happens "
            "when its files are damaged or the memory is short. Try again on a machine with more memory."
        )


# --- In the process that reads ----------------------------------------------------------------------------------------


def main() -> int:
    """Read the task on standard input, do it within limits; the exit status is 0 or `REFUSED` with a sentence."""
    task = json.loads(sys.stdin.read())
    _limit(task["bytes"])
    try:
        _write([Path(file) for file in task["files"]], Path(task["out"]))
    except SaccadeError as error:
        print(error)
        return REFUSED
    except OSError as error:
        print(f"{error.strerror or type(error).__name__}. Check the disk, then try again.")
        return REFUSED
    return 0


def _limit(size: int) -> None:
    """Bound what this process may take: memory for the weights and torch, files of about the weights' size, no dump."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return
    limits = [
        ("RLIMIT_CORE", 0),
        ("RLIMIT_DATA", 3 * size + ROOM),
        ("RLIMIT_FSIZE", 4 * size + 1_000_000),
        ("RLIMIT_CPU", SECONDS),
    ]
    for name, most in limits:
        with suppress(AttributeError, ValueError, OSError):
            _, hard = resource.getrlimit(getattr(resource, name))
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(getattr(resource, name), (most, most))


def _write(files: list[Path], out: Path) -> None:
    """Each pickled file as one of safetensors; an index where there are several."""
    import safetensors.torch

    places: dict[str, str] = {}
    total = 0
    for number, path in enumerate(files, 1):
        name = hub.SINGLE if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        tensors = _apart(tensors_of(path))
        safetensors.torch.save_file(tensors, out / name, metadata={"format": "pt"})
        (out / name).chmod(0o644)  # safetensors writes for the owner alone
        places |= dict.fromkeys(tensors, name)
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if len(files) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (out / hub.INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled file, by name: for a process that may be lost.

    Raises:
        Unsupported: it holds anything else, or is no such file.
    """
    import torch

    advice = "Reading more than tensors can run code. Save the model again with save_pretrained, where it was made."
    values: Any = None
    for mapped in (True, False):  # files of old versions of torch cannot be mapped
        try:
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            break
        except Exception as error:  # whatever a hostile or damaged pickle leads to
            if not mapped or "mmap" not in str(error):
                raise Unsupported(f"{path.name} is damaged or holds more than tensors. {advice}") from error
    if not isinstance(values, Mapping) or not values:
        raise Unsupported(f"{path.name} holds no table of tensors. {advice}")
    for name, value in values.items():
        if not isinstance(name, str) or type(value) not in (torch.Tensor, torch.nn.Parameter):
            raise Unsupported(f"{path.name} holds {str(name)[:80]!r}, which is no tensor. {advice}")
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise Unsupported(f"{path.name} holds {name[:80]!r}, a tensor that safetensors cannot. {advice}")
    return {name: value.detach() for name, value in values.items()}


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, none sharing memory with another or lying inside a larger one: what safetensors takes."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage()
        whole = storage.nbytes() == tensor.numel() * tensor.element_size() and tensor.is_contiguous()
        found[name] = tensor if whole and storage.data_ptr() not in seen else tensor.contiguous().clone()
        seen.add(storage.data_ptr())
    return found


if __name__ == "__main__":
    sys.exit(main())
