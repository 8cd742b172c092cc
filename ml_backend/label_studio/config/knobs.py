"""Knobs of a labeling config: ``model_…`` attributes of a control tag, as in Label Studio's YOLO example."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal
from xml.etree import ElementTree

from model.strategies import NAMES, StrategyError, parse

PREFIX = "model_"
SKIP = "model_skip"
"""Attribute of a single control tag: "true" excludes it, so its regions are neither read nor written."""

ANNOTATIONS = ("latest", "majority", "all")
VALIDATION = ("shown", "blind")
OVERLAPS = ("later", "smaller")
MAX_TOLERANCE = 100.0


@dataclass(frozen=True)
class Knobs:
    """The knobs that a labeling config sets for its project, on any control tag that is served.

    Attributes:
        threshold: minimum foreground probability, above 0 and below 1, at which a pixel is drawn; None draws
            the most probable class.
        tolerance: maximum deviation, in pixels of the image, when a polygon or vector outline is simplified.
        annotations: which annotations of a task count: "latest", "majority" or "all"; None defers to the
            settings.
        strategy: the query strategy that orders the project; None defers to the settings.
        validation: how tasks that validate are shown: "shown" or "blind"; None defers to the settings.
        overlap: which of two overlapping regions with different labels gets the pixels: the "later" or the
            "smaller"; None defers to the settings.
        exclude: values of <Choices> tags that exclude a task from training and validation.
        mask_floor: estimated Dice, in [0, 1], below which a mask is not shown; None defers to the settings.
        smallest_region: share of an image's pixels, in [0, 1], below which a part of a shown mask is left
            out and a hole is filled; None defers to the settings.
    """

    threshold: float | None = None
    tolerance: float = 1.0
    annotations: Literal["latest", "majority", "all"] | None = None
    strategy: str | None = None
    validation: Literal["shown", "blind"] | None = None
    overlap: Literal["later", "smaller"] | None = None
    exclude: tuple[str, ...] = ()
    mask_floor: float | None = None
    smallest_region: float | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """The knobs that are set and override the setting of the same name, by name."""
        named = {
            "annotations": self.annotations,
            "strategy": self.strategy,
            "validation": self.validation,
            "overlap": self.overlap,
            "mask_floor": self.mask_floor,
            "smallest_region": self.smallest_region,
        }
        return {name: value for name, value in named.items() if value is not None}


def read_knobs(controls: Iterable[ElementTree.Element]) -> tuple[Knobs, tuple[str, ...]]:
    """The knobs of the given control tags, and one sentence for each unknown, invalid or contradicted one.

    Invalid knobs are not fatal: the default applies. If two tags disagree, the first one counts.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    for control in controls:
        for attribute, text in control.attrib.items():
            name = attribute.lower()
            if not name.startswith(PREFIX) or name == SKIP:
                continue
            tag = f'<{control.tag} name="{control.attrib.get("name", "")}">'
            knob = name.removeprefix(PREFIX)
            if knob not in _READERS:
                known = ", ".join(PREFIX + each for each in (*_READERS, SKIP.removeprefix(PREFIX)))
                faults.append(f"{tag} has an unknown knob {attribute}: the known knobs are {known}.")
                continue
            read, expected = _READERS[knob]
            value = read(text.strip())
            if value is None:
                faults.append(f'{tag} has {attribute}="{text}": give it {expected}.')
            elif values.setdefault(knob, value) != value:
                faults.append(
                    f'{tag} has {attribute}="{text}", but an earlier tag sets {values[knob]}, which '
                    "applies to the whole project: set it once."
                )
    return Knobs(**values), tuple(faults)


def is_skipped(control: ElementTree.Element) -> bool:
    """Whether a control tag is excluded by ``model_skip``."""
    skip = next((text for name, text in control.attrib.items() if name.lower() == SKIP), "")
    return skip.strip().lower() in ("true", "1", "yes")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _threshold(text: str) -> float | None:
    number = _number(text)
    return number if number is not None and 0 < number < 1 else None


def _tolerance(text: str) -> float | None:
    number = _number(text)
    return number if number is not None and 0 <= number <= MAX_TOLERANCE else None


def _fraction(text: str) -> float | None:
    number = _number(text)
    return number if number is not None and 0 <= number <= 1 else None


def _annotations(text: str) -> str | None:
    return text.lower() if text.lower() in ANNOTATIONS else None


def _validation(text: str) -> str | None:
    return text.lower() if text.lower() in VALIDATION else None


def _overlap(text: str) -> str | None:
    return text.lower() if text.lower() in OVERLAPS else None


def _exclude(text: str) -> tuple[str, ...] | None:
    return tuple(value for part in text.split(",") if (value := part.strip())) or None


def _strategy(text: str) -> str | None:
    try:
        return parse(text.lower()).name
    except StrategyError:
        return None


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        "threshold": (_threshold, "a probability above 0 and below 1, such as 0.5"),
        "tolerance": (_tolerance, f"a number of pixels from 0 to {MAX_TOLERANCE:.0f}, such as 1"),
        "annotations": (_annotations, "one of " + ", ".join(ANNOTATIONS)),
        "validation": (_validation, "one of " + ", ".join(VALIDATION)),
        "strategy": (_strategy, "one of " + ", ".join(NAMES) + ", some with +power or +clusters"),
        "overlap": (_overlap, "one of " + ", ".join(OVERLAPS)),
        "exclude": (_exclude, 'a value of a <Choices> tag, such as "bad image"; several with commas'),
        "mask_floor": (_fraction, "a Dice from 0 to 1, such as 0.5"),
        "smallest_region": (_fraction, "a share of the image from 0 to 1, such as 0.0001"),
    }
)
"""Knob → (reader of its text, which returns None if invalid; description of valid values)."""
