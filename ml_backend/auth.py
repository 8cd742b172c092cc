"""Basic authentication of callers."""

from __future__ import annotations

import hmac

from flask import Flask, Response, jsonify, request

OPEN_ENDPOINT = "health.health"


def require_basic_auth(app: Flask, credentials: tuple[str, str] | None) -> None:
    """Ask every caller but those of /health for these credentials; None asks nobody."""
    if credentials is None:
        return
    expected = tuple(part.encode() for part in credentials)

    @app.before_request
    def check() -> Response | None:
        if request.endpoint == OPEN_ENDPOINT:
            return None
        given = request.authorization
        if given is not None and given.type == "basic":
            user, password = (given.username or "").encode(), (given.password or "").encode()
            # Both are compared always, so that the time taken tells nothing about which was wrong.
            matches = hmac.compare_digest(user, expected[0]) & hmac.compare_digest(password, expected[1])
            if matches:
                return None
        response = jsonify(error="Send the user name and password of this ML backend.")
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Basic realm="dsal", charset="UTF-8"'
        return response
