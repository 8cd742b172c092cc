"""Logging of the service's processes: one line per record on standard error.

Names, titles and task data of other people come into records. None of them can begin a line that looks like
a record, or send a terminal its commands: what is no printable character is written as its escape, and the
lines of a trace or of a library's message are indented.
"""

from __future__ import annotations

import json
import logging
from typing import Any

FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"
OURS = ("ml_backend", "model")


class OneLine(logging.Formatter):
    """Writes records so that no text in them looks like another record, or has control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The message with its prefix: in one line, except that RQ puts whole traces into its messages."""
        text = super().formatMessage(record)
        if record.name.split(".")[0] in OURS:
            return printable(text)
        return "\n  ".join(printable(line) for line in text.split("\n"))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record; a trace that another formatter has noted on it is not taken over."""
        record.exc_text = None
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The trace of a record."""
        return "\n".join(f"  {printable(line)}" for line in super().formatException(ei).split("\n"))


def printable(text: str) -> str:
    """A text with each character that is not printable written as JSON escapes it, such as `\\n`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return r"\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def configure_logs(level: str) -> None:
    """Log this service's records from `level` (LOG_LEVEL) upwards, and other libraries' from WARNING upwards.

    Lower levels of other libraries contain addresses and request bodies, which must not be logged.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
