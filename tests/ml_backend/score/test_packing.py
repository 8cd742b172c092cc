from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.score import packing
from model.consistency import Consistency
from model.strategies import Measurement

shares = st.floats(0, 1)


@given(
    agreement=st.builds(Consistency, shares, shares, shares, st.booleans()),
    entropy=shares,
    boundary=shares,
    information=st.none() | shares,
    features=st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=64),
    regions=st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=3),
)
def test_packed_data_is_unpacked_unchanged(
    agreement: Consistency,
    entropy: float,
    boundary: float,
    information: float | None,
    features: list[float],
    regions: list[dict[str, object]],
) -> None:
    vector = np.array(features, np.float32)
    packed = packing.pack(Measurement("7", agreement, entropy, boundary, vector, information), regions)
    unpacked = packing.measurement(packed)
    assert unpacked is not None
    assert (
        unpacked.key,
        unpacked.consistency,
        unpacked.entropy,
        unpacked.boundary_entropy,
        unpacked.probed,
    ) == (
        "7",
        agreement,
        entropy,
        boundary,
        information,
    )
    assert np.array_equal(unpacked.features, vector)
    assert packing.result(packed) == regions


def test_an_unreadable_image_has_no_measurement() -> None:
    assert packing.measurement(packing.pack(None, [])) is None


def test_half_precision_is_enough_for_features() -> None:
    vector = np.random.default_rng(0).normal(size=512).astype(np.float32)
    vector /= np.linalg.norm(vector)
    packed = packing.pack(Measurement("1", Consistency(1, 1, 1, False), 0.5, 0.5, vector), [])
    unpacked = packing.measurement(packed)
    assert unpacked is not None
    assert float(unpacked.features @ vector) == pytest.approx(1, abs=1e-3)
    assert len(packed) < 2500
