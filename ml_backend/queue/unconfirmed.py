"""Projects of which somebody without a password spoke, until Label Studio has confirmed that they exist."""

from __future__ import annotations

import redis

MOST_UNCONFIRMED = 100
"""Projects that may wait to be confirmed; what is said of others is ignored until there is room."""
CONFIRMED_AT_ONCE = 20
UNKNOWN_SECONDS = 60
"""How long Label Studio is not asked again for a project that it does not show."""
KEPT_SECONDS = 7 * 24 * 3600
_WAITING, _UNKNOWN = "dsal-unconfirmed", "dsal-unknown"


class UnconfirmedProjects:
    """The projects that wait to be confirmed, in the Redis of `client`."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, project_id: int) -> bool:
        """Add a project; False if it was asked for a short while ago and is unknown, or if too many wait."""
        if self._redis.exists(_unknown(project_id)) or len(self) >= MOST_UNCONFIRMED:
            return False
        self._redis.sadd(_WAITING, project_id)
        self._redis.expire(_WAITING, KEPT_SECONDS)
        return True

    def take(self) -> list[int]:
        """Remove a few projects and return them, sorted; none is given twice."""
        return sorted(int(one) for one in self._redis.spop(_WAITING, CONFIRMED_AT_ONCE) or [])

    def remember_unknown(self, project_id: int) -> None:
        """Do not ask for a project again for a while."""
        self._redis.set(_unknown(project_id), 1, ex=UNKNOWN_SECONDS)

    def __len__(self) -> int:
        return int(self._redis.scard(_WAITING))


def _unknown(project_id: int) -> str:
    return f"{_UNKNOWN}-{project_id}"
