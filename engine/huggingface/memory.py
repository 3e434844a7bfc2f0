"""How much memory there is: of the machine, of what holds the process in, and of its devices."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from engine.errors import ConfigError

CONTROL_GROUPS = (  # (limit, used): the files of version 2, then of version 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)
MEMINFO = Path("/proc/meminfo")
UNITS = {"": 1, "B": 1}
UNITS |= {f"{letter}{end}": 1000**power for power, letter in enumerate("KMGT", 1) for end in ("", "B")}
UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)}


def parse_bytes(text: str, name: str) -> int:
    """Bytes written for people: "8GB" is 8·10⁹, "8GiB" 8·2³⁰, a bare number bytes.

    Args:
        text: the amount.
        name: the setting it was given for, for the message.

    Raises:
        ConfigError: not an amount, or none at all.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]{0,3})", text.strip(), re.ASCII)
    amount = int(float(found[1]) * UNITS.get(found[2].upper(), 0)) if found else 0
    if amount <= 0:
        raise ConfigError(f"{name} is {text!r}, which is no amount of memory. Write it like 8GB or 512MB.")
    return amount


def shown_bytes(amount: float) -> str:
    """Bytes for a screen, in powers of 1000: "0 bytes", "17 kB", "3.4 GB", "240 GB"."""
    units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.1f} {units[0]}" if amount < 9.95 and units[0] != "bytes" else f"{amount:.0f} {units[0]}"


def total(device: str = "cpu") -> int:
    """The bytes of memory of a device: all of one kind together; what a control group allows where there is one."""
    if device == "cuda":
        return sum(whole for _, whole in _cuda())
    groups = [limit for path, _ in CONTROL_GROUPS if (limit := _number(path)) is not None]
    return min([_machine("MemTotal", "SC_PHYS_PAGES"), *groups])


def available(device: str = "cpu") -> int:
    """The bytes of memory that a new model could take now, on a device: all of one kind together."""
    if device == "cuda":
        return sum(free for free, _ in _cuda())
    groups = [
        max(limit - used, 0)
        for path, using in CONTROL_GROUPS
        if (limit := _number(path)) is not None and (used := _number(using)) is not None
    ]
    return min([_machine("MemAvailable", "SC_AVPHYS_PAGES"), *groups])


def _cuda() -> list[tuple[int, int]]:
    import torch

    return [torch.cuda.mem_get_info(index) for index in range(torch.cuda.device_count())]


def _machine(line: str, pages: str) -> int:
    """Of the whole machine: psutil comes with accelerate, Linux says so itself, POSIX counts pages."""
    with suppress(ImportError):
        import psutil  # type: ignore[import-untyped]

        memory = psutil.virtual_memory()
        return int(memory.total if line == "MemTotal" else memory.available)
    with suppress(OSError, ValueError):
        found = re.search(rf"^{line}: +(\d+) kB$", MEMINFO.read_text("ascii"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    """The number in a file; None where it has none ("max") or is not there."""
    with suppress(OSError, ValueError):
        return int(path.read_text("ascii"))
    return None
