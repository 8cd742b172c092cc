"""POST /predict: masks and scores of the published version, one answer a task, in time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, jsonify
from redis.exceptions import RedisError

from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore
from ml_backend.web.payloads import PredictCall, read
from ml_backend.web.prometheus import Metrics

if TYPE_CHECKING:
    from ml_backend.score.prediction import Predictor

logger = logging.getLogger(__name__)

Answers = list[list[dict[str, Any]]]


def blueprint(settings: Settings, database: Database, queues: JobQueues, metrics: Metrics) -> Blueprint:
    """The route."""
    routes = Blueprint("predict", __name__)
    answering = Answering(settings, database, queues)

    @routes.post("/predict")
    def predict() -> Response:
        deadline = time.monotonic() + settings.predict_seconds
        call = read(PredictCall)
        project_id = _project_of(call)
        answers: Answers = [[] for _ in call.tasks]
        if call.tasks and project_id is not None:
            answers = answering.answer(call.tasks, project_id, deadline, request_id=g.request_id)
        answered = sum(bool(answer) for answer in answers)
        metrics.predictions.labels("given").inc(answered)
        metrics.predictions.labels("left").inc(len(answers) - answered)
        return jsonify(results=answers)

    return routes


class Answering:
    """Answers with the one predictor of this process.

    It is made when first asked for, so that a service that only listens never loads torch.
    """

    def __init__(self, settings: Settings, database: Database, queues: JobQueues) -> None:
        self._settings = settings
        self._database = database
        self._queues = queues
        self._lock = threading.Lock()
        self._predictor: Predictor | None = None

    def answer(
        self, tasks: Sequence[dict[str, Any]], project_id: int, deadline: float, *, request_id: str = ""
    ) -> Answers:
        """One answer a task, in their order; what gets none in time is left to a job.

        `[]` makes Label Studio skip a task, and is the answer to all if prediction fails: Label Studio drops
        every answer of a call that fails, and shows nobody why. The log names the cause by `request_id`.
        """
        answers = self._predict(tasks, project_id, deadline, request_id)
        if not all(answers):
            _leave_to_job(self._queues, project_id)
        return answers

    def _predict(
        self, tasks: Sequence[dict[str, Any]], project_id: int, deadline: float, request_id: str
    ) -> Answers:
        try:
            answers = self._get().predict(list(tasks), project_id, deadline)
        except Exception:
            logger.exception("Prediction failed for project %d [%s]", project_id, request_id)
            return [[] for _ in tasks]
        if len(answers) != len(tasks):
            logger.error(
                "The predictor gave %d answers to %d tasks [%s]", len(answers), len(tasks), request_id
            )
            return [[] for _ in tasks]
        return answers

    def _get(self) -> Predictor:
        with self._lock:
            if self._predictor is None:
                from ml_backend.score.prediction import Predictor

                store = WeightStore(self._settings.effective_store_url, self._settings.weights_cache_dir)
                self._predictor = Predictor(self._settings, self._database, store)
            return self._predictor


def _project_of(call: PredictCall) -> int | None:
    if call.project is not None:
        return call.project
    named = call.tasks[0].get("project") if call.tasks else None
    return named if isinstance(named, int) else None


def _leave_to_job(queues: JobQueues, project_id: int) -> None:
    try:
        queues.request_score_new(project_id)
    except RedisError:
        logger.warning("Redis does not answer; tasks of project %d stay without scores.", project_id)
