"""GET /metrics: request counters of all serving processes, and the state of the database and the queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from ml_backend.queue.queues import JobQueues
from ml_backend.store import agreements, edits, projects, runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.label_figures import label_figures
from ml_backend.store.models import Version, VersionState

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 60.0)


class Metrics:
    """The metrics: counters of the serving processes, and the state that all processes share."""

    def __init__(self, database: Database, queues: JobQueues, shared: Path | None = None) -> None:
        """If several processes serve, `shared` is the folder with the counters of all of them."""
        self._own = CollectorRegistry()
        self._shared = shared
        self._state = StateCollector(database, queues)
        self.latency = Histogram(
            "dsal_request_seconds",
            "Time taken to answer.",
            ("route", "status"),
            registry=self._own,
            buckets=LATENCY_BUCKETS,
        )
        self.events = Counter("dsal_events", "Webhook events received.", ("action",), registry=self._own)
        self.predictions = Counter(
            "dsal_predictions", "Tasks in /predict calls.", ("answer",), registry=self._own
        )

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        state = CollectorRegistry()
        state.register(self._state)
        requests = self._own
        if self._shared is not None:
            requests = CollectorRegistry()
            MultiProcessCollector(requests, path=str(self._shared))
        return generate_latest(requests) + generate_latest(state)


class StateCollector(Collector):
    """Reads trainings, versions and queues at each scrape, as no single process knows them."""

    def __init__(self, database: Database, queues: JobQueues) -> None:
        self._database = database
        self._queues = queues

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The current numbers; queues are left out while Redis does not answer."""
        with self._database.read() as session:
            trainings, known = runs.count(session), versions.count(session)
            agreed = agreements.summaries(session)
            helps = {
                project.id: edits.helps(session, project.id) for project in projects.all_projects(session)
            }
            published = versions.in_state(session, VersionState.PUBLISHED)
            masks = {version.project_id: scores.shown(session, version.id) for version in published}
        yield _family("dsal_trainings", "Trainings by state.", "state", trainings)
        yield _family("dsal_versions", "Versions by state.", "state", known)
        yield _family(
            "dsal_annotator_agreement",
            "Mean Dice between the annotators of a task, over the tasks that several have annotated.",
            "project",
            {project: summary.dsc for project, summary in agreed.items()},
        )
        yield from _help_families(helps)
        yield from _mask_families(published, masks)
        try:
            waiting, failed = self._queues.depths(), self._queues.failed()
        except RedisError:
            return
        yield _family("dsal_jobs_waiting", "Jobs waiting by queue.", "queue", waiting)
        yield _family("dsal_jobs_failed", "Jobs failed for good by queue.", "queue", failed)


def _mask_families(
    published: Sequence[Version], masks: Mapping[int, scores.ShownCounts]
) -> Iterator[GaugeMetricFamily]:
    """The masks of the published versions: how many are shown, and how good each label is."""
    shown = GaugeMetricFamily(
        "dsal_masks",
        "Masks of the published version: drawn; hidden, as they are below MASK_FLOOR; blank.",
        labels=("project", "shown"),
    )
    for project, one in masks.items():
        for kind, count in (("drawn", one.drawn), ("hidden", one.hidden), ("blank", one.blank)):
            shown.add_metric((str(project), kind), count)
    yield shown
    labels = ("project", "label")
    dsc = GaugeMetricFamily(
        "dsal_label_dsc", "Validation Dice of a label under the published version.", labels=labels
    )
    images = GaugeMetricFamily(
        "dsal_label_images",
        "Validation images that contain a label; fewer than 5 tell little.",
        labels=labels,
    )
    for version in published:
        for figure in label_figures(version):
            key = (str(version.project_id), figure.label)
            images.add_metric(key, figure.images)
            if figure.dsc is not None:
                dsc.add_metric(key, figure.dsc)
    yield dsc
    yield images


def _family(name: str, text: str, label: str, values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, number in values.items():
        family.add_metric((str(value),), number)
    return family


def _help_families(helps: Mapping[int, Mapping[str | None, edits.Help]]) -> Iterator[GaugeMetricFamily]:
    """How much the masks of each version helped its annotators."""
    by_version = ("project", "version")
    counts = GaugeMetricFamily(
        "dsal_annotations", "Annotations by how they came to be.", labels=(*by_version, "provenance")
    )
    dsc = GaugeMetricFamily(
        "dsal_edit_dsc",
        "Median Dice of the shown and the submitted mask; label is empty for the mean over labels.",
        labels=(*by_version, "label"),
    )
    path = GaugeMetricFamily(
        "dsal_edit_added_path_pixels", "Median added path length of an annotation.", labels=by_version
    )
    time = GaugeMetricFamily("dsal_annotation_seconds", "Median time of an annotation.", labels=by_version)
    for project, versions_helped in helps.items():
        for version, found in versions_helped.items():
            names = (str(project), version or "")
            for provenance, count in found.provenances.items():
                counts.add_metric((*names, provenance.value), count)
            for label, value in {"": found.dsc, **found.per_label}.items():
                if value is not None:
                    dsc.add_metric((*names, label), value)
            if found.added_path is not None:
                path.add_metric(names, found.added_path)
            if found.lead_time is not None:
                time.add_metric(names, found.lead_time)
    yield from (counts, dsc, path, time)


def blueprint(counters: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(counters.page(), content_type=CONTENT_TYPE_LATEST)

    return routes
