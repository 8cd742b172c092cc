"""Wall clocks that may be wrong: they differ between machines, and are set forward or back by hours.

A process measures its own waiting by `time.monotonic`, which nobody sets. Moments that outlive a process are
wall-clock times, and whoever compares them later must expect that the clock was set in between.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ml_backend.store.base import UtcDateTime, now

TOLERANCE = timedelta(seconds=60)
"""Clocks of machines may differ by so much; a moment further ahead was noted before a clock was set back."""


def seconds_since(moment: datetime) -> float:
    """Seconds since a moment; infinite if the clock was set back since, as nobody knows then."""
    passed = now() - moment
    return math.inf if passed < -TOLERANCE else max(0.0, passed.total_seconds())


def seconds_until(moment: datetime, longest: timedelta) -> float:
    """Seconds until a moment that was at most `longest` ahead when it was chosen, and is not further now."""
    return min(max(0.0, (moment - now()).total_seconds()), longest.total_seconds())


def clock(session: Session) -> datetime:
    """The time by the clock that all processes of the database share.

    That is the server's; the processes that use SQLite are on one machine.
    """
    if session.get_bind().dialect.name != "postgresql":
        return now()
    return session.scalars(select(func.clock_timestamp(type_=UtcDateTime()))).one()
