"""A real Label Studio keeps our masks unchanged and serves uploads only with the token."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.images.cache import ImageCache, ImageUnavailable
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.regions.masks import label_map, results
from tests.ml_backend.label_studio.regions.forms import by_label

LABELS = ("Tibia & co", "Femur")


def test_default_config_masks_and_scores_survive_label_studio(client: LabelStudio, project: int) -> None:
    xml = default_config(LABELS).replace('value="Femur"', 'value="Femur" alias="F"')
    client.patch_project(project, label_config=xml)
    config = parse(client.project(project)["label_config"])
    assert config.labels == ("Tibia & co", "F")

    labels = np.zeros((60, 80), dtype=np.uint8)
    cv2.ellipse(labels, (30, 30), (8, 25), 20, 0, 360, 1, -1)
    cv2.ellipse(labels, (55, 30), (8, 25), -20, 0, 360, 2, -1)
    written = results(labels, config, probabilities=by_label({1: 0.25, 2: 0.75}))
    [task] = client.create_tasks(project, [{"image": "http://localhost:1/a.png"}])
    client.import_predictions(
        project, [{"task": task, "result": written, "score": 0.5, "model_version": "v1"}]
    )
    [prediction] = client.predictions(task)
    assert [region["score"] for region in prediction["result"]] == [0.25, 0.75]

    client.submit_annotation(task, prediction["result"])
    [labelled] = client.labelled_tasks(project)
    reading = label_map(labelled.accepted[0].result, config, labels.shape)
    assert reading.label_map is not None
    np.testing.assert_array_equal(reading.label_map, labels)


def test_an_uploaded_image_is_fetched_with_the_token_and_not_without(
    client: LabelStudio, project: int, tmp_path: Path
) -> None:
    image = cv2.imencode(".png", np.arange(4096, dtype=np.uint8).reshape(64, 64))[1].tobytes()
    client.upload(project, {"a.png": image})
    [task] = client.tasks(project)
    config = parse(client.project(project)["label_config"])

    cache = ImageCache(tmp_path / "one", Downloader(client.credentials), base_url=client.url, project=project)
    assert cache.fetch(task.id, task.data, config) == image

    refused = LabelStudio(client.url, "no").credentials
    anonymous = ImageCache(tmp_path / "two", Downloader(refused), base_url=client.url, project=project)
    with pytest.raises(ImageUnavailable, match="answers HTTP 401"):
        anonymous.fetch(task.id, task.data, config)
