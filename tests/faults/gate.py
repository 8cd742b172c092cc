"""A gate before the real Label Studio: it refuses, fails or is shut as a test says; all else is passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from tests.local_server import LocalServer, Request

KEPT = ("Authorization", "Content-Type")


@dataclass(frozen=True)
class Call:
    """One request; `path` has no query."""

    method: str
    path: str
    query: str
    authorization: str | None


Answer = Callable[[Call], int | None]
"""The status with which a call is refused; None if it is passed on."""


@dataclass
class Gate(LocalServer):
    """An HTTP server whose answers are those of `target`.

    Attributes:
        target: address of the real Label Studio.
        seen: all calls so far.
        refuse: decides about each call; -1 closes the connection without an answer.
    """

    target: str
    seen: list[Call] = field(default_factory=list)
    refuse: Answer = field(default=lambda _: None)
    _session: requests.Session = field(default_factory=requests.Session, init=False)

    def calls(self, method: str, path: str) -> int:
        """How many calls of a method there were whose path contains `path`."""
        return sum(call.method == method and path in call.path for call in self.seen)

    def respond(self, request: Request) -> None:
        """Pass a request on, unless `refuse` says otherwise."""
        body = request.body()
        path, _, query = request.path.partition("?")
        call = Call(request.command, path, query, request.authorization)
        self.seen.append(call)
        status = self.refuse(call)
        if status == -1:
            return request.hang_up()
        if status is not None:
            return request.reply_json({"detail": "refused by the gate"}, status)
        try:
            answer = self._session.request(
                request.command,
                self.target + request.path,
                data=body,
                headers={name: request.headers[name] for name in KEPT if request.headers.get(name)},
                timeout=120,
                allow_redirects=False,
            )
        except requests.RequestException:
            return request.hang_up()
        return request.reply(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))
