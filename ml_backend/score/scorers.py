"""The scorer of a job: what it takes from the context, the labeling config and the project, in one place."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.blind import BlindTasks
from ml_backend.score.by_network import NetworkScorer
from ml_backend.score.prediction import (
    Loader,
    Scored,
    Scorer,
    Tasks,
    at_random,
    load_segmenter,
    without_mask,
)
from ml_backend.store import projects
from ml_backend.store.models import Version


def scorer_for(
    context: Context,
    version: Version,
    *,
    config: LabelConfig | None = None,
    load: Loader | None = None,
) -> Scorer:
    """A scorer of tasks by a version as the project is configured now; at random without weights, seeded.

    Args:
        context: of the job.
        version: its weights and its strategy; it need not be stored.
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
    if version.weights_hash is None:
        return partial(at_random, project.seed)
    segmenter = (load or load_segmenter)(context.settings, context.weights.get(version.weights_hash))
    read = partial(context.images.read, version.project_id)
    score = NetworkScorer.of(segmenter, context.settings, read, version, project.seed, config)
    cached_as = partial(context.images.cached_as, version.project_id)

    def score_as_shown(tasks: Tasks) -> Generator[Scored, None, None]:
        """The same, without the masks of blind tasks, and with the name of each image in the cache."""
        with closing(score(tasks)) as found:
            for one in found:
                picture = cached_as(one.task_id, tasks[one.task_id], config)
                yield replace(without_mask(one, blind), picture=picture)

    return score_as_shown
