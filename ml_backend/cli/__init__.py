"""The command line: `dsal --help` is its manual."""

from ml_backend.cli.app import main

__all__ = ["main"]
