"""What every group of Label Studio calls stands on."""

from __future__ import annotations

from typing import Any

from ml_backend.label_studio.transport import Transport


class Resource:
    """A group of calls that share one transport."""

    def __init__(self, transport: Transport) -> None:
        self._http = transport

    def _dict(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.call(method, path, **options)
        return answer

    def _list(self, method: str, path: str, **options: Any) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._http.call(method, path, **options)
        return answer
