"""What a project's labeling config says about masks: its image, control tags, labels and knobs."""

from ml_backend.label_studio.config.knobs import Knobs
from ml_backend.label_studio.config.labeling import (
    COLOURS,
    MAX_LABELS,
    READ_ONLY,
    Control,
    LabelConfig,
    LabelConfigError,
    Role,
    default_config,
)
from ml_backend.label_studio.config.parsing import parse

__all__ = [
    "COLOURS",
    "MAX_LABELS",
    "READ_ONLY",
    "Control",
    "Knobs",
    "LabelConfig",
    "LabelConfigError",
    "Role",
    "default_config",
    "parse",
]
