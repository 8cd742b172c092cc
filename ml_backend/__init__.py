"""The service around the model: Label Studio, HTTP, the queue, the database and the command line.

Each package is one step of the loop and imports only from packages below it; pyproject.toml has the order,
`docs/design.md` the reasons. The names in `__all__` are the public surface, for those who embed the service;
they are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_backend.label_studio.client import LabelStudio
    from ml_backend.label_studio.config import LabelConfig, LabelConfigError
    from ml_backend.label_studio.config import parse as parse_label_config
    from ml_backend.label_studio.connection import connect
    from ml_backend.label_studio.errors import LabelStudioError
    from ml_backend.label_studio.regions.masks import label_map
    from ml_backend.label_studio.regions.masks import results as regions_of
    from ml_backend.settings import Settings
    from ml_backend.web.app import Services, create_app
    from ml_backend.web.framework import model_class
    from ml_backend.work.worker import run_worker

__all__ = [
    "LabelConfig",
    "LabelConfigError",
    "LabelStudio",
    "LabelStudioError",
    "Services",
    "Settings",
    "connect",
    "create_app",
    "label_map",
    "model_class",
    "parse_label_config",
    "regions_of",
    "run_worker",
]

_MODULES = {
    "LabelStudio": "ml_backend.label_studio.client",
    "LabelConfig": "ml_backend.label_studio.config",
    "LabelConfigError": "ml_backend.label_studio.config",
    "parse_label_config": "ml_backend.label_studio.config",
    "connect": "ml_backend.label_studio.connection",
    "LabelStudioError": "ml_backend.label_studio.errors",
    "label_map": "ml_backend.label_studio.regions.masks",
    "regions_of": "ml_backend.label_studio.regions.masks",
    "Settings": "ml_backend.settings",
    "Services": "ml_backend.web.app",
    "create_app": "ml_backend.web.app",
    "model_class": "ml_backend.web.framework",
    "run_worker": "ml_backend.work.worker",
}
_NAMES = {"parse_label_config": "parse", "regions_of": "results"}
"""Exported names that are other ones in their modules."""


def __getattr__(name: str) -> object:
    """Import an exported name on first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), _NAMES.get(name, name))


def __dir__() -> list[str]:
    """The exported names."""
    return __all__
