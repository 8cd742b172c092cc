"""People who label in Label Studio: users with tokens of their own."""

from __future__ import annotations

import requests

from ml_backend.demo.account import Account
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.errors import LabelStudioError

PASSWORD = "a long password"


def sign_up(server: LabelStudioServer, email: str) -> LabelStudio:
    """Make a user by the invitation link, as a person does; returns what acts with the user's own token."""
    owner = LabelStudio(server.url, server.token)
    page = server.url + owner._dict("GET", "/api/invite")["invite_url"]
    browser = requests.Session()
    browser.get(page, timeout=30)
    form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    browser.post(page, data=form, headers={"Referer": page}, timeout=30)
    return LabelStudio(server.url, Account(server.url, email, PASSWORD).personal_access_token())


def plain_stream(person: LabelStudio, project: int) -> int | None:
    """The task that "Label All Tasks" opens next: the browser sends neither order nor filters."""
    params = {"id": "next_task", "project": project}
    try:
        return int(person._dict("POST", "/api/dm/actions", params=params, json={})["id"])
    except LabelStudioError as error:
        if error.status == 404:
            return None
        raise
