"""Pre-training on phantoms: an endless source of examples, and the training on it (docs/pretraining.md)."""

from model.research.pretraining.pretrain import PretrainingSettings, pretrain
from model.research.pretraining.stream import PhantomSource

__all__ = ["PhantomSource", "PretrainingSettings", "pretrain"]
