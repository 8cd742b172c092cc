"""Logging of the service's processes: one line per record on standard error."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"
OURS = ("ml_backend", "model")


def configure_logs(level: str) -> None:
    """Log this service's records from `level` (LOG_LEVEL) upwards, and other libraries' from WARNING upwards.

    Lower levels of other libraries contain addresses and request bodies, which must not be logged.
    """
    logging.basicConfig(format=FORMAT, level=logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
