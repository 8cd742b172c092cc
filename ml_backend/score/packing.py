"""What is known of a measured image until its version's batch is chosen, packed into one column."""

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
"""Half precision: features are compared with one another, and rounded by 5e-4 they compare alike."""


def pack(measurement: Measurement | None, result: list[dict[str, Any]]) -> bytes:
    """A measurement, or None for an image that could not be had, and the regions to be sent; about 10 kB."""
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
    return zlib.compress(json.dumps({"measurement": known, "result": result}).encode())


def result(packed: bytes) -> list[dict[str, Any]]:
    """The regions of what `pack` packed."""
    found: list[dict[str, Any]] = json.loads(zlib.decompress(packed))["result"]
    return found


def measurement(packed: bytes) -> Measurement | None:
    """The measurement of what `pack` packed."""
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
