"""`dsal doctor`: checks an installation and reports findings, each fault with its cure."""

from ml_backend.doctor.checks import check_installation, is_healthy
from ml_backend.doctor.finding import Finding, State
from ml_backend.doctor.installation import Installation

__all__ = ["Finding", "Installation", "State", "check_installation", "is_healthy"]
