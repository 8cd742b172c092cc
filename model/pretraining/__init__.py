"""Pre-training on phantoms alone: examples drawn without end, and the recipe that learns from them."""

from model.pretraining.recipe import PretrainingSettings, pretrain
from model.pretraining.source import PhantomSource

__all__ = ["PhantomSource", "PretrainingSettings", "pretrain"]
