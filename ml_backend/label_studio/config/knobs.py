"""The config's own knobs: ``model_…`` attributes of a control tag, as in Label Studio's YOLO example."""

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
"""Attribute of a single control tag: "true" leaves it alone, neither read nor written."""

ANNOTATIONS = ("latest", "majority", "all")
MOST_TOLERANCE = 100.0


@dataclass(frozen=True)
class Knobs:
    """What a labeling config sets for its project; each knob may stand on any control tag that is served.

    Attributes:
        threshold: least probability, above 0 and below 1, that a pixel is no background for it to be drawn;
            None draws the most probable class.
        tolerance: how far, in pixels of the image, the outline of a polygon or a vector may be simplified.
        annotations: which annotations of a task count: "latest", "majority" or "all"; None leaves it to the
            settings.
        strategy: the query strategy by which the project is ordered; None leaves it to the settings.
    """

    threshold: float | None = None
    tolerance: float = 1.0
    annotations: Literal["latest", "majority", "all"] | None = None
    strategy: str | None = None

    @property
    def overrides(self) -> dict[str, Any]:
        """The knobs that are set and that count before a setting of the same name, by name."""
        named = {"annotations": self.annotations, "strategy": self.strategy}
        return {name: value for name, value in named.items() if value is not None}


def read_knobs(controls: Iterable[ElementTree.Element]) -> tuple[Knobs, tuple[str, ...]]:
    """The knobs of the given control tags, and one sentence for each that is unknown, wrong or contradicted.

    A wrong knob stops nothing: its default stands. If two tags disagree, the first one counts.
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
                faults.append(f"{tag} has an unknown knob {attribute}: the known ones are {known}.")
                continue
            read, wanted = _READERS[knob]
            value = read(text.strip())
            if value is None:
                faults.append(f'{tag} has {attribute}="{text}": give it {wanted}.')
            elif values.setdefault(knob, value) != value:
                faults.append(
                    f'{tag} has {attribute}="{text}", but an earlier tag says {values[knob]}, which counts '
                    "for the whole project: say it once."
                )
    return Knobs(**values), tuple(faults)


def is_skipped(control: ElementTree.Element) -> bool:
    """Whether a control tag asks to be left alone."""
    said = next((text for name, text in control.attrib.items() if name.lower() == SKIP), "")
    return said.strip().lower() in ("true", "1", "yes")


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
    return number if number is not None and 0 <= number <= MOST_TOLERANCE else None


def _annotations(text: str) -> str | None:
    return text.lower() if text.lower() in ANNOTATIONS else None


def _strategy(text: str) -> str | None:
    try:
        return parse(text.lower()).name
    except StrategyError:
        return None


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = MappingProxyType(
    {
        "threshold": (_threshold, "a probability above 0 and below 1, such as 0.5"),
        "tolerance": (_tolerance, f"a number of pixels from 0 to {MOST_TOLERANCE:.0f}, such as 1"),
        "annotations": (_annotations, "one of " + ", ".join(ANNOTATIONS)),
        "strategy": (_strategy, "one of " + ", ".join(NAMES) + ", some with +power or +clusters"),
    }
)
"""Knob → reader of its text, which returns None for a wrong one, and what it wants."""
