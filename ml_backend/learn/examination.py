"""The examination of a project's labels: networks that have not learned them, trained while nobody waits.

Every version has learned the labels that it should judge, faults included. So the labelled tasks are divided
into folds, and a network is trained for each on the tasks of the others, from weights that know none of them
(`model.training.cross_fitting`). Labels that are made later are known to none of these networks, so any of
them examines them: new networks are needed only when there are many more labels, or other ones.

A worker does this in the training lane when it has nothing else to do, and ends as soon as anything waits.
What it has done until then is stored: checkpoints, networks, and each label's figures.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from redis.exceptions import RedisError

from ml_backend.items import OutsideFault, contained
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import IMAGE_FAULTS
from ml_backend.learn.examples import ImagesAwayError, MaskError, read_pairs
from ml_backend.learn.failures import is_temporary, sentence
from ml_backend.learn.label_updates import LabelReader
from ml_backend.learn.labels import LabelledTask
from ml_backend.learn.start_weights import StartingPoint, untaught_weights
from ml_backend.learn.suspicious import examine_task, judge_all, note_changes
from ml_backend.learn.version_folder import training_settings
from ml_backend.queue import kinds
from ml_backend.queue.context import Context, JobError
from ml_backend.queue.jobs import job
from ml_backend.score.prediction import load_segmenter
from ml_backend.store import examinations, projects, suspicious
from ml_backend.store.models import Examination, ExaminedLabel, Project
from model.segmenter import Segmenter
from model.training.cross_fitting import FOLDS, divide
from model.training.dataset import Example, make_example
from model.training.run import train
from model.training.settings import Progress
from model.weights import Card, save_version

logger = logging.getLogger(__name__)

GROWTH = 1.5
"""New networks are trained once there are so many times the labelled tasks that the present ones know."""
BATCH = 10
"""Labelled tasks after which what was found is stored."""
LOOK_SECONDS = 1.0
"""Time between two looks at what waits."""
SAY_SECONDS = 3.0
"""Shortest time between two updates of what `dsal status` says."""
LOCK_SECONDS = 3600
"""Longest time for which a command that was killed keeps others from examining."""

Look = Callable[[], None]
"""Called between steps and tasks; raises `GivesWayError` to end the examination here."""
Report = Callable[[int, Progress], None]
"""Called after each training step with the number of the network."""


class GivesWayError(OutsideFault, RuntimeError):
    """Something waits that comes first; the examination goes on later."""


@job(kinds.EXAMINE)
def examine_labels(context: Context, project_id: int) -> None:
    """Examine the labels of a project that are not examined yet, until anything else waits."""
    settings = context.settings
    with context.database.read() as session:
        project = projects.get(session, project_id)
        is_due = project is not None and examinations.is_due(session, project, settings.examine_from)
    if not is_due or not context.queues.is_idle(kinds.EXAMINE):
        return
    try:
        examine_project(context, project_id, look=Lookout(context, project_id))
    except (GivesWayError, JobError) as stopped:
        logger.info("The examination of project %d stops here: %s", project_id, stopped)
    except Exception as error:
        if is_temporary(error):
            raise
        logger.exception("The labels of project %d cannot be examined.", project_id)
        _give_up(context, project_id, sentence(error))


@dataclass
class Lookout:
    """Looks once a second whether anything waits that comes before the examination of a project."""

    context: Context
    project_id: int
    _looked_at: float = field(default=0.0, init=False)

    def __call__(self) -> None:
        """Raise `GivesWayError` if anything waits."""
        moment = time.monotonic()
        if moment - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = moment
        with self.context.database.read() as session:
            if not examinations.is_free(session, self.project_id):
                raise GivesWayError("the project has labels to learn or images to score")
        try:
            if not self.context.queues.is_idle(kinds.EXAMINE):
                raise GivesWayError("another job waits or is executed")
        except RedisError as error:
            raise GivesWayError("Redis does not answer") from error


def examine_project(
    context: Context,
    project_id: int,
    *,
    anew: bool = False,
    steps: int | None = None,
    report: Report | None = None,
    look: Look = lambda: None,
) -> int:
    """Examine the labels that the present networks have not examined, and judge all of them.

    Networks are trained if there are none for these labels. A killed or stopped examination goes on from its
    last checkpoint.

    Args:
        context: of the service.
        project_id: the project.
        anew: train new networks, and examine all labels.
        steps: of each training; None trains until it has converged, for at most TRAIN_SECONDS.
        report: told of each training step.
        look: asked between steps and tasks whether to go on.

    Returns:
        The number of labels that are examined now.

    Raises:
        JobError: another process examines the project.
        GivesWayError: by `look`.
        ImagesAwayError: most images are unavailable.
        LabelConfigError, LabelStudioError, TrainingError, WeightsError, WeightStoreError: it cannot be done.
    """
    with context.queues.locks.exclusive(f"examine-{project_id}", LOCK_SECONDS) as is_free:
        if not is_free:
            raise JobError(
                f"A worker examines the labels of project {project_id} now; dsal status says how far it is."
            )
        return _Examiner.open(context, project_id, steps, report, look).perform(anew=anew)


def _give_up(context: Context, project_id: int, reason: str) -> None:
    """Note why the labels cannot be examined; it is tried again when they have changed."""
    with context.database.write() as session:
        examination = examinations.get(session, project_id)
        if examination is None:
            examination, _ = examinations.begin(session, project_id, (), 0, ())
        examination.message = f"the labels cannot be examined: {reason}"
        examination.finished = examinations.stamp(session, session.get_one(Project, project_id))


@dataclass
class _Examiner:
    """One run of the examination of a project."""

    context: Context
    project_id: int
    config: LabelConfig
    tasks: list[LabelledTask]
    begun: StartingPoint
    stamp: str
    steps: int | None
    report: Report | None
    look: Look
    _examples: dict[int, list[Example]] = field(default_factory=dict, init=False)
    _away: set[int] = field(default_factory=set, init=False)
    _said_at: float = field(default=0.0, init=False)

    @classmethod
    def open(
        cls, context: Context, project_id: int, steps: int | None, report: Report | None, look: Look
    ) -> _Examiner:
        """Read the labels as they are now."""
        # Before the labels: one that is learned meanwhile is examined by the next run.
        with context.database.read() as session:
            stamp = examinations.stamp(session, session.get_one(Project, project_id))
        config = context.read_config(project_id)
        tasks = LabelReader(context, project_id, config).read().labelled
        begun = untaught_weights(context, project_id, config)
        return cls(context, project_id, config, tasks, begun, stamp, steps, report, look)

    def perform(self, *, anew: bool) -> int:
        """Train what is missing, examine what is due, judge all; returns the number of examined labels."""
        note_changes(self.context, self.project_id, self.tasks)
        with self.context.database.read() as session:
            known = examinations.get(session, self.project_id)
        if anew or known is None or self._is_outdated(known):
            known = self._plan()
        try:
            for number in range(len(known.folds)):
                self._work_on(number)
        except GivesWayError as stopped:
            self._say(f"it goes on when the worker has nothing else to do ({stopped})", at_once=True)
            raise
        with self.context.database.write() as session:
            judge_all(session, self.project_id, self.config)
            examination = session.get_one(Examination, self.project_id)
            examination.finished = self.stamp
            examination.message = f"{len(self._away)} images were unavailable" if self._away else ""
            return suspicious.count(session, self.project_id)

    def _is_outdated(self, known: Examination) -> bool:
        more = len(self.tasks) >= GROWTH * known.tasks
        return more or tuple(known.labels) != self.config.labels or not known.folds

    def _plan(self) -> Examination:
        """Divide the labelled tasks into folds."""
        parts = divide([str(task.task_id) for task in self.tasks], FOLDS, self.context.settings.seed)
        held = [[int(name) for name in part] for part in parts]
        with self.context.database.write() as session:
            planned, surplus = examinations.begin(
                session, self.project_id, self.config.labels, len(self.tasks), held
            )
        for key in surplus:
            self.context.weights.delete(key)
        shutil.rmtree(self._folder, ignore_errors=True)
        return planned

    def _work_on(self, number: int) -> None:
        """Examine the tasks of one fold, and train its network before that if there is none."""
        with self.context.database.read() as session:
            examination = session.get_one(Examination, self.project_id)
            folds = examination.folds
            present = [fold["version"] for fold in folds if fold["version"]]
            done = suspicious.examined_by(session, self.project_id, present)
        planned = {task for fold in folds for task in fold["held"]}
        due = [
            task
            for task in self.tasks
            if any(done.get(one.id) != task.digests[one.id] for one in task.counting)
            and (
                task.task_id in folds[number]["held"]
                or (task.task_id not in planned and task.task_id % len(folds) == number)
            )
        ]
        if not due:
            return
        key, version = folds[number]["weights"], folds[number]["version"]
        if not key or not self.context.weights.can_give(key):
            key, version = self._train(number, [fold["held"] for fold in folds])
        segmenter = load_segmenter(self.context.settings, self.context.weights.get(key))
        for first in range(0, len(due), BATCH):
            self._examine(due[first : first + BATCH], segmenter, version)

    def _examine(self, tasks: Sequence[LabelledTask], segmenter: Segmenter, version: str) -> None:
        """Examine tasks, and store what was found of them, also if something else comes first."""
        found: list[ExaminedLabel] = []
        try:
            for task in tasks:
                self.look()
                try:
                    found += examine_task(
                        self.context, self.project_id, self.config, task, segmenter, version
                    )
                except ImageUnavailable as error:
                    self._miss(error)
                self._say("")
        finally:
            with self.context.database.write() as session:
                suspicious.record(session, self.project_id, found)
                judge_all(session, self.project_id, self.config)

    def _train(self, number: int, held: Sequence[Sequence[int]]) -> tuple[str, str]:
        """Train the network of a fold; returns the hash of its weights and its name."""
        learned = {task for place, part in enumerate(held) if place != number for task in part}
        examples = [one for task in self.tasks if task.task_id in learned for one in self._read(task)]
        settings = replace(training_settings(self.context.settings, self.config), episodes=0)
        if self.steps is not None:
            settings = replace(settings, steps=self.steps, until_plateau=False)

        def progress(step: Progress) -> None:
            if self.report is not None:
                self.report(number, step)
            self._say(f"network {number + 1} learns, step {step.step}, {step.seconds:.0f} s")
            self.look()

        checkpoints = self._folder / f"{number + 1}"
        network = train(
            examples,
            [],
            labels=self.config.labels,
            network=self.begun.network,
            settings=settings,
            start=self.begun.start,
            checkpoints=checkpoints,
            progress=progress,
        ).network
        name = f"p{self.project_id}-fold{number + 1}"
        with tempfile.TemporaryDirectory(
            dir=self.context.settings.model_dir, prefix=".examination-"
        ) as folder:
            directory = Path(folder) / "version"
            save_version(
                directory,
                network,
                Card(name, self.config.labels, network.settings, self.begun.preprocessing),
            )
            key = self.context.weights.put(directory)
        version = f"{name}-{key[:8]}"
        with self.context.database.write() as session:
            examinations.note_weights(session, self.project_id, number, version, key)
        shutil.rmtree(checkpoints, ignore_errors=True)
        return key, version

    def _read(self, task: LabelledTask) -> list[Example]:
        """The examples of a task; none if it cannot be read."""
        if task.task_id not in self._examples:
            self.look()
            found: list[Example] = []
            with contained(f"Task {task.task_id}", logger.warning):
                try:
                    for number, (image, mask) in enumerate(
                        read_pairs(self.context, self.project_id, task, self.config)
                    ):
                        key = f"{task.task_id} {number}"
                        found.append(make_example(key, image, mask, self.begun.preprocessing))
                except (*IMAGE_FAULTS, MaskError) as error:
                    logger.warning("%s", error)
                    if isinstance(error, ImageUnavailable) and error.transient:
                        self._miss(error)
            self._examples[task.task_id] = found
        return self._examples[task.task_id]

    def _miss(self, error: ImageUnavailable) -> None:
        """Go on without an image.

        Raises:
            ImagesAwayError: they are too many.
        """
        self._away.add(error.task_id)
        if 2 * len(self._away) > len(self.tasks):
            raise ImagesAwayError(f"{len(self._away)} labelled images are unavailable: {error}")

    def _say(self, message: str, *, at_once: bool = False) -> None:
        """Show in `dsal status` what is done now."""
        moment = time.monotonic()
        if moment - self._said_at < SAY_SECONDS and not at_once:
            return
        self._said_at = moment
        with self.context.database.write() as session:
            session.get_one(Examination, self.project_id).message = message

    @property
    def _folder(self) -> Path:
        return self.context.settings.checkpoint_dir / f"examination-{self.project_id}"
