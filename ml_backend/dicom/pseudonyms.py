"""Pseudonyms of images: what a task says of its DICOM file, and nothing that leads to the patient without it.

A pseudonym is a keyed hash of the SOP Instance UID, under a secret of this installation. Without the secret
nobody can test which image a pseudonym belongs to, although UIDs are not secret; with the secret and the
folder of files it can be found again. So no table of images is kept anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_backend.settings import Settings

FIELD = "dicom"
"""Key of the task data that contains the pseudonym."""
SECRET_FILE = "dicom-secret"
SECRET_BYTES = 32
DIGITS = 32
"""Hexadecimal digits of a pseudonym, so 128 bits."""

_ALONE = re.compile(f"[0-9a-f]{{{DIGITS}}}")
_IN_NAME = re.compile(rf"(?:^|[-/])([0-9a-f]{{{DIGITS}}})\.png(?:$|[?#])")


class SecretError(RuntimeError):
    """The installation's secret cannot be used; the message is one sentence."""


def read_secret(settings: Settings, *, create: bool = False) -> bytes:
    """DICOM_SECRET, or else the secret in MODEL_DIR, which is made at the first import.

    Raises:
        SecretError: there is none and none is to be made, or the file is damaged.
        OSError: the file cannot be read or written.
    """
    given = settings.dicom_secret.get_secret_value()
    if given:
        return given.encode()
    path = settings.model_dir / SECRET_FILE
    if create and not path.exists():
        _write(path, secrets.token_hex(SECRET_BYTES))
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise SecretError(
            f"{path} does not exist, so tasks cannot be matched to DICOM files: use the MODEL_DIR or the "
            "DICOM_SECRET under which they were imported."
        ) from error
    except UnicodeDecodeError:
        text = ""
    if not re.fullmatch(f"[0-9a-f]{{{2 * SECRET_BYTES}}}", text):
        raise SecretError(f"{path} is damaged; restore it from a backup, as tasks depend on it.")
    return text.encode()


def _write(path: Path, text: str) -> None:
    """Make the file, readable by its owner only, unless another process makes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def pseudonym(uid: str, secret: bytes) -> str:
    """The pseudonym of an image: `DIGITS` hexadecimal digits, the same for the same UID and secret."""
    return hmac.new(secret, uid.encode(), hashlib.sha256).hexdigest()[:DIGITS]


def image_name(name: str) -> str:
    """The name of the uploaded file."""
    return f"{name}.png"


def pseudonym_of(data: Mapping[str, Any]) -> str | None:
    """The pseudonym in a task's data, or in the name of its image; None for a task that is not from DICOM."""
    named = data.get(FIELD)
    if isinstance(named, str) and _ALONE.fullmatch(named):
        return named
    for value in data.values():
        if isinstance(value, str) and (found := _IN_NAME.search(value)):
            return found[1]
    return None
