"""Pre-training on phantoms alone: examples drawn without end, and the recipe that learns from them."""

from model.research.pretraining.pretrain import PretrainingSettings, pretrain
from model.research.pretraining.stream import PhantomSource

__all__ = ["PhantomSource", "PretrainingSettings", "pretrain"]
