"""Label Studio refuses some predictions of an import: those are named, and all others are stored once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.errors import LabelStudioError, PredictionsRefusedError
from ml_backend.label_studio.predictions import MOST_REFUSED
from tests.ml_backend.label_studio.refusing_studio import WAYS, RefusingStudio


def prediction(task: int) -> dict[str, Any]:
    return {"task": task, "result": [], "score": 0.5, "model_version": "v1"}


@given(
    count=st.integers(1, 40),
    faults=st.sets(st.integers(1, 40)),
    gone=st.sets(st.integers(1, 40)),
    way=st.sampled_from(WAYS),
)
def test_all_but_the_refused_are_stored_once(count: int, faults: set[int], gone: set[int], way: str) -> None:
    tasks = range(1, count + 1)
    faults, gone = faults.intersection(tasks), gone.intersection(tasks)
    studio = RefusingStudio(set(tasks) - gone, lambda one: one["task"] in faults, way)
    sent = [prediction(task) for task in tasks]
    named = faults - gone
    if len(named) > max(1, count // 2):
        with pytest.raises(PredictionsRefusedError):
            studio.import_predictions(7, sent)
        return
    imported = studio.import_predictions(7, sent)
    assert set(imported.refused) == named
    assert set(imported.missing) == gone
    assert sorted(one["task"] for one in studio.stored) == sorted(set(tasks) - gone - faults)
    assert imported.created == len(studio.stored)
    assert all(imported.refused.values())


@pytest.mark.parametrize("way", WAYS)
def test_many_refusals_are_no_fault_of_single_tasks(way: str) -> None:
    studio = RefusingStudio(range(1000), lambda one: one["task"] % 4 == 0, way)
    with pytest.raises(PredictionsRefusedError):
        studio.import_predictions(7, [prediction(task) for task in range(1000)])
    assert len(studio.imports) < MOST_REFUSED * 12, "it gives up soon, as each import is slow"


def test_one_refusal_of_thousands_costs_a_few_requests() -> None:
    studio = RefusingStudio(range(4096), lambda one: one["task"] == 2024, "refuses")
    imported = studio.import_predictions(7, [prediction(task) for task in range(4096)])
    assert imported.refused == {2024: "mask: no such label"}
    assert imported.created == 4095
    assert len(studio.imports) <= 25


def test_what_must_be_stored_is_an_error_otherwise() -> None:
    studio = RefusingStudio([1, 2, 3], lambda one: one["task"] == 2)
    with pytest.raises(LabelStudioError, match="2 of 3"):
        studio.import_all(7, [prediction(task) for task in (1, 2, 3)])
