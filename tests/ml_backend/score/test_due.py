"""Scores that are due: replaced behind the order, whatever is killed, down, open or drawn again meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from inspect import unwrap
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from rq.job import JobStatus

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.queue.context import Context, image_reader
from ml_backend.queue.kinds import SCORE
from ml_backend.reconcile.resume import resume_rest
from ml_backend.score import packing
from ml_backend.score.due import score_due
from ml_backend.score.prediction import load_segmenter
from ml_backend.score.strategy import made_by
from ml_backend.settings import Settings
from ml_backend.store import edits, projects, runs, scores, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import FormerMask, RunState, Score, ScoreState, Version, VersionState
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services
from model.imaging.decoding import decode_image
from model.strategies import published
from tests.file_server import serve_folder
from tests.ml_backend.score.untrained import save_untrained

PROJECT = 1
TASKS = range(1, 61)
"""More than the tasks that may be open on pages of which Label Studio does not know."""
LAST = TASKS[-8:]
"""Tasks far from the top of the order."""
FORMER: list[dict[str, Any]] = [{"id": "former", "type": "brushlabels"}]
DRAFTED: list[dict[str, Any]] = [{"id": "drafted", "type": "brushlabels"}]
OPEN, LABELLED = LAST[0], LAST[1]


class Killed(BaseException):
    """Ends a job as a kill does: nothing after it is executed."""


class Studio:
    """The part of Label Studio that the job needs: one prediction a task, under the version's name."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.predictions = {
            task: {"id": 1000 + task, "model_version": name, "score": 0.5, "result": FORMER} for task in TASKS
        }
        self.open: set[int] = set()
        self.labelled: set[int] = set()
        self.writes: list[int] = []
        self.before_write: Callable[[int], None] = lambda _task: None
        self.after_write: Callable[[int], None] = lambda _task: None
        self._lock = threading.Lock()

    def project(self, _project: int) -> dict[str, Any]:
        return {"title": "Due", "label_config": default_config(["Bone"])}

    def opened(self, _project: int) -> set[int]:
        return set(self.open)

    def to_label(self, _project: int, tasks: Sequence[int]) -> set[int]:
        return {task for task in tasks if task not in self.labelled}

    def data_to_label(self, project: int, tasks: Sequence[int]) -> dict[int, dict[str, Any]]:
        left = self.to_label(project, tasks)
        return {task: {"image": f"{self.address}/{task}.png"} for task in tasks if task in left}

    def to_label_with(self, project: int, tasks: Sequence[int], _version: str) -> dict[int, dict[str, Any]]:
        return {task: dict(self.predictions[task]) for task in sorted(self.to_label(project, tasks))}

    def rescore_prediction(
        self, prediction: int, score: float, result: list[dict[str, Any]] | None = None
    ) -> None:
        task = prediction - 1000
        self.before_write(task)
        with self._lock:
            self.writes.append(task)
            self.predictions[task]["score"] = score
            if result is not None:
                self.predictions[task]["result"] = result
        self.after_write(task)


