"""What is checked: an installation of the service, and each project connected to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.settings import Settings
from ml_backend.store.database import Database

MOST_HTTP_SECONDS = 15.0
"""Upper limit of HTTP_TIMEOUT during a check."""


@dataclass
class Installation:
    """An installation as seen from one machine; checks set `database` and `redis` when they have opened them.

    Attributes:
        settings: the settings, with the default for each invalid one.
        wrong_settings: a sentence for each invalid setting.
        former_names: a sentence for each setting that is given under its former name.
        backend_url: this service's address as Label Studio reaches it; None if it was not given.
        chosen: the only project to check; None for all active projects in the database.
        database: the database once it is open; nothing is created or migrated in it.
        redis: a client of Redis, once it has answered.
    """

    settings: Settings
    wrong_settings: tuple[str, ...] = ()
    backend_url: str | None = None
    chosen: int | None = None
    database: Database | None = None
    redis: redis.Redis | None = None
    former_names: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """The token for Label Studio."""
        return self.settings.label_studio_api_key.get_secret_value()

    @cached_property
    def label_studio(self) -> LabelStudio:
        """A client with a shorter timeout than jobs have; raises LabelStudioError if there is no token."""
        seconds = min(self.settings.http_timeout, MOST_HTTP_SECONDS)
        return LabelStudio(self.settings.label_studio_url, self.token, timeout=seconds)

    @property
    def own_url(self) -> str:
        """This service's address if Label Studio does not list it: the one given, or localhost."""
        return (self.backend_url or f"http://localhost:{self.settings.port}").rstrip("/")

    def close(self) -> None:
        """Close the database and Redis, if they are open."""
        if self.database is not None:
            self.database.close()
        if self.redis is not None:
            self.redis.close()


@dataclass
class ConnectedProject:
    """One project of an installation; the checks set the last three attributes.

    Attributes:
        installation: the installation it belongs to.
        number: Label Studio's id of it.
        fields: the project as Label Studio returns it; empty until it has been read.
        backend: this service as Label Studio lists it; empty until it has been found.
        arrived: whether the call that Label Studio was made to send arrived here; None if that is unknown.
    """

    installation: Installation
    number: int
    fields: dict[str, Any] = field(default_factory=dict)
    backend: dict[str, Any] = field(default_factory=dict)
    arrived: bool | None = None

    @property
    def client(self) -> LabelStudio:
        """The client of Label Studio."""
        return self.installation.label_studio

    @property
    def url(self) -> str:
        """This service's address as Label Studio lists it; until that is known, `own_url`."""
        return str(self.backend.get("url") or self.installation.own_url).rstrip("/")

    @cached_property
    def backend_refusal(self) -> LabelStudioError | None:
        """The error with which Label Studio refuses this service's address; cached for the first `url`."""
        return self.client.ml_backend_refusal(self.number, self.url)

    @cached_property
    def webhook_refusal(self) -> LabelStudioError | None:
        """The error with which Label Studio refuses a webhook to this service; cached for the first `url`."""
        return self.client.webhook_refusal(self.number, f"{self.url}/webhook")

    @property
    def connect(self) -> str:
        """The command that connects the project."""
        return f"dsal connect --project {self.number} --backend {self.url}"
