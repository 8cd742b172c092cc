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
from ml_backend.label_studio.config.smart_tags import (
    SMART_NAMES,
    SmartLabels,
    add_smart_tags,
    remove_smart_tags,
    smart_labels,
)

__all__ = [
    "COLOURS",
    "MAX_LABELS",
    "READ_ONLY",
    "SMART_NAMES",
    "Control",
    "Knobs",
    "LabelConfig",
    "LabelConfigError",
    "Role",
    "SmartLabels",
    "add_smart_tags",
    "default_config",
    "parse",
    "remove_smart_tags",
    "smart_labels",
]
