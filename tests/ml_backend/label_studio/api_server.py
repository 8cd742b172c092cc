"""A local HTTP server in place of Label Studio or a redirect target, which records requests."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import jwt

from tests.local_server import LocalServer, Request

_ISSUED = int(time.time()) - 86400

PAT = jwt.encode({"token_type": "refresh", "exp": 4102444800}, "of a server that is not asked" * 2, "HS256")


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    authorization: str | None
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """A response; without a status the connection is closed instead."""

    status: int | None = 200
    body: Any = None
    location: str | None = None
    after: float = 0.0
    kind: str = "application/json"


class ApiServer(LocalServer):
    """Answers each path with its replies in turn, repeating the last; 404 without any."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: dict[str, list[Reply]] = {}

    def count(self, method: str, path: str) -> int:
        """The number of such requests."""
        return sum((each.method, each.path) == (method, path) for each in self.seen)

    def grant_tokens(self, lifetime: int = 300) -> None:
        """Issue access tokens, numbered from 1."""
        self.replies["/api/token/refresh/"] = [
            Reply(body={"access": access_token(number, lifetime)}) for number in range(1, 9)
        ]

    def respond(self, request: Request) -> None:
        given = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.command, request.route, request.authorization, request.body(), given))
        replies = self.replies.get(request.route, [Reply(404, {"detail": "no such page"})])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        time.sleep(reply.after)
        if reply.status is None:
            return request.hang_up()
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        moved = {} if reply.location is None else {"Location": reply.location}
        return request.reply(reply.status, content, reply.kind, moved)


def access_token(number: int, lifetime: int = 300) -> str:
    """An access token with this lifetime in seconds by the server's clock, which is a day behind ours."""
    claims = {"token_type": "access", "iat": _ISSUED, "exp": _ISSUED + lifetime, "number": number}
    return jwt.encode(claims, "known to the server alone" * 2, "HS256")
