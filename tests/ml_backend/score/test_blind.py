"""Which tasks are shown without a mask under blind validation."""

from __future__ import annotations

from ml_backend.label_studio.config import default_config, parse
from ml_backend.score.blind import BlindTasks
from ml_backend.settings import Settings
from ml_backend.store import labels_seen, projects
from ml_backend.store.database import Database
from ml_backend.store.models import Part
from model.training.splitting import MOST_VALIDATION

CONFIG = default_config(["Bone"])


def blind(database: Database, settings: Settings, config: str = CONFIG) -> BlindTasks:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=1)
        return BlindTasks.read(session, settings, project, parse(config))


def test_no_task_is_blind_unless_validation_is(database: Database) -> None:
    tasks = blind(database, Settings(validation_fraction=0.5))
    assert not any(number in tasks for number in range(100))


def test_the_share_that_validates_is_blind_and_stays_the_same(database: Database) -> None:
    settings = Settings(validation="blind", validation_fraction=0.2)
    first, again = blind(database, settings), blind(database, settings)
    tasks = [number for number in range(1000) if number in first]
    assert 150 < len(tasks) < 250
    assert tasks == [number for number in range(1000) if number in again]


def test_the_labeling_config_decides_before_the_setting(database: Database) -> None:
    knob = CONFIG.replace("<BrushLabels ", '<BrushLabels model_validation="blind" ')
    assert knob != CONFIG
    tasks = blind(database, Settings(validation_fraction=0.5), knob)
    assert any(number in tasks for number in range(100))


def test_labelled_tasks_keep_their_side_and_enough_blind_tasks_are_enough(database: Database) -> None:
    settings = Settings(validation="blind", validation_fraction=0.5)
    sides = dict.fromkeys(range(MOST_VALIDATION), Part.VALIDATION) | {50: Part.TRAINING}
    with database.write() as session:
        projects.ensure(session, 3, seed=1)
        labels_seen.extend_split(session, 3, sides)
    tasks = blind(database, settings)
    assert 0 in tasks
    assert 50 not in tasks
    assert not any(number in tasks for number in range(51, 500))
