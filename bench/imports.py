"""What `import engine` costs beside `import torch`, in new Python processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from bench.clock import Spread, ratio
from bench.report import Cell, Goal, Report

MOST = 1.3  # times `import torch`
TORCH, ENGINE = "import torch", "import engine; engine.load"
CASES = (
    TORCH,
    ENGINE,  # `load` brings torch and everything else that a first model needs
    "import engine",  # alone: lazy
    "import viz",
    "from transformers import MarianMTModel, AutoTokenizer",
)
_METHOD = (
    "CPU seconds (user and system) of a new Python process each, {rounds} interleaved rounds, after one that fills the "
    "disk cache; an empty process is taken off. `engine.load` is named, not called: it imports all it needs."
)


def imports(rounds: int = 7) -> Report:
    """Run it: about a minute."""
    times: dict[str, list[float]] = {case: [] for case in CASES}
    for number in range(-1, rounds):
        turn = number % len(CASES)
        empty = _cpu_seconds("pass")
        for case in CASES[turn:] + CASES[:turn]:
            spent = _cpu_seconds(case) - empty
            if number >= 0:
                times[case].append(spent)
    rows: list[dict[str, Cell]] = [
        {
            "process": f"`{case}`",
            "CPU s": Spread.of(spent).show(2),
            "÷ import torch": ratio(times, case, TORCH).show(2) if case != TORCH else "1",
        }
        for case, spent in times.items()
    ]
    goals = [Goal("import engine with its torch ÷ import torch", ratio(times, ENGINE, TORCH).median, MOST)]
    return Report("Import", _METHOD.format(rounds=rounds), rows, goals, {"cpu_s": times})


def _cpu_seconds(code: str) -> float:
    """User and system time of `python -c code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
