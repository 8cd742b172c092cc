"""The examination of a set-up: what keeps it from working, one finding a thing, each with its cure."""

from ml_backend.doctor.checks import examine, is_healthy
from ml_backend.doctor.finding import Finding, State
from ml_backend.doctor.installation import Patient

__all__ = ["Finding", "Patient", "State", "examine", "is_healthy"]
