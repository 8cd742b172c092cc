"""A project in the Label Studio of an installation, and the annotator who knows its true masks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import requests
from numpy.typing import NDArray

from ml_backend.demo.account import Account
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import label_map, results
from model.research.phantom import Phantom, draw_phantom
from tests.compose.installation import Installation

TITLE = "Finger bones"
IMAGES = 24
AGES = (2, 5, 8, 11, 14, 17)


class Board:
    """What a person does in Label Studio, and what they and the page of dsal see."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        variables = installation.variables
        person = Account(
            installation.label_studio_url,
            variables["LABEL_STUDIO_USERNAME"],
            variables["LABEL_STUDIO_PASSWORD"],
        )
        self.token = person.personal_access_token()
        self.annotations: set[int] = set()
        self.truth: dict[int, Phantom] = {}
        self.id = 0

    @property
    def label_studio(self) -> LabelStudio:
        """A client of the person's own."""
        return LabelStudio(self.installation.label_studio_url, self.token)

    def connect(self) -> None:
        """Make and connect a project by `dsal connect`, and upload images of natural sizes."""
        self.installation.dsal("connect", "--create", TITLE, "--backend", "http://dsal.backend:9090")
        (project,) = self.label_studio.projects(TITLE)
        self.id = int(project["id"])
        phantoms = [draw_phantom(AGES[number % len(AGES)], number) for number in range(IMAGES)]
        files = {f"hand-{number}.png": png(phantom.image) for number, phantom in enumerate(phantoms)}
        tasks = self.label_studio.upload(self.id, files)
        self.truth = {tasks[name]: phantom for name, phantom in zip(files, phantoms, strict=True)}

    def annotate(self, count: int) -> None:
        """Label the next tasks in the order in which Label Studio opens them."""
        client = self.label_studio
        config = parse(client.project(self.id)["label_config"])
        view = next(int(view["id"]) for view in client.views(self.id))
        for _ in range(count):
            task = client.next_task(self.id, view)
            assert task is not None, "all tasks are labelled"
            mask = (self.truth[task["id"]].mask > 0).astype(np.uint8)
            made = client.submit_annotation(int(task["id"]), results(mask, config))
            self.annotations.add(int(made["id"]))

    def stored(self) -> set[int]:
        """The annotations that Label Studio has."""
        return {one.id for task in self.label_studio.labelled_tasks(self.id) for one in task.annotations}

    def to_label(self) -> dict[int, float | None]:
        """The tasks without a label, with the scores that order them."""
        return dict(self.label_studio.ordered_scores(self.id, IMAGES))

    def summary(self) -> dict[str, Any]:
        """The project on dsal's page."""
        found: dict[str, Any] = self._ask(f"/api/projects/{self.id}")
        return found

    def versions(self) -> list[dict[str, Any]]:
        """Its versions, newest first."""
        found: list[dict[str, Any]] = self._ask(f"/api/projects/{self.id}/versions")["versions"]
        return found

    def learned(self) -> dict[str, Any] | None:
        """The published version, if it has learned all labels and scores all other tasks in Label Studio."""
        published = next((one for one in self.versions() if one["state"] == "published"), None)
        if published is None or published["labels"] < len(self.annotations):
            return None
        shown = self.label_studio.project(self.id)["model_version"]
        complete = all(score is not None for score in self.to_label().values())
        return published if complete and shown == published["name"] else None

    def dice(self, task: int) -> float:
        """Equation (3) on the mask that /predict draws for a task, and the true one."""
        data = self.label_studio.task_data(self.id, [task])[task]
        answer = requests.post(
            f"{self.installation.backend_url}/predict",
            json={"tasks": [{"id": task, "data": data}], "project": f"{self.id}.1"},
            auth=self._login,
            timeout=120,
        )
        answer.raise_for_status()
        ((found,),) = answer.json()["results"]
        truth = self.truth[task].mask > 0
        config = parse(self.label_studio.project(self.id)["label_config"])
        height, width = truth.shape
        drawn = label_map(found["result"], config, (height, width)).label_map
        assert drawn is not None
        return float(2 * np.logical_and(drawn, truth).sum() / ((drawn > 0).sum() + truth.sum()))

    @property
    def _login(self) -> tuple[str, str]:
        return ("dsal", self.installation.variables["BASIC_AUTH_PASS"])

    def _ask(self, path: str) -> Any:
        answer = requests.get(f"{self.installation.backend_url}{path}", auth=self._login, timeout=30)
        answer.raise_for_status()
        return answer.json()


def png(image: NDArray[np.uint8]) -> bytes:
    """An image as a PNG file."""
    return bytes(cv2.imencode(".png", image)[1])
