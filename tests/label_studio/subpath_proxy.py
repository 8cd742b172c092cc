"""A real HTTP proxy that serves another server under a subpath and can simulate failures."""

from __future__ import annotations

from collections import Counter

import requests

from tests.local_server import LocalServer, Request

KEPT = ("Authorization", "Content-Type")


class SubpathProxy(LocalServer):
    """Serves `target` under `/studio`; the next `failures` requests get a 503."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.failures = 0
        self.refused: set[str] = set()
        self.seen: Counter[tuple[str, str]] = Counter()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/studio"

    def respond(self, request: Request) -> None:
        body = request.body()
        self.seen[request.command, request.route.removeprefix("/studio")] += 1
        if not request.path.startswith("/studio/"):
            return request.reply(404, kind="text/plain")
        if self.failures:
            self.failures -= 1
            return request.reply(503, kind="text/plain")
        if request.authorization in self.refused:
            return request.reply(401, b"{}")
        answer = requests.request(
            request.command,
            self.target + request.path.removeprefix("/studio"),
            data=body,
            headers={name: request.headers[name] for name in KEPT if request.headers.get(name)},
            timeout=30,
        )
        return request.reply(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))
