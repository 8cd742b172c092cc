"""What /predict answers: one list a task, in time, from the published version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.score.prediction import load_segmenter
from ml_backend.score.predictor import Predictor
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import VersionState
from ml_backend.store.weights import WeightStore
from model.consistency import consistency
from model.training.splitting import placement
from tests.file_server import serve_folder
from tests.ml_backend.score.untrained import save_untrained

PROJECT = 3
LONG = 600.0


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)


@pytest.fixture
def address(tmp_path: Path, image: NDArray[np.uint8]) -> Iterator[str]:
    """The folder of a web server that holds x.png and broken.png."""
    folder = tmp_path / "web"
    folder.mkdir()
    cv2.imwrite(str(folder / "x.png"), image)
    (folder / "broken.png").write_bytes(b"no image")
    with serve_folder(folder) as url:
        yield url


class Place:
    """A database with one project, and the predictor that works on it."""

    def __init__(self, folder: Path, labels: tuple[str, ...], **settings: float) -> None:
        self.settings = Settings.model_validate(
            {
                "model_dir": folder / "data",
                "label_studio_api_key": "none",
                "mask_floor": 0,
                "smallest_region": 0,
                "max_regions": 200,
                **settings,
            }
        )
        self.database = Database(self.settings.effective_database_url)
        self.weights = WeightStore(self.settings.effective_store_url, self.settings.weights_cache_dir)
        self.predictor = Predictor(self.settings, self.database, self.weights)
        self.folder = folder
        with self.database.write() as session:
            project = projects.ensure(session, PROJECT, seed=5)
            projects.set_label_config(session, project, default_config(labels))

    def publish(self, round: int, weights_hash: str | None, labels: tuple[str, ...]) -> str:
        """Publish a version and return its name."""
        with self.database.write() as session:
            project = projects.ensure(session, PROJECT, seed=5)
            version = versions.create(
                session,
                project,
                round=round,
                state=VersionState.SCORING,
                labels=labels,
                weights_hash=weights_hash,
            )
            versions.publish(session, version)
            return version.name

    def store(self, labels: tuple[str, ...]) -> str:
        """Store the weights of an untrained network for these labels; returns their hash."""
        return self.weights.put(save_untrained(self.folder / "version", labels))

    def predict(self, tasks: list[dict[str, Any]], seconds: float = LONG) -> list[list[dict[str, Any]]]:
        return self.predictor.predict(tasks, PROJECT, time.monotonic() + seconds)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, ("Bone", "Nail"))
    yield made
    made.database.close()


def tasks(*addresses: str) -> list[dict[str, Any]]:
    return [{"id": number, "data": {"image": one}} for number, one in enumerate(addresses, start=1)]


def note(region: dict[str, Any]) -> str:
    """What the editor shows while a region is selected."""
    return str(region["meta"]["text"][0])


def test_nothing_is_answered_before_there_is_a_version(place: Place) -> None:
    assert place.predict(tasks("a", "b")) == [[], []]
    assert place.predictor.predict(tasks("a"), 99, time.monotonic() + LONG) == [[]]


def test_before_the_first_training_there_is_a_seeded_random_score_and_no_mask(place: Place) -> None:
    name = place.publish(0, None, ("Bone", "Nail"))
    expected = [
        [{"result": [], "score": placement(f"task {number}", 5), "model_version": name}] for number in (1, 2)
    ]
    assert place.predict(tasks("http://127.0.0.1:1/gone.png", "b")) == expected


def test_masks_and_scores_are_those_of_the_segmenter(
    place: Place, address: str, image: NDArray[np.uint8]
) -> None:
    weights_hash = place.store(("Bone", "Nail"))
    name = place.publish(1, weights_hash, ("Bone", "Nail"))
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    found = load_segmenter(place.settings, place.weights.get(weights_hash)).segment([image])[0]
    assert answer["model_version"] == name
    assert answer["score"] == pytest.approx(found.consistency.score)
    drawn = label_map(answer["result"], parse(default_config(["Bone", "Nail"])), (70, 90)).label_map
    assert found.final.any()
    assert drawn is not None
    assert np.array_equal(drawn, found.final)
    assert all("Estimated DSC as drawn: roughly 0." in note(region) for region in answer["result"])


def test_labels_are_matched_by_name(place: Place, address: str, image: NDArray[np.uint8]) -> None:
    """The version knows the labels in another order, and one that the labeling config no longer has."""
    weights_hash = place.store(("Nail", "Ring", "Bone"))
    place.publish(1, weights_hash, ("Nail", "Ring", "Bone"))
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    found = load_segmenter(place.settings, place.weights.get(weights_hash)).segment([image])[0]
    lower, middle, final = (
        np.select([mask == 1, mask == 3], [2, 1], 0).astype(np.uint8)
        for mask in (found.lower, found.middle, found.final)
    )
    drawn = label_map(answer["result"], parse(default_config(["Bone", "Nail"])), (70, 90)).label_map
    assert drawn is not None
    assert np.array_equal(drawn, final)
    largest = next(one for one in answer["result"] if one["value"]["brushlabels"] == ["Bone"])
    inside = label_map([largest], parse(default_config(["Bone", "Nail"])), (70, 90)).label_map == 1
    assert largest["score"] == pytest.approx(found.probabilities[3][inside].mean(), abs=0.01)
    # The score is that of the masks that are drawn, not of a label that nobody can see.
    assert answer["score"] == pytest.approx(consistency(lower, middle, final, 2).score)


def test_the_labeling_config_decides_form_threshold_and_names(
    place: Place, address: str, image: NDArray[np.uint8]
) -> None:
    """The version learned Bone as Tibia; the config asks for bitmasks of all that is likelier than 0.2."""
    weights_hash = place.store(("Nail", "Tibia"))
    place.publish(1, weights_hash, ("Nail", "Tibia"))
    xml = (
        '<View><Image name="image" value="$image"/><BitmaskLabels name="mask" toName="image" '
        'model_threshold="0.2"><Label value="Bone" predicted_values="Tibia"/></BitmaskLabels></View>'
    )
    with place.database.write() as session:
        projects.set_label_config(session, projects.ensure(session, PROJECT, seed=5), xml)
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    segmenter = load_segmenter(place.settings, place.weights.get(weights_hash))
    (found,) = segmenter.segment([image], threshold=0.2)
    (usual,) = segmenter.segment([image])
    assert not np.array_equal(found.final, usual.final)
    lower, middle, final = ((mask == 2).astype(np.uint8) for mask in (found.lower, found.middle, found.final))
    assert answer["score"] == pytest.approx(consistency(lower, middle, final, 1).score)
    assert {region["type"] for region in answer["result"]} == {"bitmasklabels"}
    drawn = label_map(answer["result"], parse(xml), (70, 90)).label_map
    assert drawn is not None
    assert np.array_equal(drawn, final)


def test_a_task_that_cannot_be_read_is_left_out_and_the_others_are_answered(
    place: Place, address: str
) -> None:
    place.publish(1, place.store(("Bone", "Nail")), ("Bone", "Nail"))
    good, broken, gone = (f"{address}/{name}.png" for name in ("x", "broken", "gone"))
    asked = [*tasks(broken, good, gone), {"id": 8, "data": {}}, {"id": 9, "data": {"image": good}}]
    assert [len(answer) for answer in place.predict(asked)] == [0, 1, 0, 0, 1]


def test_what_does_not_fit_the_time_is_left_out(place: Place, address: str) -> None:
    place.publish(1, place.store(("Bone", "Nail")), ("Bone", "Nail"))
    assert place.predict(tasks(*[f"{address}/x.png"] * 5), seconds=-1) == [[]] * 5


def test_a_new_version_answers_at_once(place: Place, address: str) -> None:
    place.publish(0, None, ("Bone", "Nail"))
    place.predict(tasks(f"{address}/x.png"))
    name = place.publish(1, place.store(("Bone", "Nail")), ("Bone", "Nail"))
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    assert answer["model_version"] == name


def test_an_unusable_labeling_config_answers_nothing(place: Place) -> None:
    place.publish(0, None, ("Bone", "Nail"))
    with place.database.write() as session:
        project = projects.ensure(session, PROJECT, seed=5)
        projects.set_label_config(session, project, "<View/>")
    assert place.predict(tasks("a", "b")) == [[], []]


def test_a_mask_below_the_floor_keeps_its_score_and_loses_its_regions(
    place: Place, address: str, tmp_path: Path
) -> None:
    """An untrained network finds something in the image; nobody should have to correct it."""
    weights_hash = place.store(("Bone", "Nail"))
    place.publish(1, weights_hash, ("Bone", "Nail"))
    ((shown,),) = place.predict(tasks(f"{address}/x.png"))
    strict = Place(tmp_path / "strict", ("Bone", "Nail"), mask_floor=0.5)
    strict.publish(1, strict.store(("Bone", "Nail")), ("Bone", "Nail"))
    ((hidden,),) = strict.predict(tasks(f"{address}/x.png"))
    strict.database.close()
    assert len(shown["result"]) > 20
    assert hidden == {**shown, "result": []}


def test_the_labeling_config_sets_the_floor_of_its_project(place: Place, address: str) -> None:
    place.publish(1, place.store(("Bone", "Nail")), ("Bone", "Nail"))
    xml = default_config(("Bone", "Nail")).replace("<BrushLabels ", '<BrushLabels model_mask_floor="0.9" ')
    with place.database.write() as session:
        projects.set_label_config(session, projects.ensure(session, PROJECT, seed=5), xml)
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    assert answer["result"] == []
    assert answer["score"] > 0


def test_a_shown_mask_has_no_shreds_and_its_score_is_that_of_the_mask_as_drawn(
    address: str, image: NDArray[np.uint8], tmp_path: Path
) -> None:
    tidy = Place(tmp_path / "tidy", ("Bone", "Nail"), smallest_region=0.01, max_regions=3)
    weights_hash = tidy.store(("Bone", "Nail"))
    tidy.publish(1, weights_hash, ("Bone", "Nail"))
    ((answer,),) = tidy.predict(tasks(f"{address}/x.png"))
    found = load_segmenter(tidy.settings, tidy.weights.get(weights_hash)).segment([image])[0]
    tidy.database.close()
    assert 0 < len(answer["result"]) <= 6
    assert answer["score"] == pytest.approx(found.consistency.score)


def test_a_task_at_which_something_unforeseen_fails_is_left_out_too(place: Place, address: str) -> None:
    place.publish(1, place.store(("Bone", "Nail")), ("Bone", "Nail"))
    good = {"image": f"{address}/x.png"}
    asked: list[dict[str, Any]] = [{"id": 1, "data": good}, {"id": {}, "data": good}, {"data": good}]
    asked += [{"id": 4}, {"id": 5, "data": None}, {"id": 6, "data": {"image": {"a": [2**70]}}}]
    asked += [{"id": 7, "data": {"image": "\ud83d\0"}}, {"id": 8, "data": good}]
    assert [len(answer) for answer in place.predict(asked)] == [1, 0, 0, 0, 0, 0, 0, 1]


def test_a_damaged_cache_of_weights_heals_by_itself(place: Place, address: str) -> None:
    key = place.store(("Bone", "Nail"))
    place.publish(1, key, ("Bone", "Nail"))
    cached = place.weights.get(key) / "weights.safetensors"
    cached.write_bytes(cached.read_bytes()[:100])
    ((answer,),) = place.predict(tasks(f"{address}/x.png"))
    assert 0 <= answer["score"] <= 1