class Place:
    """A published version all of whose scores are due, and the images of its tasks."""

    def __init__(self, services: Services, folder: Path, stack: ExitStack) -> None:
        self.images = folder / "images"
        self.images.mkdir()
        for task in TASKS:
            pixels = np.random.default_rng(task).integers(0, 255, (32, 48), dtype=np.uint8)
            cv2.imwrite(str(self.images / f"{task}.png"), pixels)
        self.stack = stack
        address = stack.enter_context(serve_folder(self.images))
        self.port = int(address.rpartition(":")[2])
        settings = services.settings
        reader = image_reader(settings, LabelStudio(settings.label_studio_url, "0" * 40))
        weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
        key = weights.put(save_untrained(folder / "version", crop=False, norm="group"))
        self.database = services.database
        self.former_run, self.version = self._publish(key)
        self.studio = Studio(self.version.name, address)
        studio = cast("LabelStudio", self.studio)
        self.context = Context(settings, studio, services.database, weights, services.queues, reader)
        segmenter = load_segmenter(settings, weights.get(key))
        decoded = {task: decode_image((self.images / f"{task}.png").read_bytes()) for task in TASKS}
        strategy = made_by(self.version)
        self.expected = {
            task: published(strategy, segmenter.segment([image])[0].consistency)
            for task, image in decoded.items()
        }

    def _publish(self, key: str) -> tuple[int, Version]:
        with self.database.write() as session:
            project = projects.ensure(session, PROJECT, seed=3)
            before = versions.create(
                session, project, round=1, state=VersionState.SUPERSEDED, labels=("Bone",)
            )
            run = runs.begin(session, PROJECT, ProcessId.current(), force=True)
            assert run is not None
            runs.finish(session, run, RunState.FINISHED, version_id=before.id)
            version = versions.create(
                session, project, round=2, state=VersionState.SCORING, labels=("Bone",), weights_hash=key
            )
            version.strategy = "disagreement"
            scores.plan(session, version.id, list(TASKS), chunk_size=9)
            for row in scores.of_version(session, version.id):
                row.score, row.state, row.due, row.drawn_by_run = 0.5, ScoreState.WRITTEN, True, run.id
                row.priority, row.packed = row.task_id / 100, packing.pack(None, FORMER)
            versions.publish(session, version)
            return run.id, version

    def score(self) -> None:
        """Run the job until it requests no other."""
        unwrap(score_due)(self.context, self.version.id)

    def due(self) -> set[int]:
        with self.database.read() as session:
            return scores.due(session, self.version.id)

    def row(self, task: int) -> Score:
        with self.database.read() as session:
            (row,) = scores.of_tasks(session, self.version.id, [task])
        return row

    def remembered(self, task: int) -> list[FormerMask]:
        with self.database.read() as session:
            return edits.former_masks(session, 1000 + task)

    def check(self, *but: int) -> None:
        """All tasks, except `but`, have the version's own score, in Label Studio and in the database."""
        for task in set(TASKS).difference(but):
            assert self.studio.predictions[task]["score"] == pytest.approx(self.expected[task], abs=1e-4)
            assert self.row(task).score == pytest.approx(self.expected[task], abs=1e-4)
            assert self.studio.predictions[task]["result"] != FORMER


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    return Settings(
        model_dir=tmp_path / "data",
        redis_url=redis_url,
        engine="torch",
        device="cpu",
        mask_floor=0,
        smallest_region=0,
        score_chunk=20,
    )


