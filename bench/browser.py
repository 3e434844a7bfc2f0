"""The app as a user starts it and a real Chromium, for benchmarks, screenshots and browser tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parents[1]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = (
    "/usr/bin/chromium",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


class NoBrowser(RuntimeError):
    """This machine has no Chromium: run .ci/browser to install one."""


class NoApp(RuntimeError):
    """The app did not start; the message holds its output."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium: an installed one, or Playwright's own.

    Raises:
        NoBrowser: there is neither.
    """
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def find_browser(own: str) -> str:
    """The path of an installed Chromium or Chrome, else of `own`, Playwright's.

    Raises:
        NoBrowser: there is none.
    """
    for name in (*NAMES, own):
        if path := shutil.which(name):
            return path
    raise NoBrowser("no Chromium on this machine: run .ci/browser to install one")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Server:
    """A running app.

    Attributes:
        address: `http://host:port`.
        pid: of the command that was started.
        log: a file that takes all it prints; the place where it writes is shared, so `printed` reads without moving it.
    """

    address: str
    pid: int
    log: IO[bytes]

    def printed(self) -> str:
        """All it has printed so far."""
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode(errors="replace")


@contextmanager
def running_app() -> Iterator[str]:
    """`saccade run` on a free port; the value is its address.

    Raises:
        NoApp: it ended, or did not answer within 90 seconds.
    """
    with serving("engine.cli", "run", "--device", "cpu", port="--port") as server:
        yield server.address


@contextmanager
def serving(*command: str, port: str) -> Iterator[Server]:
    """A Python module that starts a Streamlit app, on a free port.

    Args:
        command: the module and its arguments.
        port: its option for the port.

    Raises:
        NoApp: it ended, or did not answer within 90 seconds.
    """
    number = free_port()
    address = f"http://127.0.0.1:{number}"
    with tempfile.TemporaryFile() as log:  # not a pipe: one that nobody reads fills, and the app would stop
        process = subprocess.Popen(
            [sys.executable, "-m", *command, port, str(number)],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        server = Server(address, process.pid, log)
        try:
            if not _is_up(address, process, seconds=90):
                _stop(process)
                raise NoApp(f"the app did not start:\n{server.printed()}")
            yield server
        finally:
            _stop(process)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the command and the Streamlit under it."""
    with suppress(ProcessLookupError):  # all gone already
        os.killpg(server.pid, 15)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def _is_up(address: str, server: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it answers, waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    return False


def main() -> None:
    """Print where the browser is; exit with 1 if there is none."""
    with sync_playwright() as playwright:
        try:
            print(find_browser(playwright.chromium.executable_path))
        except NoBrowser as reason:
            sys.exit(str(reason))


if __name__ == "__main__":
    main()
