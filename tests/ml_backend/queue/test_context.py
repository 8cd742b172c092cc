"""What jobs do with a labeling config that has changed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.queue.context import Context
from ml_backend.store.weights import WeightStore
from ml_backend.web.app import Services


def context(services: Services, fields: dict[str, Any]) -> Context:
    """A context whose Label Studio answers with these fields of a project."""
    studio = cast(LabelStudio, SimpleNamespace(project=lambda _: fields))
    unused = SimpleNamespace()
    return Context(
        services.settings,
        studio,
        services.database,
        cast(WeightStore, unused),
        services.queues,
        cast(ImageReader, unused),
    )


def waiting(services: Services) -> set[str]:
    """The ids of all waiting jobs."""
    return {job_id for queue in services.queues.all() for job_id in queue.get_job_ids()}


def test_a_change_that_a_job_is_the_first_to_see_requests_a_new_order(services: Services) -> None:
    fields = {"title": "Hands", "label_config": default_config(["Bone"])}
    job = context(services, fields)
    assert job.read_config(3).labels == ("Bone",)
    assert not waiting(services), "the job that makes a project known orders it"

    fields["label_config"] = default_config(["Bone", "Nail"])
    assert job.read_config(3).labels == ("Bone", "Nail")
    assert waiting(services) == {"order-3"}
