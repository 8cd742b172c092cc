"""How an error becomes one sentence and an exit status."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError
from typer import Abort
from typer.exceptions import TyperException


class WrongUseError(ValueError):
    """One sentence that says which options to give; ends the command with status 2."""


FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def explain(error: BaseException) -> tuple[str, int] | None:
    """The sentence to print (none if empty) and the exit status; None for what must be a bug."""
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
            return f"Redis cannot be used; is REDIS_URL right? It says: {_line(error)}.", FAILED
        case OperationalError():
            said = _line(error.orig)
            return f"The database cannot be used; is DATABASE_URL right? It says: {said}.", FAILED
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}.", FAILED
    if type(error).__module__.startswith(("model.", "ml_backend.")):
        return str(error), FAILED
    return None


def _usage(error: TyperException) -> str:
    """What is wrong with the options, and where their manual is; nothing if that has just been printed."""
    context = getattr(error, "ctx", None)
    manual = "dsal" if context is None else context.command_path
    said = _line(error.format_message())
    return f"{said}; see {manual} --help." if said else ""


def _line(said: object) -> str:
    """Anything printed as one line without a full stop."""
    return " ".join(str(said).split()).rstrip(".")


def setting_fault(fault: Any) -> str:
    """One wrong setting: the name of its variable, what is wrong, and what it is now."""
    said = fault["msg"].removeprefix("Value error, ").rstrip(".")
    if not fault["loc"]:
        return str(said)
    said = said.removeprefix("Input should be ").partition(", unable to")[0]
    return f"{str(fault['loc'][0]).upper()} must be {said}, and it is {fault['input']!r}"
