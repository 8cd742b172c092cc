"""Variables of earlier releases that are still read, and what they are called now."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

FORMER_NAMES: Mapping[str, str] = MappingProxyType({"HAND_SIZE": "assignment_size"})
"""Deprecated variables that are still read, and the settings that they set."""


def former_names(environment: Mapping[str, str]) -> list[str]:
    """One sentence for each deprecated variable that is set in `environment`."""
    return [
        f"{name} is now called {setting.upper()}: rename it; the former name still works."
        for name, setting in FORMER_NAMES.items()
        if environment.get(name)
    ]


class FormerNames(PydanticBaseSettingsSource):
    """Settings from variables with a former name; a variable with the current name takes precedence."""

    def __call__(self) -> dict[str, Any]:
        """Return {setting: value}, and warn about each former name, once per process."""
        for sentence in former_names(os.environ):
            warnings.warn(sentence, FutureWarning, stacklevel=2)
        return {setting: os.environ[name] for name, setting in FORMER_NAMES.items() if os.environ.get(name)}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Nothing: `__call__` gives all values."""
        return None, field_name, False
