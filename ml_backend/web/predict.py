"""POST /predict: the published version's mask and score for each task, within a time limit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, g, jsonify
from redis.exceptions import RedisError

from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore
from ml_backend.web.bodies import Bodies
from ml_backend.web.calls import read_call
from ml_backend.web.payloads import PredictCall
from ml_backend.web.prometheus import Metrics

if TYPE_CHECKING:
    from ml_backend.interact.answering import Interaction
    from ml_backend.score.predictor import Predictor

logger = logging.getLogger(__name__)

Answers = list[list[dict[str, Any]]]


def blueprint(
    settings: Settings, database: Database, queues: JobQueues, metrics: Metrics, bodies: Bodies
) -> Blueprint:
    """The route."""
    routes = Blueprint("predict", __name__)
    answering = Answering(settings, database, queues)

    @routes.post("/predict")
    def predict() -> Response:
        deadline = time.monotonic() + settings.predict_seconds
        with read_call(bodies, settings.max_body_bytes, deadline) as call:
            return answered(call, deadline)

    def answered(call: PredictCall, deadline: float) -> Response:
        project_id = _project_of(call)
        if call.context is not None and call.tasks and project_id is not None:
            metrics.predictions.labels("prompted").inc()
            # The editor reads one prediction here, and a list of predictions everywhere else.
            task = call.tasks[0]
            mended = answering.mend(task, call.context, project_id, deadline, request_id=g.request_id)
            return jsonify(results=[mended])
        answers: Answers = [[] for _ in call.tasks]
        if call.tasks and project_id is not None:
            answers = answering.answer(call.tasks, project_id, deadline, request_id=g.request_id)
        answered = sum(bool(answer) for answer in answers)
        metrics.predictions.labels("given").inc(answered)
        metrics.predictions.labels("left").inc(len(answers) - answered)
        return jsonify(results=answers)

    return routes


class Answering:
    """Predicts with one predictor per process.

    It is created on first use, so that a process that gets no /predict call never loads torch.
    """

    def __init__(self, settings: Settings, database: Database, queues: JobQueues) -> None:
        self._settings = settings
        self._database = database
        self._queues = queues
        self._lock = threading.Lock()
        self._predictor: Predictor | None = None
        self._interaction: Interaction | None = None

    def answer(
        self, tasks: Sequence[dict[str, Any]], project_id: int, deadline: float, *, request_id: str = ""
    ) -> Answers:
        """One answer per task, in their order: a list with one prediction, or `[]`.

        `[]` makes Label Studio skip a task; a job then scores it. If prediction fails, every task gets `[]`:
        Label Studio shows an error to nobody. The log has the error, with `request_id`.

        Args:
            tasks: as Label Studio sends them.
            project_id: their project.
            deadline: time on the clock of `time.monotonic` after which tasks are left to a job.
            request_id: id of the request in the log.
        """
        usable = [_is_usable(task) for task in tasks]
        found = iter(self._predict([*compress(tasks, usable)], project_id, deadline, request_id))
        answers: Answers = [next(found) if is_usable else [] for is_usable in usable]
        if not all(answers):
            _request_scores(self._queues, project_id)
        return answers

    def mend(
        self,
        task: dict[str, Any],
        context: dict[str, Any],
        project_id: int,
        deadline: float,
        *,
        request_id: str = "",
    ) -> dict[str, Any]:
        """One prediction for a page with prompts (`ml_backend.interact`); a sentence if it fails."""
        try:
            return self._get_interaction().answer(task, context, project_id, deadline)
        except Exception:
            logger.exception("A prompt failed in project %d [%s]", project_id, request_id)
            # Imported here, where the interaction is loaded: no other request needs it.
            from ml_backend.interact.answering import told

            sentence = f"The ML backend failed; an administrator finds {request_id} in its log."
            return {"result": told(context.get("result"), sentence)}

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
                "The predictor returned %d answers for %d tasks [%s]", len(answers), len(tasks), request_id
            )
            return [[] for _ in tasks]
        return answers

    def _get(self) -> Predictor:
        with self._lock:
            if self._predictor is None:
                from ml_backend.score.predictor import Predictor

                store = WeightStore(self._settings.effective_store_url, self._settings.weights_cache_dir)
                self._predictor = Predictor(self._settings, self._database, store)
            return self._predictor

    def _get_interaction(self) -> Interaction:
        predictor = self._get()
        with self._lock:
            if self._interaction is None:
                from ml_backend.interact.answering import Interaction

                self._interaction = Interaction(
                    self._settings,
                    self._database,
                    self._queues.redis,
                    predictor.segmenters,
                    predictor.reader,
                    predictor.is_shared,
                    predictor.places,
                )
            return self._interaction


def _is_usable(task: dict[str, Any]) -> bool:
    """Whether a task has what a prediction needs, whatever else is wrong with it."""
    return isinstance(task.get("id"), int) and isinstance(task.get("data"), dict)


def _project_of(call: PredictCall) -> int | None:
    if call.project is not None:
        return call.project
    project_id = call.tasks[0].get("project") if call.tasks else None
    return project_id if isinstance(project_id, int) else None


def _request_scores(queues: JobQueues, project_id: int) -> None:
    try:
        queues.request_score_new(project_id)
    except RedisError:
        logger.warning("Redis does not answer; tasks of project %d remain without scores.", project_id)
