"""A local HTTP server in place of Label Studio or a redirect target, which records requests."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

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


class ApiServer:
    """Answers each path with its replies in turn, repeating the last; 404 without any."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.replies: dict[str, list[Reply]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, method: str, path: str) -> int:
        """The number of such requests."""
        return sum((each.method, each.path) == (method, path) for each in self.seen)

    def grant_tokens(self, lifetime: int = 300) -> None:
        """Issue access tokens, numbered from 1."""
        self.replies["/api/token/refresh/"] = [
            Reply(body={"access": access_token(number, lifetime)}) for number in range(1, 9)
        ]

    def __enter__(self) -> ApiServer:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                given = {name.lower(): value for name, value in self.headers.items()}
                api.seen.append(Seen(self.command, path, self.headers["Authorization"], body, given))
                replies = api.replies.get(path, [Reply(404, {"detail": "no such page"})])
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                time.sleep(reply.after)
                if reply.status is None:
                    self.close_connection = True
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                if reply.location is not None:
                    self.send_header("Location", reply.location)
                self.send_header("Content-Type", reply.kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(ConnectionError):
                    self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def access_token(number: int, lifetime: int = 300) -> str:
    """An access token with this lifetime in seconds by the server's clock, which is a day behind ours."""
    claims = {"token_type": "access", "iat": _ISSUED, "exp": _ISSUED + lifetime, "number": number}
    return jwt.encode(claims, "known to the server alone" * 2, "HS256")
