"""Whether an address is Label Studio's, and which release it is: needs no token."""

from __future__ import annotations

import requests

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.transport import CONNECT_SECONDS, check_address, unreachable

TESTED = "1.23.2"
"""The release of Label Studio that this service is developed and tested with."""


def release(url: str, *, timeout: float = 10.0) -> str:
    """Return the release of the Label Studio at `url`, e.g. "1.23.2".

    Raises LabelStudioError when nothing answers there, or something that is not Label Studio.
    """
    check_address(url)
    address = f"{url.rstrip('/')}/api/version"
    try:
        response = requests.get(address, timeout=(CONNECT_SECONDS, timeout))
        found = response.json() if response.ok else None
    except requests.JSONDecodeError:
        found = None
    except requests.RequestException as error:
        raise LabelStudioError(unreachable(address, timeout, error)) from error
    named = found.get("release") if isinstance(found, dict) else None
    if not named:
        raise LabelStudioError(
            f"What answers at {url} is not Label Studio: is a subpath or another port missing?",
            response.status_code,
        )
    return str(named)
