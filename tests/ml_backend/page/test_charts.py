"""The axes of the charts can be read."""

from __future__ import annotations

import re

import pytest

from ml_backend.page.charts import Point, forecast_chart, interval_chart
from ml_backend.page.figures import Figure


def ticks(chart: str) -> list[str]:
    return re.findall(r'<text x="30\.0"[^>]*>([0-9.]+)</text>', chart)


@pytest.mark.parametrize(
    ("low", "expected"),
    [
        (0.0, "0.0 0.2 0.4 0.6 0.8 1.0"),
        (0.22, "0.0 0.2 0.4 0.6 0.8 1.0"),
        (0.36, "0.2 0.4 0.6 0.8 1.0"),
        (0.64, "0.6 0.7 0.8 0.9 1.0"),
        (0.78, "0.75 0.80 0.85 0.90 0.95 1.00"),
        (0.97, "0.90 0.92 0.94 0.96 0.98 1.00"),
    ],
)
def test_the_ticks_are_round_numbers_and_every_interval_is_inside(low: float, expected: str) -> None:
    points = [Point(n, Figure(0.99, low, 1.0, 9), str(n), f"v{n}") for n in (1, 2)]
    chart = interval_chart(points, "title", "labels")
    assert " ".join(ticks(chart)) == expected
    places = [float(y) for y in re.findall(r'class="interval" .*? y1="([0-9.]+)"', chart)]
    (axis,) = {max(float(y) for y in re.findall(r'class="grid" .*? y1="([0-9.]+)"', chart))}
    assert len(places) == 2
    assert all(place <= axis for place in places)


def test_a_forecast_has_the_same_axis() -> None:
    chart = forecast_chart([(10, 0.93)], [(10, 0.92, 0.93, 0.94), (40, 0.95, 0.97, 0.99)], "title")
    assert " ".join(ticks(chart)) == "0.90 0.92 0.94 0.96 0.98 1.00"
