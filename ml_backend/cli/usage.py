"""Options that are each right and wrong together."""

from __future__ import annotations


class WrongUseError(ValueError):
    """One sentence that says which options to give; ends the command with status 2."""
