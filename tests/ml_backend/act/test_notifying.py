"""Notices reach a real HTTP server, say nothing that is secret, and go to no refused address."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from ml_backend.act.notifying import NoticeError, notify, of_failure, of_version, send
from ml_backend.label_studio.client import LabelStudio
from ml_backend.queue.context import Context, JobError, image_reader
from ml_backend.settings import Settings
from ml_backend.store import scores, versions
from ml_backend.store.models import Project, TrainingRun, Version, VersionState
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services
from tests.ml_backend.store.rounds import FLAT, PROJECT, estimate, learned
from tests.receiver import Receiver

HANDS = Project(id=3, title="Hands", seed=0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def test_a_published_version_is_told_as_slack_reads_it(
    receiver: Receiver,
) -> None:
    metrics = {"validation_dsc": 0.912, "validation_images": 8}
    send(receiver.url, of_version(HANDS, Version(id=1, name="p3-r001-x", labels_used=34, metrics=metrics)))
    (message,) = receiver.got
    assert message["text"] == (
        "Project 3 “Hands”: p3-r001-x is published, from 34 labels; validation DSC 0.912 on 8 images."
    )


def test_the_reason_of_a_failure_is_not_told() -> None:
    run = TrainingRun(id=9, message="https://user:secret@pacs/ does not answer")
    assert "secret" not in json.dumps(of_failure(HANDS, run))


@pytest.mark.parametrize("path", ["/broken", "/away"])
def test_an_answer_that_is_no_success_is_tried_again(receiver: Receiver, path: str) -> None:
    with pytest.raises(NoticeError):
        send(receiver.url + path, {"text": "x"})


def test_metadata_addresses_are_refused() -> None:
    with pytest.raises(JobError, match="refused"):
        send("http://169.254.169.254/latest", {"text": "x"})


def test_an_error_does_not_tell_the_address() -> None:
    with pytest.raises(NoticeError) as caught:
        send("http://127.0.0.1:9/hook/secret", {"text": "x"})
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="http"):
        Settings(notify_url="slack")


def look(services: Services, address: str) -> None:
    """Do the job that looks at whether it is time to stop, with this NOTIFY_URL."""
    settings = services.settings.model_copy(update={"notify_url": SecretStr(address)})
    studio = LabelStudio(settings.label_studio_url, "0" * 40)
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    reader = image_reader(settings, studio)
    context = Context(settings, studio, services.database, weights, services.queues, reader)
    notify.__wrapped__(context, project_id=PROJECT)  # type: ignore[attr-defined]


def one_more_round(services: Services) -> Version:
    """Publish a version that is hardly better than the one before."""
    with services.database.write() as session:
        project = session.get_one(Project, PROJECT)
        before = versions.published(session, PROJECT)
        assert before is not None
        dsc = [
            {**each, "dsc": {"Bone": each["dsc"]["Bone"] + 0.0005}} for each in before.metrics["image_dsc"]
        ]
        version = versions.create(
            session,
            project,
            round=before.round + 1,
            state=VersionState.SCORING,
            labels=["Bone"],
            labels_used=before.labels_used + 10,
            metrics=before.metrics | {"image_dsc": dsc},
        )
        versions.publish(session, version)
        scores.plan(session, version.id, range(100, 142), chunk_size=50)
    estimate(services.database, version, 0.9)
    return version


def test_that_it_is_time_to_stop_is_told_once_until_a_round_says_otherwise(
    services: Services, receiver: Receiver
) -> None:
    address = receiver.url
    version = learned(services.database, FLAT, quality=0.6)
    look(services, address)
    assert receiver.events == [], "the unlabelled images look harder"

    estimate(services.database, version, 0.9)
    for refused, error in (("http://169.254.169.254/latest", JobError), (f"{address}/broken", NoticeError)):
        with pytest.raises(error):
            look(services, refused)
    look(services, address)
    look(services, address)
    version = one_more_round(services)
    look(services, address)
    assert receiver.events == ["time-to-stop"]
    assert receiver.got[0]["text"] == (
        "Project 3: time to stop: DSC is 0.902, and labelling on would bring less than 0.01 (90% certain; 40 "
        "tasks are unlabelled)."
    )

    estimate(services.database, version, 0.6)
    look(services, address)
    estimate(services.database, version, 0.9)
    look(services, address)
    look(services, address)
    assert receiver.events == ["time-to-stop"] * 2
