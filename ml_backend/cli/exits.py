"""Maps errors to a sentence for the user and an exit status."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from typer import Abort
from typer.exceptions import TyperException


class WrongUseError(ValueError):
    """Invalid options; the message says which to give. Ends the command with status 2."""


FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def explain(error: BaseException) -> tuple[str, int] | None:
    """The sentence to print (nothing if empty) and the exit status; None for an error that must be a bug."""
    match error:
        case KeyboardInterrupt() | Abort():
            return "", INTERRUPTED
        case TyperException():
            return _usage(error), error.exit_code
        case WrongUseError():
            return str(error), WRONG_USE
        case ValidationError(title="Settings"):
            return "; ".join(setting_fault(fault) for fault in error.errors()) + ".", WRONG_USE
        case RedisError():
            return f"Redis cannot be used; check REDIS_URL. The error is: {_line(error)}.", FAILED
        case OperationalError():
            reason = _line(error.orig)
            return f"The database cannot be used; check DATABASE_URL. The error is: {reason}.", FAILED
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}.", FAILED
    if type(error).__module__.startswith(("model.", "ml_backend.")):
        return str(error), FAILED
    return None


def _usage(error: TyperException) -> str:
    """What is wrong with the options and which --help to read; empty if the help was just printed."""
    context = getattr(error, "ctx", None)
    command = "dsal" if context is None else context.command_path
    message = _line(error.format_message())
    return f"{message}; see {command} --help." if message else ""


def _line(message: object) -> str:
    """A message as one line without its full stop."""
    return " ".join(str(message).split()).rstrip(".")


def setting_fault(fault: Any) -> str:
    """An invalid setting, from one of pydantic's errors: its variable, what it must be, and its value."""
    message = fault["msg"].removeprefix("Value error, ").rstrip(".")
    if not fault["loc"]:
        return str(message)
    wanted = message.removeprefix("Input should be ").partition(", unable to")[0]
    return f"{str(fault['loc'][0]).upper()} must be {wanted}, not {fault['input']!r}"
