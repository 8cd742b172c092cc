"""What is examined: a set-up of the service, and each project that is connected to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import redis

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.settings import Settings
from ml_backend.store.database import Database

PATIENCE_SECONDS = 15.0


@dataclass
class Installation:
    """A set-up as seen from one machine; the checks add what they had to open.

    Attributes:
        settings: the settings, wrong ones replaced by their defaults.
        wrong_settings: a sentence for each wrong setting.
        former_names: a sentence for each setting that is given under its former name.
        backend_url: this service's address as Label Studio reaches it; None where it was not given.
        chosen: the only project to look at, None for all that the database knows.
        database: the database, once it was opened; nothing is made or migrated in it.
        redis: a client of Redis, once that answered.
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
        """A client, which an check gives less time than a job; raises LabelStudioError for no token."""
        seconds = min(self.settings.http_timeout, PATIENCE_SECONDS)
        return LabelStudio(self.settings.label_studio_url, self.token, timeout=seconds)

    @property
    def own_url(self) -> str:
        """This service's address, as far as it is known without Label Studio."""
        return (self.backend_url or f"http://localhost:{self.settings.port}").rstrip("/")

    def close(self) -> None:
        """Close what was opened."""
        if self.database is not None:
            self.database.close()
        if self.redis is not None:
            self.redis.close()


@dataclass
class ConnectedProject:
    """One project of a installation.

    Attributes:
        installation: the set-up it belongs to.
        number: Label Studio's id of it.
        fields: the project as Label Studio describes it, once it was read.
        backend: this service as Label Studio lists it there, once it was found.
        arrived: whether Label Studio's last call about it came here; None where nobody can know.
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
        """This service's address as Label Studio has it, or should have it."""
        return str(self.backend.get("url") or self.installation.own_url).rstrip("/")

    @cached_property
    def backend_refusal(self) -> LabelStudioError | None:
        """What Label Studio has against calling this service's address; ask once its address is settled."""
        return self.client.ml_backend_refusal(self.number, self.url)

    @cached_property
    def webhook_refusal(self) -> LabelStudioError | None:
        """What Label Studio has against a webhook to this service."""
        return self.client.webhook_refusal(self.number, f"{self.url}/webhook")

    @property
    def connect(self) -> str:
        """The command that connects the project."""
        return f"dsal connect --project {self.number} --backend {self.url}"
