"""The servers that a process needs: waited for at its start, so that they may be started in any order."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import redis
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from ml_backend.queue.clients import client_of
from ml_backend.settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SAY_SECONDS = 10.0
"""How often a line in the log says what is waited for."""

AWAY = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OperationalError)
REFUSED = redis.exceptions.AuthenticationError


def await_servers(settings: Settings) -> None:
    """Return once the servers at REDIS_URL and DATABASE_URL answer; what is embedded needs no waiting.

    An address that cannot be one is left to whoever opens it, and so is a password that Redis refuses.
    """
    if settings.redis_url:
        _await("Redis", "REDIS_URL", lambda: _ask_redis(settings.redis_url))
    url = settings.effective_database_url
    if not url.startswith("sqlite"):
        _await("The database", "DATABASE_URL", lambda: _ask_database(url))


def _await(what: str, variable: str, ask: Callable[[], None]) -> None:
    said_at = -math.inf
    while True:
        try:
            return ask()
        except REFUSED:
            return None
        except AWAY as error:
            if time.monotonic() - said_at >= SAY_SECONDS:
                said_at = time.monotonic()
                reason = " ".join(str(getattr(error, "orig", error)).split())
                logger.warning(
                    "%s does not answer yet: waiting; %s says where it is. %s", what, variable, reason
                )
        time.sleep(LOOK_SECONDS)


def _ask_redis(url: str) -> None:
    try:
        client = client_of(url)
    except ValueError:
        return
    try:
        client.ping()
    finally:
        client.close()


def _ask_database(url: str) -> None:
    try:
        engine = create_engine(make_url(url))
    except (ArgumentError, ImportError):
        return
    try:
        engine.connect().close()
    finally:
        engine.dispose()
