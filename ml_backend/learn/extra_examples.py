"""Sources of further examples, which join a training beside the labelled images; none by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.store.models import Version
from model.imaging.preprocessing import PreprocessingSettings
from model.training.dataset import Example


class ExtraExamples(Protocol):
    """Gives further examples to a training."""

    def __call__(
        self,
        context: Context,
        champion: Version | None,
        config: LabelConfig,
        preprocessing: PreprocessingSettings,
        labelled: int,
    ) -> list[Example]:
        """Examples for a training.

        Must return the same examples when a training resumes after a kill. Otherwise a training with
        LEARN_FROM=0 restarts, and any other counts them as new.

        Args:
            context: of the training's job.
            champion: the published version, if its weights are available.
            config: the project's labeling config.
            preprocessing: how the network's images are prepared.
            labelled: number of labelled tasks on the training side.
        """


EXTRA_EXAMPLES: dict[str, ExtraExamples] = {}
"""Sources by name; a version's metrics give the number of examples from each under that name."""


def extra_examples(name: str) -> Callable[[ExtraExamples], ExtraExamples]:
    """Register a function as a source; importing its module is enough to use it."""

    def register(function: ExtraExamples) -> ExtraExamples:
        EXTRA_EXAMPLES[name] = function
        return function

    return register
