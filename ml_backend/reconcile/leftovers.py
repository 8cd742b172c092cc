"""Files that killed processes left behind: deleted once they are too old to be in use."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import runs
from ml_backend.store.weights import remove_if_older

OLD_SECONDS = 24 * 3600.0
"""Nothing that is being written stays unchanged for so long."""


def repair(context: Context) -> Iterator[Discrepancy]:
    """Delete unfinished files of the store and the cache, and checkpoints of trainings that have ended.

    The checkpoints of a running training stay however old they are: it may be waiting for its next turn.
    """
    folder = context.settings.checkpoint_dir
    with context.database.read() as session:
        kept = {f"run-{number}" for number in runs.running_now(session)}
    found = [path for path in folder.glob("run-*") if path.name not in kept]
    found += context.settings.model_dir.glob(".initial-*")
    deleted = sum(remove_if_older(path, OLD_SECONDS) for path in found)
    deleted += context.weights.sweep(OLD_SECONDS)
    if deleted:
        what = "1 file or folder" if deleted == 1 else f"{deleted} files or folders"
        yield Discrepancy(None, f"{what} of interrupted processes had been left: deleted.")
