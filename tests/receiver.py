"""A receiver of notices: a real HTTP server that keeps what is posted to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

POLL_SECONDS = 0.05


class Receiver:
    """What was received.

    Attributes:
        url: where to post to; /broken answers with an error, and /away with a redirect.
        got: the messages, in their order.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[dict[str, Any]] = []

    @property
    def events(self) -> list[str]:
        """What the messages tell."""
        return [str(message["event"]) for message in self.got]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/away":
                self.send_response(307)
                self.send_header("Location", "/elsewhere")
            elif self.path == "/broken":
                self.send_response(500)
            else:
                receiver.got.append(json.loads(body))
                self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
