"""A hub of one model, on this machine: what the library asks a hub for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """What is on it and what was asked of it.

    Attributes:
        files: content by name, of the model "owner/name".
        status: what every request of the model's description gets; 200 for an answer.
        reason: the header X-Error-Code of an answer that refuses.
        broken: files that are not given.
        asked: names of files that were asked for.
        address: where it is.
        requests: how many there were, of all kinds.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status = 200
        self.reason = ""
        self.broken: set[str] = set()
        self.asked: list[str] = []
        self.address = ""
        self.requests = 0

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        parts = unquote(urlsplit(path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            if self.status != 200 or parts[2:4] != ["owner", "name"]:
                status, reason = (self.status, self.reason) if self.status != 200 else (404, "RepoNotFound")
                return status, {"X-Error-Code": reason, "X-Error-Message": "no"}, b"{}"
            if "tree" in parts:
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": sha1(content).hexdigest()}
                    for name, content in self.files.items()
                ]
                return 200, {}, json.dumps(tree).encode()
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            return 200, {}, json.dumps({"id": "owner/name", "sha": COMMIT, "siblings": siblings}).encode()
        name = "/".join(parts[4:])
        if name not in self.files:
            return 404, {}, b""
        self.asked.append(name)
        if name in self.broken:
            return 403, {}, b""
        content = self.files[name]
        return 200, {"ETag": f'"{sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}, content


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers while the context is open."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
