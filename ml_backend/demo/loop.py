"""The rounds of a demo: annotate, wait until the service has retrained and published, evaluate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ml_backend.demo.annotator import SimulatedAnnotator
from ml_backend.demo.display import Display
from ml_backend.demo.images import DemoImages
from ml_backend.demo.processes import Processes
from ml_backend.demo.results import TOP, RoundResults, TopTask
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.score.prediction import load_segmenter
from ml_backend.score.strategy import order_of
from ml_backend.settings import Settings
from ml_backend.store import runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import RunState, Score, ScoreState, Version, VersionState
from ml_backend.store.weights import WeightStore
from model.imaging.decoding import decode_image
from model.metrics import evaluate, mean_dice
from model.training.dataset import read_mask

POLL_SECONDS = 0.5
SETTLED = (VersionState.PUBLISHED, VersionState.REJECTED, VersionState.SUPERSEDED, VersionState.FAILED)


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why or where to look."""


@dataclass(frozen=True)
class Loop:
    """Runs the rounds.

    Attributes:
        settings: the running service's settings.
        database, weights: the service's own, only read here.
        annotator: the simulated annotator.
        collection: images and true masks.
        processes: the running service, checked while waiting.
        display: shows the progress.
        patience: time limit in seconds of one training with its scoring and publishing.
    """

    settings: Settings
    database: Database
    weights: WeightStore
    annotator: SimulatedAnnotator
    collection: DemoImages
    processes: Processes
    display: Display
    patience: float

    def first_order(self) -> RoundResults:
        """Wait for the seeded random order, and return it as round 0."""
        self._wait(self._published, "the first, random order")
        return self._describe(0, 0, None, ())

    def run(self, before: RoundResults, count: int, rounds: int) -> RoundResults | None:
        """Run the round after `before`: `count` annotations, then a new version; None if all are labelled."""
        number = before.round + 1
        name = f"round {number} of {rounds}"
        for done in range(count):
            self.display.stage(f"{name}: annotating", f"{done + 1} of {count}")
            if self.annotator.annotate() is None:
                if done == 0:
                    return None
                count = done
                self.annotator.label_studio.start_training(self._backend())
                break
        wanted = before.labels + count
        self._wait(lambda: self._settled(wanted), name)
        self.display.stage(f"{name}: evaluating", f"test DSC on {len(self.collection.test)} images")
        return self._describe(number, wanted, self._settled(wanted), before.order)

    def _backend(self) -> int:
        return int(self.annotator.label_studio.ml_backends(self.annotator.project)[0]["id"])

    def _published(self) -> Version | None:
        with self.database.read() as session:
            return versions.published(session, self.annotator.project)

    def _settled(self, labelled: int) -> Version | None:
        """The version that was trained on all labels so far, once it is published, rejected or failed."""
        with self.database.read() as session:
            run = runs.last(session, self.annotator.project)
            if run is None or run.state is RunState.RUNNING or run.labels < labelled:
                if run is not None and run.state is RunState.FAILED:
                    raise DemoError(f"The training failed: {run.message}")
                return None
            version = None if run.version_id is None else versions.get(session, run.version_id)
        return version if version is not None and version.state in SETTLED else None

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self.patience
        while not condition():
            self.processes.check()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Timed out after {self.patience:.0f} s waiting for {what}; logs: {self.processes.logs}."
                )
            stage, detail = self._stage()
            self.display.stage(f"{what}: {stage}", detail)
            time.sleep(POLL_SECONDS)

    def _stage(self) -> tuple[str, str]:
        """The service's current stage and its progress."""
        with self.database.read() as session:
            run = runs.last(session, self.annotator.project)
            scoring = versions.in_state(session, VersionState.SCORING)
            counts = scores.count(session, scoring[-1].id) if scoring else None
        if run is not None and run.state is RunState.RUNNING:
            budget = self.settings.train_seconds
            limit = "" if budget is None or not run.message else f", up to {budget:.0f} s"
            return "training", f"{run.message or 'reading labels and images'}{limit}"
        if counts is not None:
            total = sum(counts.values())
            scored = total - counts[ScoreState.PENDING]
            return "scoring", f"{scored} of {total} tasks" if total else ""
        return "waiting for the service", ""

    def _describe(
        self, number: int, labelled: int, made: Version | None, before: Sequence[int]
    ) -> RoundResults:
        serving = self._published()
        assert serving is not None
        client, project = self.annotator.label_studio, self.annotator.project
        order = order_of(serving)
        shown = client.ordered_scores(project, len(self.collection.tasks), highest_first=order.highest_first)
        if order.batch:
            batch = client.marked(project)
            shown.sort(key=lambda one: one[0] not in batch)
        stages = made or serving
        seconds = {
            "train": stages.seconds_training,
            "score": stages.seconds_scoring,
            "publish": stages.seconds_publishing,
        }
        return RoundResults(
            round=number,
            labels=labelled,
            version=serving.name,
            published=made is None or made.id == serving.id,
            validation_dsc=serving.metrics.get("validation_dsc"),
            test_dsc=self._test(serving),
            seconds=seconds,
            top=[self._top(serving, task, score, before) for task, score in shown[:TOP]],
            order=[task for task, _ in shown],
            scores={task: score for task, score in shown if score is not None},
            next_task=self.annotator.next_task(),
            steps=int(stages.metrics.get("steps", 0)),
        )

    def _top(self, version: Version, task: int, shown: float | None, before: Sequence[int]) -> TopTask:
        with self.database.read() as session:
            row = session.get(Score, (version.id, task))
        sample = self.annotator.truth[task]
        return TopTask(
            task=task,
            image=sample.stem,
            before=before.index(task) + 1 if task in before else None,
            l_dsc=None if row is None else row.l_dsc,
            m_dsc=None if row is None else row.m_dsc,
            score=shown,
            r_dsc=self._real_dice(version, task) if row is not None and not row.hidden else None,
        )

    def _real_dice(self, version: Version, task: int) -> float | None:
        """Dice of the predicted mask that Label Studio has for the task, if any, against the true one."""
        if version.weights_hash is None:
            return None
        truth = read_mask(self.annotator.truth[task].mask_path)
        height, width = truth.shape
        for prediction in self.annotator.label_studio.predictions(task):
            if prediction["model_version"] == version.name:
                shown = label_map(prediction["result"], self.annotator.config, (height, width)).label_map
                return None if shown is None else mean_dice(shown, truth, len(self.collection.labels))
        return None

    def _test(self, version: Version) -> float | None:
        if version.weights_hash is None:
            return None
        segmenter = load_segmenter(self.settings, self.weights.get(version.weights_hash))
        pairs = (
            (decode_image(sample.image_path.read_bytes()), read_mask(sample.mask_path))
            for sample in self.collection.test
        )
        return evaluate(segmenter, pairs).dsc
