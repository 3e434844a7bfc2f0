"""A whole class at once: many websocket clients on one process, beside a bare Streamlit page under the same crowd."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.browser import Server, serving
from bench.clock import percentile
from bench.crowd import Check, Crowd, Visit, not_greeted, not_translated, visit
from bench.report import Cell, Goal, Report

P95, ERRORS = 2.5, 0  # seconds; answers
LOG = 3000  # characters of a server's log that are shown after an error
OURS, BARE = "Saccade, Translate", 'bare Streamlit page, `st.write("hello")`'
BARE_PAGE = 'import streamlit as st\n\nst.write("hello")\n'
_METHOD = (
    "{clients} websocket clients that speak Streamlit's protocol, on one process (`OMP_NUM_THREADS=1`) of the same "
    "machine. They open the page at once. When all have loaded it, each thinks for {think:g} s on average "
    "(exponential, seeded), asks for a sentence that nobody has asked for, waits for the whole page, and so on for "
    "{seconds:g} s. Wall clock from sending to `script_finished`. An answer that shows an error or another sentence, "
    "or takes over {timeout:g} s, is an error, and its time counts too; so is a first page with an error. One page "
    "after the other in one run, with the same crowd. CPU and cores (CPU seconds per second) are the server's."
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a server has used at some moment.

    Attributes:
        wall: seconds on the clock.
        clients: CPU seconds of this process.
        server: CPU seconds of the server; NaN where the system has no /proc.
        megabytes: resident memory of the server; NaN likewise.
    """

    wall: float
    clients: float
    server: float
    megabytes: float


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a crowd, and what was used when it had loaded the page and when it had its last answer."""

    visit: Visit
    start: Usage
    end: Usage


def load(crowd: Crowd | None = None) -> Report:
    """Run it: about two and a half minutes with a crowd's 45 seconds.

    Raises:
        NoApp: an app did not start.
        ProtocolError: a client could not even load a page.
    """
    crowd = crowd or Crowd()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "hello.py")
        script.write_text(BARE_PAGE, encoding="utf-8")
        with serving("streamlit", "run", str(script), port="--server.port") as server:
            bare = _visit(server, "", crowd, not_greeted)
    with serving("engine.cli", "run", "--device", "cpu", port="--port") as server:
        ours = _visit(server, "translate", crowd, not_translated)
    return report(crowd, {OURS: ours, BARE: bare})


def _visit(server: Server, path: str, crowd: Crowd, check: Check) -> Found:
    process = _youngest(server.pid)
    usages: list[Usage] = []
    visited = visit(server.address, path, crowd, check, lambda: usages.append(_usage(process)))
    if visited.errors:
        print(f"bench: there were errors; the server's log ends with\n{server.printed()[-LOG:]}", file=sys.stderr)
    return Found(visited, *usages)


def _youngest(pid: int) -> int:
    """The process that serves: `saccade run` starts Streamlit as its child."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return pid
    return _youngest(int(children[0])) if children else pid


def _usage(pid: int) -> Usage:
    wall, clients = time.perf_counter(), time.process_time()
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        times = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return Usage(wall, clients, float("nan"), float("nan"))
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return Usage(wall, clients, sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK"), int(memory) / 1024)


def report(crowd: Crowd, visits: dict[str, Found]) -> Report:
    """The table, the goals, and every single action.

    Args:
        crowd: who came.
        visits: what came of it, by page; ours and the bare one.

    Raises:
        ValueError: a page was asked nothing.
    """
    for page, found in visits.items():
        if not found.visit.actions:
            raise ValueError(f"nobody asked anything of {page}: give it more time")
    slow = {page: percentile(_times(found), 0.95) for page, found in visits.items()}
    rows = [_row(page, found, slow[page] / slow[BARE]) for page, found in visits.items()]
    goals = [
        Goal(f"{crowd.clients} clients on Translate, p95 in seconds", slow[OURS], P95),
        Goal("errors", len(visits[OURS].visit.errors), ERRORS),
    ]
    figures = {"crowd": asdict(crowd)} | {page: asdict(found) for page, found in visits.items()}
    return Report("Load", _METHOD.format(**asdict(crowd)), rows, goals, figures)


def _times(found: Found) -> list[float]:
    return [one.seconds for one in found.visit.actions]


def _row(page: str, found: Found, ratio: float) -> dict[str, Cell]:
    times = _times(found)
    sizes = [one.size for one in found.visit.actions if one.size]
    start, end = found.start, found.end
    wall = end.wall - start.wall
    return {
        "page": page,
        "all loaded, s": f"{found.visit.loading:.1f}",
        "requests": len(times),
        "errors": _told(found.visit.errors),
        "p50 s": f"{percentile(times, 0.5):.3f}",
        "p95 s": f"{percentile(times, 0.95):.3f}",
        "max s": f"{max(times):.3f}",
        "p95 ÷ bare": f"{ratio:.1f}" if page != BARE else "1",
        "kB of an answer, median": f"{percentile(sizes, 0.5) / 1000:.1f}" if sizes else "-",
        "MB": f"{end.megabytes:.0f}",
        "CPU ms a request": f"{(end.server - start.server) / len(times) * 1000:.0f}",
        "cores": f"{(end.server - start.server) / wall:.2f}",
    }


def _told(errors: Sequence[str]) -> str:
    """How many, and the most frequent one."""
    if not errors:
        return "0"
    most, _ = Counter(errors).most_common(1)[0]
    short = " ".join(most.replace("|", "/").split())
    return f"{len(errors)}: {short[:80]}"
