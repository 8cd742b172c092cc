"""Projects, their ML backends and their webhooks."""

from __future__ import annotations

from typing import Any

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.resource import Resource

CONNECT_SECONDS = 60.0
"""Label Studio answers these calls only after it has called the backend's /health and /setup itself."""


class Projects(Resource):
    """Calls about a project as a whole. All raise LabelStudioError."""

    def project(self, project: int) -> dict[str, Any]:
        """Return the project's fields, `label_config` and `model_version` among them."""
        return self._dict("GET", f"/api/projects/{project}/")

    def projects(self, title: str | None = None) -> list[dict[str, Any]]:
        """Return all projects that the token's owner sees, or those with exactly this title."""
        found: list[dict[str, Any]] = []
        page: int | None = 1
        while page is not None:
            params = {"page": page, "page_size": 100, "include": "id,title"}
            answer = self._dict("GET", "/api/projects/", params=params)
            found += answer["results"]
            page = page + 1 if answer.get("next") else None
        return [each for each in found if title is None or each["title"] == title]

    def create_project(self, title: str, label_config: str = "", **fields: Any) -> dict[str, Any]:
        """Create a project; `fields` are further fields of Label Studio's project."""
        body = {"title": title, **({"label_config": label_config} if label_config else {}), **fields}
        return self._dict("POST", "/api/projects/", json=body)

    def patch_project(self, project: int, **fields: Any) -> dict[str, Any]:
        """Change fields of a project.

        `model_version` may be "", a version that some prediction of the project carries, or the title of its
        ML backend; for anything else Label Studio answers 400.
        """
        return self._dict("PATCH", f"/api/projects/{project}/", json=fields)

    def delete_project(self, project: int) -> None:
        """Delete a project with all its tasks, annotations and predictions."""
        self._http.call("DELETE", f"/api/projects/{project}/", timeout=CONNECT_SECONDS)

    def ml_backends(self, project: int) -> list[dict[str, Any]]:
        """Return the project's ML backends; Label Studio calls each one's /health and /setup to answer."""
        return self._list("GET", "/api/ml/", params={"project": project}, timeout=CONNECT_SECONDS)

    def create_ml_backend(self, project: int, url: str, title: str, **fields: Any) -> dict[str, Any]:
        """Connect an ML backend; Label Studio calls it before it answers, and makes a webhook for it."""
        body = {"project": project, "url": url, "title": title, **fields}
        return self._dict("POST", "/api/ml/", json=body, timeout=CONNECT_SECONDS)

    def patch_ml_backend(self, backend: int, project: int, url: str, **fields: Any) -> dict[str, Any]:
        """Change an ML backend; Label Studio wants its project and address every time."""
        body = {"project": project, "url": url, **fields}
        return self._dict("PATCH", f"/api/ml/{backend}", json=body, timeout=CONNECT_SECONDS)

    def delete_ml_backend(self, backend: int) -> None:
        """Disconnect an ML backend; its webhook stays."""
        self._http.call("DELETE", f"/api/ml/{backend}", timeout=CONNECT_SECONDS)

    def ml_backend_refusal(self, project: int, url: str) -> LabelStudioError | None:
        """Return what Label Studio has against calling an ML backend at `url`, None if nothing.

        It neither calls nor makes one: it is asked with a body that it must refuse after it has looked at the
        address. Status 403 is its protection of private addresses, 500 a host name that it cannot resolve.
        """
        body = {"project": project, "url": url, "timeout": "not a number"}
        error = self._refusal("/api/ml/", body)
        return None if error is None or "'timeout'" in error.detail else error

    def webhook_refusal(self, project: int, url: str) -> LabelStudioError | None:
        """Return what Label Studio has against a webhook to `url`, None if nothing; none is made.

        Status 400 is an address in whose host it misses a dot, 403 its protection of private addresses.
        """
        error = self._refusal(
            "/api/webhooks/", {"project": project, "url": url, "actions": ["NO_SUCH_EVENT"]}
        )
        return None if error is None or (error.status == 400 and "'url'" not in error.detail) else error

    def _refusal(self, path: str, body: dict[str, Any]) -> LabelStudioError | None:
        try:
            self._http.call("POST", path, json=body)
        except LabelStudioError as error:
            return error
        return None

    def start_training(self, backend: int) -> None:
        """Press "Start training": Label Studio posts START_TRAINING to the backend's /webhook."""
        self._http.call("POST", f"/api/ml/{backend}/train", json={}, timeout=CONNECT_SECONDS)

    def webhooks(self, project: int) -> list[dict[str, Any]]:
        """Return the project's webhooks."""
        return self._list("GET", "/api/webhooks/", params={"project": project})

    def create_webhook(self, project: int, url: str, **fields: Any) -> dict[str, Any]:
        """Create a webhook of the project."""
        return self._dict("POST", "/api/webhooks/", json={"project": project, "url": url, **fields})

    def patch_webhook(self, webhook: int, url: str, actions: list[str], **fields: Any) -> dict[str, Any]:
        """Change a webhook; `actions` is required, as Label Studio empties the list when it is left out."""
        body = {"url": url, "actions": actions, **fields}
        return self._dict("PATCH", f"/api/webhooks/{webhook}/", json=body)

    def delete_webhook(self, webhook: int) -> None:
        """Delete a webhook."""
        self._http.call("DELETE", f"/api/webhooks/{webhook}/")
