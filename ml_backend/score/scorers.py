"""The scorer of a job: what it takes from the context, the labeling config and the project, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.blind import BlindTasks
from ml_backend.score.prediction import Loader, Scorer, scorer
from ml_backend.store import projects
from ml_backend.store.models import Version


def scorer_for(
    context: Context,
    version: Version,
    data: Mapping[int, Mapping[str, Any]] | None = None,
    *,
    config: LabelConfig | None = None,
    load: Loader | None = None,
) -> Scorer:
    """A function that scores (task id, task data) by a version as the project is configured now.

    Args:
        context: of the job.
        version: its weights and its strategy; it need not be stored.
        data: of the tasks that will be scored, in this order: their images are read ahead. None reads each
            image when its task is scored.
        config: the labeling config, if it has just been read.
        load: gives the segmenter of (settings, folder); None loads it.

    Raises:
        LabelConfigError: the labeling config has no usable tag for masks.
        LabelStudioError: the project cannot be read.
        WeightStoreError: the weights cannot be read.
    """
    config = config or context.read_config(version.project_id)
    with context.database.read() as session:
        project = projects.get(session, version.project_id)
        assert project is not None  # guaranteed by read_config
        blind = BlindTasks.read(session, context.settings, project, config)
    return scorer(
        context.settings,
        context.weights,
        context.images,
        version,
        project.seed,
        config,
        blind,
        load=load,
        upcoming=data,
    )
