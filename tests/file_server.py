"""A folder as a web server, for images that lie outside Label Studio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serve_folder(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve `folder` on the loopback interface; yields the address."""
    with _listen(port, partial(_QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _listen(port: int, handler: Callable[..., _QuietHandler], seconds: float = 30) -> ThreadingHTTPServer:
    """The server; a port that a call of another process uses for a moment is awaited."""
    until = time.monotonic() + seconds
    while True:
        try:
            return ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
