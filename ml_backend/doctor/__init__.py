"""The check of a set-up: what keeps it from working, one finding a thing, each with its cure."""

from ml_backend.doctor.checks import check_installation, is_healthy
from ml_backend.doctor.finding import Finding, State
from ml_backend.doctor.installation import Installation

__all__ = ["Finding", "Installation", "State", "check_installation", "is_healthy"]
