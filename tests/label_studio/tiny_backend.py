"""A real HTTP server that acts as a minimal ML backend and records its calls."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from tests.local_server import LocalServer, Request

REPLIES = {"/health": {"status": "UP"}, "/setup": {"model_version": "tiny-1"}}


@dataclass
class Call:
    """One received request."""

    path: str
    authorization: str | None
    body: Any


@dataclass
class TinyBackend(LocalServer):
    """Serves /health without a password, and everything else with it if one is set."""

    password: tuple[str, str] | None = None
    calls: list[Call] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def events(self) -> list[Call]:
        """The webhook deliveries so far."""
        return [call for call in self.calls if call.path == "/webhook"]

    def respond(self, request: Request) -> None:
        body = json.loads(request.body() or b"null")
        self.calls.append(Call(request.path, request.authorization, body))
        if request.path == "/health" or self.password is None or self._knows(request):
            request.reply_json(REPLIES.get(request.path, {}))
        else:
            request.reply_json({"error": "no"}, 401)

    def _knows(self, request: Request) -> bool:
        return self.password is not None and request.authorization == header(self.password)


def header(password: tuple[str, str]) -> str:
    """The Authorization header of basic auth."""
    return "Basic " + base64.b64encode(":".join(password).encode()).decode()
