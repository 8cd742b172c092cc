"""A measured image's measurement and regions, packed into one column until another version is published."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.consistency import Consistency
from model.strategies import Measurement

FEATURES = np.dtype("<f2")
"""Type of packed features: half precision, whose rounding of about 5e-4 does not change comparisons."""


MADE = 1
"""Raise it when images are measured or drawn in another way: nothing packed before is taken over then."""


def pack(measurement: Measurement | None, result: list[dict[str, Any]], image: str = "") -> bytes:
    """Pack a measurement (None for an unreadable image) and its Label Studio regions.

    That takes about 10 kB for one label, and several times as much for many large ones.

    Args:
        measurement, result: of the image.
        image: which image that was, as `Scored.image` says it.
    """
    known: dict[str, Any] | None = None
    if measurement is not None:
        known = {
            "key": measurement.key,
            "consistency": asdict(measurement.consistency),
            "entropy": measurement.entropy,
            "boundary_entropy": measurement.boundary_entropy,
            "mutual_information": measurement.probed,
            "features": base64.b64encode(measurement.features.astype(FEATURES).tobytes()).decode(),
        }
    packed = {"made": MADE, "image": image, "measurement": known, "result": result}
    return zlib.compress(json.dumps(packed).encode())


@dataclass(frozen=True)
class Unpacked:
    """The output of `pack`.

    Attributes:
        made: how the image was measured and drawn (`MADE`).
        image: which image that was; "" if it is not known.
        known: the measurement as it was packed; None for an unreadable image.
        result: its Label Studio regions.
    """

    made: int | None
    image: str
    known: dict[str, Any] | None
    result: list[dict[str, Any]]

    def can_be_taken_over(self, image: str) -> bool:
        """Whether this is what would be measured and drawn of this image today."""
        return bool(image) and (self.made, self.image) == (MADE, image)

    @property
    def measurement(self) -> Measurement | None:
        """The measurement; features are (D,) float32, rounded to half precision."""
        if self.known is None:
            return None
        features = np.frombuffer(base64.b64decode(self.known["features"]), FEATURES).astype(np.float32)
        return Measurement(
            key=self.known["key"],
            consistency=Consistency(**self.known["consistency"]),
            entropy=self.known["entropy"],
            boundary_entropy=self.known["boundary_entropy"],
            features=features,
            probed=self.known["mutual_information"],
        )


def unpack(packed: bytes) -> Unpacked:
    """Unpack the output of `pack`, of this release or an earlier one."""
    found = json.loads(zlib.decompress(packed))
    return Unpacked(found.get("made"), found.get("image") or "", found["measurement"], found["result"])


def result(packed: bytes) -> list[dict[str, Any]]:
    """The regions in the output of `pack`."""
    return unpack(packed).result


def measurement(packed: bytes) -> Measurement | None:
    """The measurement in the output of `pack` (`Unpacked.measurement`)."""
    return unpack(packed).measurement
