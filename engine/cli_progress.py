"""Progress bars of the `saccade` command, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def bar(title: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error; the value is a function that moves it forward."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda amount: progress.advance(task, amount)


@contextmanager
def counter(title: str) -> Iterator[Callable[[float], None]]:
    """Like `bar` where nobody knows how much there is: a count that runs."""
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f} done"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda amount: progress.advance(task, amount)
