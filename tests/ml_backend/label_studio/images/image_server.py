"""A local HTTP server that images are fetched from, and its responses."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from tests.local_server import LocalServer, Request

IMAGE = bytes(range(256)) * 40

Route = Callable[[BaseHTTPRequestHandler], None]


class Server(LocalServer):
    """A local HTTP server with the requests it has seen; it answers 404 until routes are added."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, str | None]] = []

    def tokens(self, path: str) -> list[str | None]:
        """The Authorization header of each request for the path."""
        return [token for seen, token in self.requests if seen == path]

    def respond(self, request: Request) -> None:
        self.requests.append((request.route, request.authorization))
        try:
            self.routes.get(request.route, answer(b"no", 404))(request)
        except (BrokenPipeError, ConnectionResetError):
            request.hang_up()


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
