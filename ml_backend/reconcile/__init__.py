"""Reconciling: finds where Label Studio, the database, the store and the queue differ, and repairs it."""

from ml_backend.reconcile.comparison import BusyError, Discrepancy, reconcile

__all__ = ["BusyError", "Discrepancy", "reconcile"]
