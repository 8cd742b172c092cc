"""Checks of the way from here to Label Studio: its address, its release and the token."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import Installation
from ml_backend.label_studio.client import TESTED, release
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.http_client import proxy_in_use
from ml_backend.label_studio.tokens import expiry_of, kind_of

NEW_TOKEN = (
    "Make a personal access token (Account & Settings, Personal Access Token) "
    "and set LABEL_STUDIO_API_KEY to it"
)
KINDS = {"personal": "personal access token", "legacy": "legacy token"}


def check_address(installation: Installation) -> Iterator[Verdict]:
    """Whether Label Studio answers at LABEL_STUDIO_URL, and whether its release is the tested one."""
    url = installation.settings.label_studio_url
    try:
        found = release(url)
    except LabelStudioError as error:
        proxy = proxy_in_use(url)
        if proxy is None:
            cure = "Set LABEL_STUDIO_URL to the address at which this machine reaches Label Studio."
        else:
            host = urlsplit(url).hostname
            cure = f"The proxy {proxy} is in between: if it should not be, set NO_PROXY={host}."
        yield fault(str(error), cure)
        return
    if found == TESTED:
        yield ok(f"{url} answers with release {found}.")
    else:
        yield warning(
            f"{url} answers with release {found}; this service was tested with {TESTED}.",
            f"If something does not work, try Label Studio {TESTED}.",
        )


def check_token(installation: Installation) -> Iterator[Verdict]:
    """Whether Label Studio accepts the token, and if not, why."""
    kind = kind_of(installation.token)
    cure = f"{NEW_TOKEN}."
    if kind == "empty":
        yield fault("LABEL_STUDIO_API_KEY is empty.", cure)
    elif kind == "access":
        yield fault("LABEL_STUDIO_API_KEY is an access token, which expires within minutes.", cure)
    else:
        try:
            owner = installation.label_studio.user()
        except LabelStudioError as error:
            yield _refused(installation, error)
        else:
            yield ok(f"The {KINDS[kind]} of {owner.get('email', 'an unknown user')} is accepted.")


def _refused(installation: Installation, error: LabelStudioError) -> Verdict:
    """Why Label Studio does not accept the token."""
    if error.status == 500:
        # Label Studio 1.23.2 answers this to every user who is not a member of an organisation.
        return fault(
            "Label Studio answers this token with HTTP 500, as it does if the token's owner was removed.",
            f"{NEW_TOKEN}; if that does not help, check Label Studio's log.",
        )
    if error.status not in (401, 403):
        return fault(str(error), "Check Label Studio's log, and try again.")
    if kind_of(installation.token) == "legacy":
        if "legacy token authentication" in error.detail:
            return fault(
                "Label Studio has legacy tokens switched off, and LABEL_STUDIO_API_KEY is one.",
                f"{NEW_TOKEN}, or allow legacy tokens in the organisation's settings.",
            )
        return fault("Label Studio does not know the token in LABEL_STUDIO_API_KEY.", f"{NEW_TOKEN}.")
    expires = expiry_of(installation.token)
    if expires is not None and expires <= datetime.now(UTC):
        return fault(f"The personal access token expired on {expires:%Y-%m-%d}.", f"{NEW_TOKEN}.")
    return fault(
        "Label Studio does not accept this personal access token: a newer one was made since, or it belongs "
        "to another Label Studio.",
        f"{NEW_TOKEN}.",
    )
