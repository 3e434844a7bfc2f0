"""The app as a user starts it and a real Chromium, for benchmarks, screenshots and browser tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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


@contextmanager
def running_app() -> Iterator[str]:
    """`saccade run` on a free port; the value is its address.

    Raises:
        NoApp: it ended, or did not answer within 90 seconds.
    """
    port = free_port()
    command = [sys.executable, "-m", "engine.cli", "run", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(address, server, seconds=90)
        yield address
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the command and the Streamlit under it.

    Reading on until both have closed the pipe matters: a pipe gone when Streamlit says "Stopping..." keeps it alive.
    """
    with suppress(ProcessLookupError):  # all gone already
        os.killpg(server.pid, 15)
        try:
            server.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)


def _wait_until_up(address: str, server: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    if server.poll() is None:
        os.killpg(server.pid, 9)
    output = server.stdout.read().decode() if server.stdout else ""
    raise NoApp(f"the app did not start:\n{output}")


def main() -> None:
    """Print where the browser is; exit with 1 if there is none."""
    with sync_playwright() as playwright:
        try:
            print(find_browser(playwright.chromium.executable_path))
        except NoBrowser as reason:
            sys.exit(str(reason))


if __name__ == "__main__":
    main()
