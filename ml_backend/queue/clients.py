"""Clients of Redis: of the server at REDIS_URL, or of the embedded one."""

from __future__ import annotations

import weakref
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.settings import Settings

SOCKET_SECONDS = 5


def connect_redis(settings: Settings) -> redis.Redis:
    """A client of REDIS_URL, or else of the embedded server, which runs as long as any process has a client.

    Raises:
        redis.exceptions.ConnectionError: REDIS_URL does not answer.
        EmbeddedRedisError: the embedded server does not start.
    """
    server = None if settings.redis_url else EmbeddedRedis(settings.redis_dir)
    client = client_of(settings.redis_url if server is None else socket_url(server.socket))
    client.ping()
    if server is not None:
        weakref.finalize(client, server.leave)
    return client


def client_of(url: str) -> redis.Redis:
    """A client of the Redis at `url`; it connects when it is first used."""
    return redis.Redis.from_url(
        url,
        # An unreachable server must not delay a web response; RQ's worker sets a longer timeout for itself.
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=SOCKET_SECONDS,
        retry=Retry(ConstantBackoff(0.1), 1),
    )


def socket_url(socket: Path) -> str:
    """The URL of a Redis server that listens on a Unix socket."""
    return f"unix://{quote(str(socket))}"
