"""Projects, their ML backends and their webhooks."""

from __future__ import annotations

from typing import Any

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.sdk import Resource, plain, plain_list, within

CONNECTING = within(60.0)
"""Time-out for calls that Label Studio answers only after calling the backend's /health and /setup."""


class Projects(Resource):
    """Calls about a project as a whole. All raise LabelStudioError."""

    def project(self, project: int) -> dict[str, Any]:
        """Return the project's fields, including `label_config` and `model_version`."""
        return plain(self._sdk.projects.with_raw_response.get(project))

    def projects(self, title: str | None = None) -> list[dict[str, Any]]:
        """Return all projects that the token's owner sees, or those with exactly this title."""
        found: list[dict[str, Any]] = []
        page: int | None = 1
        while page is not None:
            # The SDK's own pagination ends by requesting a page that does not exist.
            answer = self._sdk.projects.list(page=page, page_size=100, include="id,title").response
            found += [{"id": each.id, "title": each.title} for each in answer.results]
            page = page + 1 if answer.next else None
        return [each for each in found if title is None or each["title"] == title]

    def create_project(self, title: str, label_config: str = "", **fields: Any) -> dict[str, Any]:
        """Create a project; `fields` are other fields of a Label Studio project."""
        if label_config:
            fields["label_config"] = label_config
        return plain(self._sdk.projects.with_raw_response.create(title=title, **fields))

    def patch_project(self, project: int, **fields: Any) -> dict[str, Any]:
        """Change fields of a project.

        `model_version` may be "", the version of some prediction in the project, or the title of its ML
        backend; for anything else Label Studio answers 400.
        """
        return plain(self._sdk.projects.with_raw_response.update(project, **fields))

    def delete_project(self, project: int) -> None:
        """Delete a project with all its tasks, annotations and predictions."""
        self._sdk.projects.delete(project, request_options=CONNECTING)

    def ml_backends(self, project: int) -> list[dict[str, Any]]:
        """Return the project's ML backends; Label Studio calls /health and /setup of each first."""
        return plain_list(self._sdk.ml.with_raw_response.list(project=project, request_options=CONNECTING))

    def create_ml_backend(self, project: int, url: str, title: str, **fields: Any) -> dict[str, Any]:
        """Connect an ML backend; Label Studio calls it before answering, and creates a webhook for it."""
        return plain(
            self._sdk.ml.with_raw_response.create(
                project=project, url=url, title=title, request_options=CONNECTING, **fields
            )
        )

    def patch_ml_backend(self, backend: int, project: int, url: str, **fields: Any) -> dict[str, Any]:
        """Change an ML backend; Label Studio requires its project and address every time."""
        return plain(
            self._sdk.ml.with_raw_response.update(
                backend, project=project, url=url, request_options=CONNECTING, **fields
            )
        )

    def delete_ml_backend(self, backend: int) -> None:
        """Disconnect an ML backend; its webhook stays."""
        self._sdk.ml.delete(backend, request_options=CONNECTING)

    def ml_backend_refusal(self, project: int, url: str) -> LabelStudioError | None:
        """Return why Label Studio would refuse an ML backend at `url`, None if it would not.

        No backend is called or created: the request has a body that Label Studio refuses after it has checked
        the address. Status 403 means that it blocks private addresses, 500 that it cannot resolve the host.
        """
        wrong: Any = "not a number"
        try:
            self._sdk.ml.create(project=project, url=url, timeout=wrong)
        except LabelStudioError as error:
            return None if "'timeout'" in error.detail else error
        return None

    def webhook_refusal(self, project: int, url: str) -> LabelStudioError | None:
        """Return why Label Studio would refuse a webhook to `url`, None if it would not; none is created.

        Status 400 means that the host name has no dot, 403 that Label Studio blocks private addresses.
        """
        wrong: Any = ["NO_SUCH_EVENT"]
        try:
            self._sdk.webhooks.create(project=project, url=url, actions=wrong)
        except LabelStudioError as error:
            return None if error.status == 400 and "'url'" not in error.detail else error
        return None

    def start_training(self, backend: int) -> None:
        """Do what "Start training" does: Label Studio posts START_TRAINING to the backend's /webhook."""
        self._sdk.ml.train(backend, request_options=CONNECTING)

    def webhooks(self, project: int) -> list[dict[str, Any]]:
        """Return the project's webhooks."""
        return plain_list(self._sdk.webhooks.with_raw_response.list(project=str(project)))

    def create_webhook(self, project: int, url: str, **fields: Any) -> dict[str, Any]:
        """Create a webhook of the project."""
        return plain(self._sdk.webhooks.with_raw_response.create(project=project, url=url, **fields))

    def patch_webhook(self, webhook: int, url: str, actions: list[str], **fields: Any) -> dict[str, Any]:
        """Change a webhook; `actions` is required because Label Studio clears the list if it is left out."""
        named: Any = actions
        return plain(self._sdk.webhooks.with_raw_response.update(webhook, url=url, actions=named, **fields))

    def delete_webhook(self, webhook: int) -> None:
        """Delete a webhook."""
        self._sdk.webhooks.delete(webhook)
