"""Which predictions are kept for open pages, and for how long."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ml_backend.score.pruning import no_longer_open
from ml_backend.store.version_names import open_name, version_name

DAYS = st.dates(date(2000, 1, 1), date(2100, 1, 1))


@given(project=st.integers(1, 99), kept=DAYS, passed=st.integers(-9, 9))
def test_predictions_for_open_pages_stay_for_at_least_a_day(project: int, kept: date, passed: int) -> None:
    name = open_name(project, kept)
    assert (no_longer_open([name], project, kept + timedelta(days=passed)) == [name]) == (passed > 1)


@given(project=st.integers(1, 9), other=st.integers(1, 99), round=st.integers(0, 999), day=DAYS)
def test_only_names_of_the_project_itself_count(project: int, other: int, round: int, day: date) -> None:
    names = [version_name(project, round, 0), "mine", f"{open_name(project, day)}x"[1:]]
    names += [open_name(other, day)] if other != project else []
    assert no_longer_open(names, project, day + timedelta(days=9)) == []
