from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from model.consistency import Consistency
from model.strategies import Measurement

Measured = Callable[..., Measurement]


def measured(
    key: str,
    *,
    agreement: float = 0.5,
    entropy: float = 0.5,
    boundary: float | None = None,
    information: float | None = 0.1,
    blank: bool = False,
    features: Sequence[float] = (1.0, 0.0),
) -> Measurement:
    agreement = 0.0 if blank else agreement
    vector = np.asarray(features, np.float32)
    return Measurement(
        key,
        Consistency(agreement, agreement, agreement, blank),
        entropy,
        entropy if boundary is None else boundary,
        vector / np.linalg.norm(vector),
        information,
    )


@pytest.fixture(scope="session")
def measure() -> Measured:
    """Makes measurements with chosen numbers."""
    return measured
