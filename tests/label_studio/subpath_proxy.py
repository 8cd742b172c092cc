"""A real HTTP proxy that serves another server under a subpath and can simulate failures."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class SubpathProxy:
    """Serves `target` under `/studio`; the next `failures` requests get a 503."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.failures = 0
        self.refused: set[str] = set()
        self.seen: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return f"http://localhost:{self._server.server_port}/studio"

    def __enter__(self) -> SubpathProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0].removeprefix("/studio")
                proxy.seen[self.command, path] += 1
                if not self.path.startswith("/studio/"):
                    return self.reply(404, b"", "text/plain")
                if proxy.failures:
                    proxy.failures -= 1
                    return self.reply(503, b"", "text/plain")
                if self.headers.get("Authorization") in proxy.refused:
                    return self.reply(401, b"{}", "application/json")
                kept = ("Authorization", "Content-Type")
                headers = {name: self.headers[name] for name in kept if self.headers.get(name)}
                address = proxy.target + self.path.removeprefix("/studio")
                answer = requests.request(self.command, address, data=body, headers=headers, timeout=30)
                return self.reply(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

            do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815

            def reply(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
