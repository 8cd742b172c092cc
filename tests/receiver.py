"""A receiver of notices: a real HTTP server that keeps what is posted to it."""

from __future__ import annotations

import json
from typing import Any

from tests.local_server import LocalServer, Request


class Receiver(LocalServer):
    """Where notices are posted to; /broken answers with an error, and /away with a redirect.

    Attributes:
        got: the messages, in their order.
    """

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    @property
    def events(self) -> list[str]:
        """What the messages tell."""
        return [str(message["event"]) for message in self.got]

    def respond(self, request: Request) -> None:
        body = request.body()
        if request.path == "/away":
            request.reply(307, headers={"Location": "/elsewhere"})
        elif request.path == "/broken":
            request.reply(500)
        else:
            self.got.append(json.loads(body))
            request.reply()
