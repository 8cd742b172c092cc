"""Locks between jobs: what one has begun, no other begins; a lock ends with the job that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis
from rq import get_current_job
from rq.utils import as_text

_REPLACE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class Locks:
    """Named locks in Redis.

    Args:
        client: of the Redis server.
        is_executed: whether the job of a name is being executed.
    """

    def __init__(self, client: redis.Redis, is_executed: Callable[[str], bool]) -> None:
        self._redis, self._is_executed = client, is_executed

    @contextmanager
    def exclusive(self, name: str, seconds: int) -> Iterator[bool]:
        """Try to lock `name` for the duration of the block; False if another job has locked it.

        The lock expires after `seconds`, and is free earlier if the job that has it is no longer executed, as
        one that was killed inside the block.
        """
        key, job = _key(name), get_current_job()
        token = "" if job is None else job.id
        free = (
            bool(self._redis.set(key, token, nx=True, ex=seconds))
            or self._holder(key) == token
            or self._inherits(key, token, seconds)
        )
        try:
            yield free
        finally:
            if free and self._holder(key) == token:
                self._redis.delete(key)

    def is_locked(self, name: str) -> bool:
        """Whether a job that is being executed has locked `name`."""
        holder = self._holder(_key(name))
        return holder is not None and self._still_has_it(holder)

    def _inherits(self, key: str, token: str, seconds: int) -> bool:
        """Take a lock from a job that is no longer executed; False if it is, or if another job was faster."""
        holder = self._holder(key)
        if holder is None or self._still_has_it(holder):
            return False
        return bool(self._redis.eval(_REPLACE, 1, key, holder, token, seconds))

    def _holder(self, key: str) -> str | None:
        value = self._redis.get(key)
        return None if value is None else as_text(value)

    def _still_has_it(self, holder: str) -> bool:
        # What has no job, such as a command, is trusted.
        return not holder or self._is_executed(holder)


def _key(name: str) -> str:
    return f"dsal-alone-{name}"
