"""A connected project in Label Studio, with an annotator who knows the true masks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.label_studio.connection import connect
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.reconcile import reconcile
from ml_backend.store import events, runs, scores, versions
from ml_backend.store.models import RunState, Score, TrainingRun, Version, VersionState, now
from ml_backend.store.version_names import open_name
from model.research.phantom import Phantom
from tests.loop.service import AUTH, Service

SETTLED = (VersionState.PUBLISHED, VersionState.REJECTED, VersionState.SUPERSEDED, VersionState.FAILED)


@dataclass
class Board:
    """One project: what a person does in it, what Label Studio shows of it, what the database says of it."""

    service: Service
    id: int
    view: int
    backend: int
    config: LabelConfig
    truth: dict[int, Phantom] = field(default_factory=dict)

    @classmethod
    def make(cls, service: Service, phantoms: Sequence[Phantom], title: str = "Loop") -> Board:
        """A new project with one task for each phantom, connected and in its seeded random order."""
        board = cls.connected(service, phantoms, title)
        service.work()
        service.wait(board.published, "the first order")
        return board

    @classmethod
    def connected(
        cls,
        service: Service,
        phantoms: Sequence[Phantom],
        title: str = "Loop",
        labels: Sequence[str] = ("Bone",),
    ) -> Board:
        """A new project with one task for each phantom, connected; a worker need not be there."""
        client = service.label_studio
        number = int(client.create_project(title, default_config(list(labels)))["id"])
        board = cls(service, number, 0, 0, cls.read_config(service, number))
        board.add(phantoms)
        connection = connect(client, backend_url=service.url, project=number, basic_auth=AUTH)
        board.view, board.backend = connection.view, connection.backend
        return board

    @classmethod
    def of(cls, service: Service, project: int) -> Board:
        """A project that is not connected, or not usable; only what needs no labeling config works."""
        return cls(service, project, 0, 0, LabelConfig("", "", "", ()))

    @staticmethod
    def read_config(service: Service, project: int) -> LabelConfig:
        """A project's labeling config."""
        return parse(service.label_studio.project(project)["label_config"])

    def add(self, phantoms: Sequence[Phantom]) -> list[int]:
        """Upload further images; returns their tasks."""
        first = len(self.truth)
        files = {f"hand-{first + n}.png": png(phantom.image) for n, phantom in enumerate(phantoms)}
        uploaded = self.service.label_studio.upload(self.id, files)
        tasks = [uploaded[name] for name in files]
        self.truth |= dict(zip(tasks, phantoms, strict=True))
        return tasks

    def next_task(self) -> int | None:
        """The task that "Label Tasks As Displayed" opens in the view "Most informative first"."""
        task = self.service.label_studio.next_task(self.id, self.view)
        return None if task is None else int(task["id"])

    def regions(self, task: int) -> list[dict[str, Any]]:
        """The true mask of a task as the editor submits it."""
        return results((self.truth[task].mask > 0).astype(np.uint8), self.config)

    def annotate(self, count: int) -> list[int]:
        """Label the tasks that the view opens, one after the other; returns the annotations' ids."""
        made = []
        for _ in range(count):
            task = self.next_task()
            assert task is not None
            made.append(self.submit(task))
        return made

    def submit(self, task: int) -> int:
        """Label one task; returns the annotation's id."""
        return int(self.service.label_studio.submit_annotation(task, self.regions(task))["id"])

    def order(self, *, highest_first: bool = True) -> list[tuple[int, float | None]]:
        """Unlabelled tasks with their scores, in Label Studio's own order from the top or the bottom."""
        return self.service.label_studio.ordered_scores(self.id, 1000, highest_first=highest_first)

    def shown_version(self) -> str:
        """The version whose scores order the tasks, as Label Studio's project names it."""
        return str(self.service.label_studio.project(self.id)["model_version"])

    def stored(self) -> dict[str, int]:
        """Number of predictions that Label Studio holds of each version, those for open pages left out."""
        held = self.service.label_studio.model_versions(self.id)
        return {name: count for name, count in held.items() if name not in self._open_names()}

    def kept_open(self) -> int:
        """Number of predictions that are kept for pages that may show them."""
        held = self.service.label_studio.model_versions(self.id)
        return sum(held.get(name, 0) for name in self._open_names())

    def _open_names(self) -> set[str]:
        today = now().date()
        return {open_name(self.id, day) for day in (today, today - timedelta(days=1))}

    def open(self, task: int) -> list[dict[str, Any]]:
        """Open a task in the editor, which has Label Studio ask /predict; returns what is drawn on it."""
        task_path, params = f"/api/tasks/{task}/", {"project": self.id}
        shown: list[dict[str, Any]] = self.service.ask_label_studio("GET", task_path, params=params)[
            "predictions"
        ]
        return shown

    def predict(self, tasks: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
        """The answers of /predict."""
        answer = self.service.call("POST", "/predict", json={"tasks": list(tasks), "project": f"{self.id}.1"})
        answer.raise_for_status()
        found: list[list[dict[str, Any]]] = answer.json()["results"]
        return found

    def labels(self) -> dict[int, list[dict[str, Any]]]:
        """Regions of the latest annotation of each labelled task."""
        labelled = self.service.label_studio.labelled_tasks(self.id)
        return {task.id: task.annotations[-1].result for task in labelled}

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """All predictions of a task."""
        return self.service.label_studio.predictions(task)

    def duplicates(self, version: str) -> list[int]:
        """Tasks with more than one prediction of a version."""
        counted = {
            task: Counter(one["model_version"] for one in self.predictions(task)) for task in self.all_tasks()
        }
        return [task for task, versions in counted.items() if versions[version] > 1]

    def all_tasks(self) -> list[int]:
        """Ids of all tasks."""
        return [task.id for task in self.service.label_studio.tasks(self.id)]

    def mask_of(self, prediction: dict[str, Any], shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
        """The label map (H, W) that a prediction of Label Studio draws."""
        height, width = shape
        return label_map(prediction["result"], self.config, (height, width)).label_map

    def reconcile(self, *, thorough: bool = False) -> list[str]:
        """Look at this project as the periodic job does; what was found, each as one sentence."""
        with self.service.context() as context:
            return [str(one) for one in reconcile(context, self.id, thorough=thorough)]

    def published(self) -> Version | None:
        """The version that serves."""
        with self.service.database.read() as session:
            return versions.published(session, self.id)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        with self.service.database.read() as session:
            return versions.of_project(session, self.id)

    def runs(self) -> list[TrainingRun]:
        """All trainings, newest first."""
        with self.service.database.read() as session:
            return runs.of_project(session, self.id)

    def changes(self) -> int:
        """Changes of labels that no training has taken in."""
        with self.service.database.read() as session:
            return events.pending(session, self.id).changes

    def scores(self, version: Version) -> dict[int, Score]:
        """The database's scores by task."""
        with self.service.database.read() as session:
            return {score.task_id: score for score in scores.of_version(session, version.id)}

    def await_round(self, number: int, seconds: float = 240.0) -> Version:
        """Wait until the version of a round serves or was turned down, and nothing is left to be done."""

        def settled() -> Version | None:
            made = [one for one in self.versions() if one.round == number and one.state in SETTLED]
            return made[0] if made and self.idle() else None

        return self.service.wait(settled, f"round {number} of project {self.id}", seconds)

    def idle(self) -> bool:
        """Whether no training runs and every score of the newest version is in Label Studio."""
        latest = self.versions()[0]
        written = all(score.state == "written" for score in self.scores(latest).values())
        return written and all(run.state is not RunState.RUNNING for run in self.runs())


MakeBoard = Callable[[Sequence[Phantom]], Board]
"""A function that makes a connected project with one task for each phantom."""


def png(image: NDArray[Any]) -> bytes:
    """The image as a PNG file."""
    return cv2.imencode(".png", image)[1].tobytes()
