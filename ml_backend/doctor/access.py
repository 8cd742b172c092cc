"""Label Studio as seen from here: does it answer, which release is it, and what may the token do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.installation import Installation
from ml_backend.label_studio.client import TESTED, release
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.tokens import expiry_of, kind_of

ACCOUNT = "Make a personal access token (Account & Settings, Personal Access Token)"
KINDS = {"personal": "personal access token", "legacy": "legacy token"}


def look_at_address(installation: Installation) -> Iterator[Verdict]:
    """Whether Label Studio answers under LABEL_STUDIO_URL, and whether it is a release we know."""
    url = installation.settings.label_studio_url
    try:
        found = release(url)
    except LabelStudioError as error:
        yield fault(str(error), "Set LABEL_STUDIO_URL to the address of Label Studio as seen from here.")
        return
    if found == TESTED:
        yield ok(f"{url} answers, release {found}.")
    else:
        yield warning(
            f"{url} answers with release {found}; this service was tested with {TESTED}.",
            f"If something behaves oddly, try Label Studio {TESTED}.",
        )


def look_at_token(installation: Installation) -> Iterator[Verdict]:
    """Whether Label Studio takes the token, and if not, why."""
    kind = kind_of(installation.token)
    into = f"{ACCOUNT} and set LABEL_STUDIO_API_KEY to it."
    if kind == "empty":
        yield fault("LABEL_STUDIO_API_KEY is empty.", into)
    elif kind == "access":
        yield fault("LABEL_STUDIO_API_KEY is an access token, which expires within minutes.", into)
    else:
        try:
            owner = installation.label_studio.user()
        except LabelStudioError as error:
            yield _refused(installation, error, into)
        else:
            yield ok(f"The {KINDS[kind]} of {owner.get('email', 'an unknown user')} is accepted.")


def _refused(installation: Installation, error: LabelStudioError, into: str) -> Verdict:
    """Why Label Studio does not take a token."""
    if error.status == 500:
        # Seen with 1.23.2 for every user who is a member of no organisation.
        return fault(
            "Label Studio fails on this token (HTTP 500), as it does if the token's owner was removed.",
            f"{into[:-1]}; if that does not help, look into Label Studio's log.",
        )
    if error.status not in (401, 403):
        return fault(str(error), "Look into Label Studio's log, and try again.")
    if kind_of(installation.token) == "legacy":
        if "legacy token authentication" in error.detail:
            return fault(
                "Label Studio has legacy tokens switched off, and LABEL_STUDIO_API_KEY is one.",
                f"{into[:-1]}, or allow legacy tokens in the organisation's settings.",
            )
        return fault("Label Studio does not know the token in LABEL_STUDIO_API_KEY.", into)
    expires = expiry_of(installation.token)
    if expires is not None and expires <= datetime.now(UTC):
        return fault(f"The personal access token expired on {expires:%Y-%m-%d}.", into)
    return fault(
        "Label Studio does not accept this personal access token: a newer one was made since, or it belongs "
        "to another Label Studio.",
        into,
    )
