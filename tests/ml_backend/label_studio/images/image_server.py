"""A local HTTP server that images are fetched from, and its responses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IMAGE = bytes(range(256)) * 40

Route = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A local HTTP server with the requests it has seen."""

    url: str
    routes: dict[str, Route]
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def tokens(self, path: str) -> list[str | None]:
        """The Authorization header of each request for the path."""
        return [token for seen, token in self.requests if seen == path]


def answer(body: bytes = IMAGE, status: int = 200, **headers: str) -> Route:
    """A route that always gives this response; `_` means `-` in header names."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return route


def redirect(target: str) -> Route:
    return answer(b"", 302, Location=target)


def start_server() -> tuple[Server, ThreadingHTTPServer]:
    """A server that answers 404 until routes are added, and a function that shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.requests.append((path, self.headers["Authorization"]))
            try:
                server.routes.get(path, answer(b"no", 404))(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}", {})
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    return server, http
