"""The log of the service's processes: one line a record, on standard error, from LOG_LEVEL upwards."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"
OURS = ("ml_backend", "model")


def configure_logs(level: str) -> None:
    """Write our own records from `level` upwards, and other libraries' from WARNING upwards.

    Other libraries' lower levels hold addresses and bodies, which belong in no log.
    """
    logging.basicConfig(format=FORMAT, level=logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
