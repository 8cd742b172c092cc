"""A connected Label Studio project, with an annotator who knows the true masks."""

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
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.reconcile import reconcile
from ml_backend.store import events, runs, scores, versions
from ml_backend.store.models import RunState, Score, TrainingRun, Version, VersionState, now
from ml_backend.store.version_names import open_name
from model.research.phantom import Phantom
from tests.connecting import connect
from tests.loop.service import AUTH, Service

SETTLED = (VersionState.PUBLISHED, VersionState.REJECTED, VersionState.SUPERSEDED, VersionState.FAILED)


@dataclass
class Board:
    """One project: a person's actions in it, what Label Studio shows of it, and its rows in the database."""

    service: Service
    id: int
    view: int
    backend: int
    config: LabelConfig
    truth: dict[int, Phantom] = field(default_factory=dict)

    @classmethod
    def make(cls, service: Service, phantoms: Sequence[Phantom], title: str = "Loop") -> Board:
        """A new connected project with one task per phantom, in its seeded random order."""
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
        *,
        interactive: bool = False,
    ) -> Board:
        """A new connected project with one task per phantom; does not need a worker.

        Args:
            service: that it is connected to.
            phantoms: its images.
            title: its name.
            labels: of its labeling config.
            interactive: whether annotators can correct masks by clicks.
        """
        client = service.label_studio
        number = int(client.create_project(title, default_config(list(labels)))["id"])
        board = cls(service, number, 0, 0, cls.read_config(service, number))
        board.add(phantoms)
        connection = connect(
            client, backend_url=service.url, project=number, basic_auth=AUTH, interactive=interactive
        )
        board.view, board.backend = connection.view, connection.backend
        # An interactive connection adds tags.
        board.config = cls.read_config(service, number)
        return board

    @classmethod
    def of(cls, service: Service, project: int) -> Board:
        """A project that is not connected or not usable; methods that need a labeling config do not work."""
        return cls(service, project, 0, 0, LabelConfig("", "", "", ()))

    @staticmethod
    def read_config(service: Service, project: int) -> LabelConfig:
        """The labeling config of a project."""
        return parse(service.label_studio.project(project)["label_config"])

    def add(self, phantoms: Sequence[Phantom]) -> list[int]:
        """Upload more images; returns their task ids."""
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

    def view_data(self) -> dict[str, Any]:
        """The rules of the view "Most informative first"."""
        (view,) = [one for one in self.service.label_studio.views(self.id) if one["id"] == self.view]
        data: dict[str, Any] = view["data"]
        return data

    def in_view(self) -> list[int]:
        """The tasks that this view contains, in its order."""
        rules = {key: self.view_data()[key] for key in ("ordering", "filters")}
        return [row["id"] for row in self.service.label_studio._rows(self.id, "id", size=100, **rules)]

    def regions(self, task: int) -> list[dict[str, Any]]:
        """The true mask of a task as the editor submits it."""
        return results((self.truth[task].mask > 0).astype(np.uint8), self.config)

    def annotate(self, count: int) -> list[int]:
        """Label `count` tasks as the view opens them; returns the annotation ids."""
        made = []
        for _ in range(count):
            task = self.next_task()
            assert task is not None
            made.append(self.submit(task))
        return made

    def submit(self, task: int) -> int:
        """Label one task; returns the annotation id."""
        return int(self.service.label_studio.submit_annotation(task, self.regions(task))["id"])

    def order(self, *, highest_first: bool = True) -> list[tuple[int, float | None]]:
        """Unlabelled tasks with their scores, in Label Studio's order for this direction."""
        return self.service.label_studio.ordered_scores(self.id, 1000, highest_first=highest_first)

    def shown_version(self) -> str:
        """The name of the version that orders the tasks, from Label Studio's project."""
        return str(self.service.label_studio.project(self.id)["model_version"])

    def stored(self) -> dict[str, int]:
        """Number of predictions in Label Studio by version, without those kept for open pages."""
        stored = self.service.label_studio.model_versions(self.id)
        return {name: count for name, count in stored.items() if name not in self._open_names()}

    def kept_open(self) -> int:
        """Number of predictions kept for open pages."""
        stored = self.service.label_studio.model_versions(self.id)
        return sum(stored.get(name, 0) for name in self._open_names())

    def _open_names(self) -> set[str]:
        today = now().date()
        return {open_name(self.id, day) for day in (today, today - timedelta(days=1))}

    def open(self, task: int) -> list[dict[str, Any]]:
        """Open a task in the editor, for which Label Studio calls /predict; returns the predictions shown."""
        task_path, params = f"/api/tasks/{task}/", {"project": self.id}
        shown: list[dict[str, Any]] = self.service.ask_label_studio("GET", task_path, params=params)[
            "predictions"
        ]
        return shown

    def predict(self, tasks: Sequence[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
        """Call /predict; returns its results."""
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
        """Compare this project as the periodic job does; returns the findings as sentences."""
        with self.service.context() as context:
            return [str(one) for one in reconcile(context, self.id, thorough=thorough)]

    def published(self) -> Version | None:
        """The published version."""
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
        """Number of label changes that no training has taken into account."""
        with self.service.database.read() as session:
            return events.pending(session, self.id).changes

    def scores(self, version: Version) -> dict[int, Score]:
        """The rows of a version's scores, by task."""
        with self.service.database.read() as session:
            return {score.task_id: score for score in scores.of_version(session, version.id)}

    def await_round(self, number: int, seconds: float = 240.0) -> Version:
        """Wait until the version of a round is published or rejected, and all work is done."""

        def settled() -> Version | None:
            made = [one for one in self.versions() if one.round == number and one.state in SETTLED]
            return made[0] if made and self.idle() else None

        return self.service.wait(settled, f"round {number} of project {self.id}", seconds)

    def idle(self) -> bool:
        """Whether no training is running and all scores of the newest version are in Label Studio."""
        latest = self.versions()[0]
        written = all(score.state == "written" for score in self.scores(latest).values())
        return written and all(run.state is not RunState.RUNNING for run in self.runs())


MakeBoard = Callable[[Sequence[Phantom]], Board]
"""A function that creates a connected project with one task per phantom."""


def png(image: NDArray[Any]) -> bytes:
    """The image encoded as PNG."""
    return cv2.imencode(".png", image)[1].tobytes()
