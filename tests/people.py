"""Further users of the running Label Studio, each with a token of their own."""

from __future__ import annotations

import secrets

import requests

from ml_backend.label_studio.account import SECONDS, Account
from ml_backend.label_studio.client import LabelStudio


def invite(owner: LabelStudio, name: str) -> LabelStudio:
    """Sign a person up by the organisation's invitation link; returns Label Studio as that person's client.

    In the community edition every user of the organisation sees all of its projects.
    """
    link = requests.get(
        f"{owner.url}/api/invite", headers={"Authorization": owner.authorization()}, timeout=SECONDS
    ).json()["invite_url"]
    email, password = f"{name}-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
    page = f"{owner.url}{link}"
    with requests.Session() as session:
        session.get(page, timeout=SECONDS).raise_for_status()
        form = {
            "email": email,
            "password": password,
            "csrfmiddlewaretoken": session.cookies["csrftoken"],
        }
        session.post(page, data=form, headers={"Referer": page}, timeout=SECONDS).raise_for_status()
    return LabelStudio(owner.url, Account(owner.url, email, password).personal_access_token())
