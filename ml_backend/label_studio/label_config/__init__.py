"""What a project's labeling config says about masks: which image, control tags, labels and knobs."""

from .config import MAX_LABELS, READ_ONLY, Control, Form, LabelConfig, LabelConfigError
from .default import COLOURS, default_config
from .knobs import Knobs
from .parsing import parse

__all__ = [
    "COLOURS",
    "MAX_LABELS",
    "READ_ONLY",
    "Control",
    "Form",
    "Knobs",
    "LabelConfig",
    "LabelConfigError",
    "default_config",
    "parse",
]
