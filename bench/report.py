"""What a benchmark found: rows, goals, and the machine, as Markdown or JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and the most it should be."""

    what: str
    figure: float
    most: float

    @property
    def met(self) -> bool:
        return self.figure <= self.most


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark.

    Attributes:
        name: a title.
        method: how it was measured, one sentence or two.
        rows: of one table, with the same columns; spreads are in quartiles.
        goals: met or missed.
        figures: everything by name, unrounded, for JSON.
    """

    name: str
    method: str
    rows: Sequence[Mapping[str, Cell]]
    goals: Sequence[Goal]
    figures: Mapping[str, object]

    def markdown(self) -> str:
        lines = [f"### {self.name}", "", self.method, "", *table(self.rows), ""]
        for goal in self.goals:
            verdict = "met" if goal.met else "**missed**"
            lines.append(f"- {goal.what}: {goal.figure:.3g}, goal ≤ {goal.most:g}: {verdict}")
        return "\n".join(lines) + "\n"


def table(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """Lines of a Markdown table, columns aligned."""
    heads = list(rows[0])
    cells = [heads, *([str(row[head]) for head in heads] for row in rows)]
    wide = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    drawn = [" | ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)) for row in cells]
    return [f"| {drawn[0]} |", "|" + "|".join("-" * (width + 2) for width in wide) + "|"] + [
        f"| {line} |" for line in drawn[1:]
    ]


def machine() -> dict[str, Cell]:
    """What the figures depend on."""
    found: dict[str, Cell] = {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "cpu": _processor(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
    }
    for package in ("torch", "transformers", "streamlit", "bertviz"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "-"
    return found


def about() -> str:
    """The machine, in one line."""
    return ", ".join(f"{name} {value}" for name, value in machine().items())


def as_json(reports: Sequence[Report]) -> str:
    """All reports for a program."""
    found = [{**asdict(report), "met": [goal.met for goal in report.goals]} for report in reports]
    return json.dumps({"machine": machine(), "reports": found}, ensure_ascii=False, indent=2)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
