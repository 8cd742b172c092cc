"""A real HTTP server that acts as a minimal ML backend and records its calls."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Call:
    """One received request."""

    path: str
    authorization: str | None
    body: Any


@dataclass
class TinyBackend:
    """Serves /health without a password, and everything else with it if one is set."""

    password: tuple[str, str] | None = None
    calls: list[Call] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://localhost:{self._server.server_port}"

    def events(self) -> list[Call]:
        """The webhook deliveries so far."""
        return [call for call in self.calls if call.path == "/webhook"]

    def __enter__(self) -> TinyBackend:
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer()

            def do_POST(self) -> None:
                self.answer()

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"null")
                given = self.headers.get("Authorization")
                backend.calls.append(Call(self.path, given, body))
                allowed = backend.password is None or given == header(backend.password)
                status = 200 if allowed or self.path == "/health" else 401
                text = json.dumps(replies.get(self.path, {}) if status == 200 else {"error": "no"}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        replies = {"/health": {"status": "UP"}, "/setup": {"model_version": "tiny-1"}}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


def header(password: tuple[str, str]) -> str:
    """The Authorization header of basic auth."""
    return "Basic " + base64.b64encode(":".join(password).encode()).decode()
