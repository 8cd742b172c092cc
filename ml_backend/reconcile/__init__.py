"""Notices where Label Studio, the database, the store and the queue have drifted apart, and mends it."""

from ml_backend.reconcile.comparison import BusyError, Finding, reconcile

__all__ = ["BusyError", "Finding", "reconcile"]
