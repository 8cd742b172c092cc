"""The periodic comparison with Label Studio, as a job."""

from __future__ import annotations

import logging

from ml_backend.queue.context import job, open_context
from ml_backend.reconcile import BusyError, reconcile

logger = logging.getLogger(__name__)


@job
def run_reconcile() -> None:
    """Compare all projects with Label Studio and mend what differs; each finding is a line of the log."""
    with open_context() as context:
        try:
            for finding in reconcile(context):
                logger.warning("%s", finding)
        except BusyError as busy:
            logger.info("%s", busy)
