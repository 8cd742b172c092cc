"""A MODEL_DIR that an earlier release made keeps working: tables, weights, caches, checkpoints, queued jobs.

`model-dir.tar.gz` was made by commit f73ec29, before the modules moved into rooms, with a job of every kind
in its queues; `expected.json` says what that commit read back from it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from rq.registry import ScheduledJobRegistry
from sqlalchemy import func, select

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.learn.labels import digest
from ml_backend.queue.clients import client_of, socket_url
from ml_backend.queue.context import image_reader
from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.queue.jobs import FORMER_NAMES
from ml_backend.queue.kinds import ACT, CONFIRM, EXAMINE, KINDS, NOTIFY, PRUNE, REDRAW, SCORE_DUE, SEND
from ml_backend.queue.queues import JobQueues
from ml_backend.reconcile import lifecycle
from ml_backend.score import packing
from ml_backend.score.strategy import prediction_fingerprint
from ml_backend.settings import Settings
from ml_backend.store import assignments, events, labels_seen, projects, runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Base, Part, Score, ScoreState
from ml_backend.store.weights import WeightStore
from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights
from model.segmenter import Segmenter
from model.strategies import parse as parse_strategy
from model.training.dataset import make_example
from model.training.run import train
from model.training.settings import Progress, TrainingSettings
from model.weights import load_version
from tests.ml_backend.former_layout.pictures import picture

HERE = Path(__file__).parent
EXPECTED: dict[str, Any] = json.loads((HERE / "expected.json").read_text())
WORK = "from ml_backend.settings import Settings; from ml_backend.work.worker import run_worker; "
WORK += "run_worker(Settings(), burst=True)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with tarfile.open(HERE / "model-dir.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Settings(model_dir=tmp_path)


def test_the_tables_are_read_as_before(settings: Settings) -> None:
    facts = EXPECTED["database"]
    database = Database(settings.effective_database_url)
    # Migrations give an installation its name.
    rows_then = facts["rows"] | {"installations": 1}
    with database.read() as session:
        for mapper in Base.registry.mappers:
            table = mapper.class_
            rows = session.scalar(select(func.count()).select_from(table))
            assert rows == rows_then.get(table.__tablename__, 0), table
        published = versions.published(session, 1)
        assert published is not None
        assert published.name == facts["published"]
        assert [one.id for one in projects.active(session)] == [1]
        assert [run.id for run in runs.abandoned(session)] == facts["abandoned_runs"]
        assert sorted(events.pending_changes(session, 1)) == facts["pending_changes"]
        split = labels_seen.split(session, 1)
        sides = {part.value: sorted(task for task, side in split.items() if side is part) for part in Part}
        assert sides == facts["splits"]
        for version, states in facts["score_states"].items():
            rows_of = scores.of_version(session, int(version))
            found = {
                state.value: [row.task_id for row in rows_of if row.state is state] for state in ScoreState
            }
            assert found == states
        assert len(assignments.by_task(session, 1)) == facts["rows"]["holdings"]
        assert assignments.are_needed(session, 1)
    database.close()


def test_only_projects_whose_score_was_another_number_are_ordered_again(settings: Settings) -> None:
    database = Database(settings.effective_database_url)
    with database.read() as session:
        project = projects.get(session, 1)
        assert project is not None
        config = parse(project.label_config)
        known = [one for one in versions.of_project(session, 1) if one.fingerprint is not None]
    assert known
    for version in known:
        asked = settings.model_copy(update={"strategy": version.strategy})
        is_the_same = prediction_fingerprint(asked, config, version) == version.fingerprint
        assert is_the_same == parse_strategy(version.strategy).follows_score
    annotation = EXPECTED["annotation"]
    # An annotation whose digest changed would count as a new label and start a training.
    assert digest(annotation["result"]) == annotation["digest"]
    read = label_map(annotation["result"], config).label_map
    assert read is not None
    assert (read == picture(annotation["task"])[1]).all()
    database.close()


def test_what_was_measured_and_not_yet_sent_is_kept(settings: Settings) -> None:
    database = Database(settings.effective_database_url)
    with database.read() as session:
        for task, fact in EXPECTED["packed"].items():
            packed = session.get_one(Score, (5, int(task))).packed
            assert packed is not None
            assert len(packing.result(packed)) == fact["regions"]
            measured = packing.measurement(packed)
            assert (None if measured is None else measured.key) == fact["key"]
            if measured is not None:
                assert measured.consistency.score == pytest.approx(fact["score"], abs=2e-6)
                assert digest(packing.result(packed)) == fact["digest"]
    database.close()


def test_stored_weights_draw_the_same_mask(settings: Settings) -> None:
    store = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    fact = EXPECTED["segmentation"]
    assert store.contains(EXPECTED["weights"]["superseded"])
    folder = store.get(EXPECTED["weights"]["published"])
    segmenter = Segmenter(folder, engine="torch", device="cpu", precision="fp32")
    (found,) = segmenter.segment([picture(fact["number"])[0]])
    assert int(found.final.sum()) == fact["final_sum"]
    assert found.consistency.score == pytest.approx(fact["consistency"]["score"], abs=2e-6)


def test_a_cached_image_is_read_without_its_server(settings: Settings) -> None:
    fact = EXPECTED["image"]
    database = Database(settings.effective_database_url)
    with database.read() as session:
        project = projects.get(session, fact["project"])
    database.close()
    assert project is not None
    reader = image_reader(settings, LabelStudio("http://127.0.0.1:9", "0" * 40))
    image = reader.read(fact["project"], fact["task"], fact["data"], parse(project.label_config))
    assert (image == picture(fact["task"])[0]).all()


def test_a_training_goes_on_from_its_checkpoint(settings: Settings) -> None:
    fact = EXPECTED["checkpoint"]
    store = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    preprocessing = PreprocessingSettings(**fact["preprocessing"])
    training, validation = (
        [make_example(key, *picture(task), preprocessing) for key, task in fact[side]]
        for side in ("training", "validation")
    )
    start, _ = load_version(store.get(fact["start_weights"]))
    told: list[Progress] = []
    train(
        training,
        validation,
        labels=("Bone", "Joint"),
        network=start.settings,
        settings=TrainingSettings(**fact["settings"], loss=LossWeights(), balanced=False),
        start=start,
        checkpoints=settings.checkpoint_dir / "run-5" / "checkpoint",
        progress=told.append,
    )
    assert [one.step for one in told] == fact["steps_when_resumed"]
    # The draws of augmentation have changed since, so losses are only near to those of then.
    assert [one.loss for one in told] == pytest.approx(fact["losses_when_resumed"], abs=0.02)


@pytest.mark.slow
def test_every_queued_job_still_runs(settings: Settings) -> None:
    assert set(EXPECTED["jobs"].values()) == set(FORMER_NAMES)
    assert set(FORMER_NAMES.values()) == set(KINDS) - {
        ACT,
        CONFIRM,
        EXAMINE,
        NOTIFY,
        PRUNE,
        REDRAW,
        SCORE_DUE,
        SEND,
    }
    database = Database(settings.effective_database_url)
    # Jobs of an archived project end without a call to Label Studio, which has no such project here.
    lifecycle.archive(database, 1)
    database.close()
    environment = {**os.environ, "MODEL_DIR": str(settings.model_dir), "LABEL_STUDIO_API_KEY": "0" * 40}
    environment |= {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "RECONCILE_SECONDS": "0"}
    server = EmbeddedRedis(settings.redis_dir)
    try:
        queues = JobQueues(client_of(socket_url(server.socket)))
        waiting = [
            job_id
            for queue in queues.all()
            for job_id in (*queue.get_job_ids(), *ScheduledJobRegistry(queue=queue).get_job_ids())
        ]
        assert sorted(waiting) == sorted(EXPECTED["jobs"])
        done = subprocess.run(
            [sys.executable, "-c", WORK],
            env=environment,
            cwd=HERE.parents[2],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert queues.depths() == dict.fromkeys(queues.depths(), 0), done.stderr
        assert queues.failed() == dict.fromkeys(queues.failed(), 0), done.stderr
        queues.redis.close()
    finally:
        server.leave()
