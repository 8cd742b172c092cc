"""A measured image's measurement and regions, packed into one column until another version is published."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import asdict
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


def can_be_taken_over(packed: bytes, image: str) -> bool:
    """Whether the output of `pack` is what would be measured and drawn of this image today."""
    known = json.loads(zlib.decompress(packed))
    return bool(image) and (known.get("made"), known.get("image")) == (MADE, image)


def result(packed: bytes) -> list[dict[str, Any]]:
    """The regions in the output of `pack`."""
    found: list[dict[str, Any]] = json.loads(zlib.decompress(packed))["result"]
    return found


def measurement(packed: bytes) -> Measurement | None:
    """The measurement in the output of `pack`; features are (D,) float32, rounded to half precision."""
    known = json.loads(zlib.decompress(packed))["measurement"]
    if known is None:
        return None
    features = np.frombuffer(base64.b64decode(known["features"]), FEATURES).astype(np.float32)
    return Measurement(
        key=known["key"],
        consistency=Consistency(**known["consistency"]),
        entropy=known["entropy"],
        boundary_entropy=known["boundary_entropy"],
        features=features,
        probed=known["mutual_information"],
    )
