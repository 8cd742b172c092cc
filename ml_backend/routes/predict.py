"""POST /predict: masks and scores of the published version, one answer a task, in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, jsonify
from redis.exceptions import RedisError

from ml_backend.metrics import Metrics
from ml_backend.queue import JobQueues
from ml_backend.routes.payloads import PredictCall, read
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore

if TYPE_CHECKING:
    from ml_backend.prediction import Predictor

logger = logging.getLogger(__name__)

Answers = list[list[dict[str, Any]]]


def blueprint(settings: Settings, database: Database, queues: JobQueues, metrics: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("predict", __name__)
    lazy = LazyPredictor(settings, database)

    @routes.post("/predict")
    def predict() -> Response:
        deadline = time.monotonic() + settings.predict_seconds
        call = read(PredictCall)
        project_id = _project_of(call)
        answers: Answers = [[] for _ in call.tasks]
        if call.tasks and project_id is not None:
            answers = _predict(lazy, call.tasks, project_id, deadline)
            if not all(answers):
                _leave_to_job(queues, project_id)
        answered = sum(bool(answer) for answer in answers)
        metrics.predictions.labels("given").inc(answered)
        metrics.predictions.labels("left").inc(len(answers) - answered)
        return jsonify(results=answers)

    return routes


class LazyPredictor:
    """Makes the predictor when first asked for it, so that a service that only listens never loads torch."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = threading.Lock()
        self._predictor: Predictor | None = None

    def get(self) -> Predictor:
        """The one predictor of this process."""
        with self._lock:
            if self._predictor is None:
                from ml_backend.prediction import Predictor

                store = WeightStore(self._settings.effective_store_url, self._settings.weights_cache_dir)
                self._predictor = Predictor(self._settings, self._database, store)
            return self._predictor


def _project_of(call: PredictCall) -> int | None:
    if call.project is not None:
        return call.project
    named = call.tasks[0].get("project") if call.tasks else None
    return named if isinstance(named, int) else None


def _predict(
    lazy: LazyPredictor, tasks: Sequence[dict[str, Any]], project_id: int, deadline: float
) -> Answers:
    """One answer a task; `[]`, which makes Label Studio skip the task, for all if prediction fails.

    Label Studio drops every answer of a call that fails, and shows nobody why.
    """
    try:
        answers = lazy.get().predict(list(tasks), project_id, deadline)
    except Exception:
        logger.exception("Prediction failed for project %d [%s]", project_id, g.request_id)
        return [[] for _ in tasks]
    if len(answers) != len(tasks):
        logger.error("The predictor gave %d answers to %d tasks [%s]", len(answers), len(tasks), g.request_id)
        return [[] for _ in tasks]
    return answers


def _leave_to_job(queues: JobQueues, project_id: int) -> None:
    try:
        queues.request_score_new(project_id)
    except RedisError:
        logger.warning("Redis does not answer; tasks of project %d stay without scores.", project_id)
