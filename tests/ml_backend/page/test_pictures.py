"""The next images: their order, their thumbnails, and the links to their tasks."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient

from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.models import Event, Project
from ml_backend.web.app import Services, create_app
from tests.ml_backend.page.rows import PICTURE
from tests.ml_backend.page.visit import decoded, shown


@pytest.fixture
def picture(settings: Settings) -> Path:
    """A 16-bit image in the cache under the name that the score says."""
    path = settings.image_cache_dir / "3" / PICTURE[:2] / PICTURE
    path.parent.mkdir(parents=True)
    ramp = np.linspace(1000, 3000, 30 * 60).astype(np.uint16).reshape(30, 60)
    path.write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
    return path


def published_id(services: Services) -> int:
    with services.database.read() as session:
        version = versions.published(session, 3)
        assert version is not None
        return version.id


@pytest.mark.usefixtures("project")
def test_the_next_images_come_in_the_served_order_with_a_link(client: FlaskClient) -> None:
    page = shown(client)
    assert re.findall(r"Task (\d+)</span>", page) == ["6", "5", "4", "3", "2", "1"]
    assert "http://localhost:8080/projects/3/data?task=6" in page


def test_links_use_the_address_that_browsers_know(unlocked: Services, project: Project) -> None:
    settings = unlocked.settings.model_copy(update={"label_studio_public_url": "https://ls.example.org/"})
    client = create_app(Services(settings, unlocked.database, unlocked.queues)).test_client()
    assert "https://ls.example.org/projects/3/data?task=6" in shown(client)


def test_a_task_that_was_labelled_a_moment_ago_is_not_next(
    client: FlaskClient, services: Services, project: Project
) -> None:
    with services.database.write() as session:
        session.add(Event(project_id=3, action="ANNOTATION_CREATED", task_ids=[6], changes=["annotation:1"]))
    assert re.findall(r"Task (\d+)</span>", shown(client))[0] == "5"


def test_a_thumbnail_shows_the_mask_over_the_image(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/6")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    drawn = decoded(answer.data).astype(int)
    assert drawn.shape == (30, 60, 3)
    colourful = drawn.max(axis=2) - drawn.min(axis=2)
    assert colourful[8:17, 14:36].mean() > 20 > colourful[24:, 45:].mean()
    again = client.get(answer.request.path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_an_image_that_is_not_cached_or_broken_gives_a_reason(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    picture.write_bytes(b"no image")
    for task in (5, 6, 77):
        answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/{task}")
        assert answer.status_code == 404
        assert '<p class="sentence">' in answer.text


def test_a_thumbnail_is_bounded(
    client: FlaskClient, services: Services, project: Project, picture: Path
) -> None:
    picture.write_bytes(cv2.imencode(".png", np.zeros((900, 3000), np.uint8))[1].tobytes())
    answer = client.get(f"/projects/3/versions/{published_id(services)}/pictures/6")
    assert decoded(answer.data).shape == (72, 240, 3)