@pytest.fixture
def place(services: Services, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(services, tmp_path, stack)


def test_open_and_labelled_tasks_keep_what_their_annotators_see(place: Place) -> None:
    place.studio.open, place.studio.labelled = {OPEN}, {LABELLED}
    place.score()
    place.check(OPEN, LABELLED)
    for task in (OPEN, LABELLED):
        assert place.studio.predictions[task]["result"] == FORMER
    assert place.due() == {OPEN}, "it is scored once it is no longer open"
    place.studio.open = set()
    place.score()
    place.check(LABELLED)


def test_only_masks_that_somebody_may_have_seen_are_remembered(place: Place) -> None:
    place.studio.after_write = lambda task: place.studio.open.add(task) if task == LAST[3] else None
    place.score()
    (former,) = place.remembered(LAST[3])
    assert packing.result(former.packed) == FORMER, "it was opened while its mask was replaced"
    assert former.drawn_by_run == place.former_run
    assert place.remembered(TASKS[0]), "a page that a click in the list opened is not known"
    assert place.remembered(LAST[4]) == []


def test_what_label_studio_refuses_keeps_its_mask_and_is_named(place: Place) -> None:
    def refuse(task: int) -> None:
        if task == LAST[3]:
            raise LabelStudioError("refused", 400, "no such label")

    place.studio.before_write = refuse
    place.score()
    place.check(LAST[3])
    assert place.due() == set()
    row = place.row(LAST[3])
    assert row.error == "Label Studio refuses its prediction: no such label."
    assert place.studio.predictions[LAST[3]]["result"] == FORMER
    assert place.studio.predictions[LAST[3]]["score"] == row.score == 0.5


def test_what_is_as_it_was_is_not_written_again(place: Place) -> None:
    place.score()
    with place.database.write() as session:
        for row in scores.of_version(session, place.version.id):
            row.due, row.drawn_by_run = True, place.former_run
    place.studio.writes.clear()
    place.score()
    assert place.studio.writes == []
    assert place.due() == set()


def test_an_outage_of_the_image_server_does_not_end_the_rescoring_for_ever(place: Place) -> None:
    place.stack.close()
    place.score()
    assert place.due() == set(TASKS)
    assert place.studio.writes == [], "the masks of the version before are better than none"
    assert not place.context.queues.locks.is_locked(place.context.queues.due_name(place.version.id))

    with serve_folder(place.images, place.port):
        resume_rest(place.database, place.context.queues)
        assert place.context.queues.depths()[SCORE] == 1, "reconcile requests the job again"
        place.context.queues.redis.flushall()
        place.score()
    assert place.due() == set()
    place.check()


def test_a_mask_that_a_draft_draws_meanwhile_stays_and_keeps_its_name(place: Place) -> None:
    task, draft = LAST[2], place.former_run + 1

    drawn = threading.Event()

    def redraw(written: int) -> None:
        # As `ml_backend.score.redraw` does for a task while others are replaced.
        if written != TASKS[0]:
            assert drawn.wait(30)
        else:
            with place.database.write() as session:
                row = session.get_one(Score, (place.version.id, task))
                row.drawn_by_run, row.packed = draft, None
            place.studio.predictions[task]["result"] = DRAFTED
            drawn.set()

    place.context = replace(
        place.context, settings=place.context.settings.model_copy(update={"score_chunk": 60})
    )
    place.studio.before_write = redraw
    place.score()
    assert place.studio.predictions[task]["result"] == DRAFTED
    assert place.studio.predictions[task]["score"] == pytest.approx(place.expected[task], abs=1e-4)
    row = place.row(task)
    assert (row.drawn_by_run, row.due) == (draft, False)
    assert row.packed is None, "a later version takes no mask over under the name of this one"
    place.check()


def test_a_job_that_is_killed_leaves_no_mask_unrecorded_and_another_one_heals(place: Place) -> None:
    def kill(task: int) -> None:
        raise Killed

    place.studio.before_write = kill
    with pytest.raises(Killed):
        place.score()
    assert place.studio.writes == []
    assert place.due() == set(TASKS)
    (recorded,) = place.remembered(TASKS[0])

    place.studio.before_write = lambda _task: None
    place.studio.after_write = kill
    with pytest.raises(Killed):
        place.score()
    written = set(place.studio.writes)
    assert written, "these are in Label Studio, and the database does not know"
    assert written <= place.due()

    place.studio.after_write = lambda _task: None
    place.score()
    place.check()
    for task in written:
        found = [packing.result(mask.packed) for mask in place.remembered(task)]
        assert found == [FORMER] * len(found), "no mask of this version counts as one of the version before"
    assert recorded.drawn_by_run == place.former_run


def test_of_two_jobs_at_once_only_one_writes(place: Place) -> None:
    queues = place.context.queues
    assert queues.request_score_due(place.version.id)
    other = queues.due_name(place.version.id)
    queues.redis.hset(f"rq:job:{other}", "status", JobStatus.STARTED.value)
    queues.redis.set(f"dsal-alone-{other}", other)
    place.score()
    assert place.studio.writes == []
    queues.redis.flushall()
    place.score()
    assert sorted(place.studio.writes) == list(TASKS)
