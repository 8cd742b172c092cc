"""An HTTP server of a test, on the loopback interface."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

POLL_SECONDS = 0.02
"""Time between two looks of a server at whether it is to end."""


class Request(BaseHTTPRequestHandler):
    """One request, and the way to answer it."""

    @property
    def route(self) -> str:
        """The path without the query."""
        return self.path.partition("?")[0]

    @property
    def authorization(self) -> str | None:
        """The header of that name."""
        return self.headers["Authorization"]

    def body(self) -> bytes:
        """What was sent with it; can be read once."""
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def reply(
        self,
        status: int = 200,
        content: bytes = b"",
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer; a client that has gone away does not matter.

        Args:
            status: of the answer.
            content: of its body.
            kind: the content's type.
            headers: further ones.
        """
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(content))}
        for name, value in (own | (headers or {})).items():
            self.send_header(name, value)
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(content)

    def reply_json(self, content: Any, status: int = 200) -> None:
        """Answer with a value."""
        self.reply(status, json.dumps(content).encode())

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class LocalServer:
    """Answers requests, each in a thread of its own, from the beginning of a `with` block to its end."""

    def respond(self, request: Request) -> None:
        """Answer one request; each server defines how."""
        raise NotImplementedError

    @property
    def port(self) -> int:
        """Its port, which the system chose."""
        return self._server.server_port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        respond = self.respond

        class Handler(Request):
            def do_GET(self) -> None:
                respond(self)

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
