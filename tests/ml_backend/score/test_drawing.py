"""Which masks are shown, what counts as their quality, and how it is said."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from ml_backend.score.drawing import Drawing, Quality, in_words, project_floor
from ml_backend.settings import Settings
from ml_backend.store import projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Score, Version, VersionState
from ml_backend.store.scores import ShownCounts
from ml_backend.store.version_names import CALIBRATION
from model.consistency import Consistency
from model.quality import calibrate
from model.strategies import Measurement


def measured(confidence: float, *, blank: bool = False) -> Measurement:
    """A measurement of this confidence."""
    agreement = Consistency(confidence, confidence, confidence, blank)
    return Measurement("1", agreement, 0.1, 1 - confidence, np.zeros(1, np.float32))


def version(labels_used: int = 0, **metrics: object) -> Version:
    return Version(name="p3-r001-brave-otter", labels_used=labels_used, metrics=metrics)


def drawing(version: Version, **settings: object) -> Drawing:
    return Drawing.of(Settings.model_validate(settings), version)


def hides(version: Version, confidence: float, **settings: object) -> bool:
    shown = drawing(version, **settings)
    return shown.hides(shown.quality.estimate(measured(confidence)))


def test_with_a_calibration_each_mask_has_its_own_estimate() -> None:
    calibration = calibrate([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.6, 0.8, 0.9])
    assert calibration is not None
    trained = version(20, validation_dsc=0.52, validation_images=5, **{CALIBRATION: asdict(calibration)})
    assert hides(trained, 0.55)
    assert not hides(trained, 0.75)
    assert not hides(trained, 0.55, mask_floor=0.1)
    assert Quality.of(trained).margin == calibration.margin


@pytest.mark.parametrize(("images", "dsc", "hidden"), [(2, 0.09, True), (2, 0.8, False), (20, 0.09, True)])
def test_without_one_the_validation_images_decide(images: int, dsc: float, hidden: bool) -> None:
    """The first version that was ever seen: eight steps, DSC 0.09, and nothing but shreds."""
    trained = version(11, validation_dsc=dsc, validation_images=images)
    assert hides(trained, 0.65) is hidden
    assert Quality.of(trained).margin is None


def test_without_validation_images_the_confidence_decides() -> None:
    """Weights that learned nothing of a project look certain of foreign images too; trained ones do not."""
    assert hides(version(), 0.73), "the most that a nucleus got from the weights for hands"
    assert not hides(version(), 0.89), "the least that a hand got from them"
    assert hides(version(8), 0.4)
    assert not hides(version(8), 0.73)
    assert not hides(version(), 0.1, mask_floor=0)


def test_a_blank_mask_is_not_hidden() -> None:
    shown = drawing(version())
    assert shown.quality.estimate(measured(0.0, blank=True)) is None
    assert not shown.hides(None)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            ShownCounts(0, 30, 0, 0.09),
            "V orders the tasks but draws no masks: estimated DSC 0.09 is below MASK_FLOOR 0.5.",
        ),
        (
            ShownCounts(0, 30, 2, 0.09),
            "V orders the tasks but draws no masks: estimated DSC 0.09 is below MASK_FLOOR 0.5; "
            "it finds nothing on 2.",
        ),
        (
            ShownCounts(120, 60, 20, 0.314),
            "V draws masks on 120 of 200 tasks: 60 are below MASK_FLOOR 0.5 (estimated DSC 0.31 on average); "
            "it finds nothing on 20.",
        ),
        (ShownCounts(0, 0, 3, None), "V draws masks on 0 of 3 tasks: it finds nothing on 3."),
        (ShownCounts(5, 0, 0, None), "V draws masks on 5 of 5 tasks."),
    ],
)
def test_why_masks_are_missing_is_one_sentence(shown: ShownCounts, sentence: str) -> None:
    assert in_words(Version(name="V"), shown, 0.5) == sentence


def test_hidden_masks_are_told_from_blank_ones_in_the_database(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        made = versions.create(session, project, round=0, state=VersionState.SCORING)
        known = {"l_dsc": 0.5, "m_dsc": 0.5, "version_id": made.id}
        session.add_all(
            [
                Score(task_id=1, hidden=True, quality=0.1, **known),
                Score(task_id=2, hidden=True, quality=0.3, **known),
                Score(task_id=3, blank=True, **known),
                Score(task_id=4, quality=0.9, **known),
                Score(task_id=5, version_id=made.id),
                Score(task_id=6, version_id=made.id, error="It is gone."),
            ]
        )
        session.flush()
        found = scores.shown(session, made.id)
    assert (found.drawn, found.hidden, found.blank) == (1, 2, 1)
    assert found.hidden_quality == pytest.approx(0.2)


def test_the_floor_of_a_project_is_that_of_its_labeling_config() -> None:
    settings = Settings.model_validate({"mask_floor": 0.7})
    tag = '<BrushLabels name="m" toName="image"{}><Label value="A"/></BrushLabels>'
    view = f'<View><Image name="image" value="$image"/>{tag}</View>'
    assert project_floor(settings, view.format(' model_mask_floor="0.2"')) == 0.2
    assert project_floor(settings, view.format("")) == 0.7
    assert project_floor(settings, "<View/>") == 0.7
