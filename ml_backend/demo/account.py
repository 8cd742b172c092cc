"""Signs in to Label Studio with a password, as a browser does, to make a personal access token."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

SECONDS = 30.0


class AccountError(Exception):
    """Signing in or making a token failed; the message says why."""


class Account:
    """A signed-in user of the Label Studio at `url`; raises AccountError if the login fails."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.hooks["response"].append(_stay)
        page = f"{url}/user/login/"
        self._call("GET", page)
        form = {"email": email, "password": password, "csrfmiddlewaretoken": self._csrf()}
        self._call("POST", page, data=form)
        # A refused login also answers 200, with the form again.
        answer = self._session.get(f"{url}/api/current-user/whoami", timeout=SECONDS)
        if answer.status_code != 200:
            raise AccountError(f"Label Studio at {url} refuses the password of {email}.")

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies of the session, by name: a browser that has them is signed in as well."""
        return dict(self._session.cookies)

    def personal_access_token(self) -> str:
        """Make and return a personal access token; an older one is revoked, as a user may have only one."""
        address = f"{self._url}/api/token/"
        for token in self._call("GET", address).json():
            self._call("POST", f"{self._url}/api/token/blacklist/", json={"refresh": token["token"]})
        return str(self._call("POST", address).json()["token"])

    def _csrf(self) -> str:
        return self._session.cookies.get("csrftoken") or ""

    def _call(self, method: str, address: str, **options: Any) -> requests.Response:
        headers = {"X-CSRFToken": self._csrf(), "Referer": address}
        try:
            response = self._session.request(method, address, headers=headers, timeout=SECONDS, **options)
        except requests.RequestException as error:
            raise AccountError(f"{address} does not answer: {error}.") from error
        if response.status_code >= 400:
            raise AccountError(f"{address} answers HTTP {response.status_code}: {response.text[:200]}")
        return response


def _stay(response: requests.Response, **_options: Any) -> None:
    """Refuse a redirect to another scheme, host or port, which would be sent the password or the cookies."""
    if not response.is_redirect:
        return
    target = urlsplit(urljoin(response.url, response.headers["Location"]))
    asked = urlsplit(response.url)
    if (target.scheme, target.netloc) != (asked.scheme, asked.netloc):
        raise AccountError(
            f"{asked.netloc} redirects to {target.scheme}://{target.hostname}: use that address."
        )
