"""A gate before the real Label Studio: it refuses, fails or is shut as a test says; all else is passed on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

KEPT = ("Authorization", "Content-Type")


@dataclass(frozen=True)
class Call:
    """One request; `path` has no query."""

    method: str
    path: str
    query: str
    authorization: str | None


Answer = Callable[[Call], int | None]
"""The status with which a call is refused; None if it is passed on."""


@dataclass
class Gate:
    """An HTTP server whose answers are those of `target`.

    Attributes:
        target: address of the real Label Studio.
        seen: all calls so far.
        refuse: decides about each call; -1 closes the connection without an answer.
    """

    target: str
    seen: list[Call] = field(default_factory=list)
    refuse: Answer = field(default=lambda _: None)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def calls(self, method: str, path: str) -> int:
        """How many calls of a method there were whose path contains `path`."""
        return sum(call.method == method and path in call.path for call in self.seen)

    def __enter__(self) -> Gate:
        gate, session = self, requests.Session()

        class Handler(BaseHTTPRequestHandler):
            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path, _, query = self.path.partition("?")
                call = Call(self.command, path, query, self.headers.get("Authorization"))
                gate.seen.append(call)
                status = gate.refuse(call)
                if status == -1:
                    self.close_connection = True
                    return None
                if status is not None:
                    return self.reply(status, b'{"detail": "refused by the gate"}', "application/json")
                headers = {name: self.headers[name] for name in KEPT if self.headers.get(name)}
                try:
                    answer = session.request(
                        self.command,
                        gate.target + self.path,
                        data=body,
                        headers=headers,
                        timeout=120,
                        allow_redirects=False,
                    )
                except requests.RequestException:
                    self.close_connection = True
                    return None
                return self.reply(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

            do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815

            def reply(self, status: int, content: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
