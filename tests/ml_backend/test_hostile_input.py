"""10 000 exports, pages, webhooks and labeling configs, of which anything may be anything.

Whatever is wrong with one task, the tasks beside it are learned from, drawn and answered as if it were not
there; whatever is wrong with a body or a config, it is refused in one sentence.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest

from ml_backend.interact.page import Page
from ml_backend.items import contained
from ml_backend.label_studio.config import LabelConfig, LabelConfigError, default_config, parse
from ml_backend.label_studio.json_stream import items
from ml_backend.label_studio.nesting import find_nested
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.label_studio.tasks import readable
from ml_backend.learn.edits import ShownMask, compare
from ml_backend.learn.examples import Data, _Reader
from ml_backend.learn.labels import sort_out
from ml_backend.score.prediction import Scored
from ml_backend.score.predictor import _in_time
from ml_backend.store.models import Part
from ml_backend.web.bodies import Body
from ml_backend.web.payloads import LARGEST_ID, PredictCall, explain, parsed
from ml_backend.web.webhook import arrival_of, event_in
from model.imaging.preprocessing import PreprocessingSettings
from tests.ml_backend.hostile import (
    anything,
    as_json,
    cases,
    event,
    labeling_config,
    predict_call,
    regions,
    seeded,
    task,
)

CONFIG = parse(
    '<View><Image name="image" value="$image"/><BrushLabels name="mask" toName="image"><Label value="Bone"/>'
    '</BrushLabels><PolygonLabels name="p" toName="image"><Label value="Bone"/></PolygonLabels>'
    '<Choices name="kind" toName="image"><Choice value="bad"/></Choices></View>'
)
SIZE = (16, 24)
MASK = np.zeros(SIZE, np.uint8)
MASK[4:12, 5:20] = 1
SHOWN = ShownMask("p3-r001", results(MASK, parse(default_config(["Bone"]))), claimed_blank=False)
EXCLUSIONS = [("kind", "bad")]


@pytest.fixture(autouse=True, scope="module")
def silent() -> Iterator[None]:
    """The traces of thousands of faults would take most of the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def good(number: int) -> dict[str, Any]:
    drawn = [one | {"from_name": "mask", "to_name": "image"} for one in SHOWN.result]
    submitted = {
        "id": 100 + number,
        "result": drawn,
        "updated_at": "2026-11-22T10:00:00Z",
        "was_cancelled": False,
        "ground_truth": False,
        "completed_by": {"id": 1},
        "updated_by": 1,
        "lead_time": 1.5,
    }
    return {"id": number, "data": {"image": f"{number}.png"}, "annotations": [submitted]}


def check_sentence(text: str) -> None:
    assert text.endswith(".")
    assert "\n" not in text
    assert "cannot be read (" not in text, "the sentence for what nobody foresaw"


def learned(export: bytes, rule: Any) -> Data:
    """What a training gets from an export."""
    found = Data()
    chosen = sort_out(readable(items([export[:500], export[500:]])), rule, EXCLUSIONS)
    found.problems += chosen.left_out
    images: Any = SimpleNamespace(images=SimpleNamespace(read=lambda *_: np.full(SIZE, 90, np.uint8)))
    settings = PreprocessingSettings(size=32)
    for one in chosen.labelled:
        reader = _Reader(images, 1, CONFIG, settings, {one.task_id: Part.TRAINING}, "smaller")
        with contained(f"Task {one.task_id}", reader.fail(one)):
            reader.read(one)
        found.include(reader.data)
        for submitted in one.counting:
            with contained("A comparison", found.report):
                compare(submitted, SHOWN, CONFIG)
    return found


@given(st.lists(seeded(task), min_size=10, max_size=10), st.sampled_from(["latest", "majority", "all"]))
@cases(400)
def test_tasks_that_may_be_anything_leave_the_others_in_an_export_alone(poison: list[Any], rule: Any) -> None:
    found = learned(as_json([good(1001), *poison, good(1002)]), rule)
    taught = {int(one.key.split()[1]) for one in found.training}
    assert {1001, 1002} <= taught
    assert all(set(np.unique(one.mask)) <= {0, 1, 255} for one in found.training)
    assert all(isinstance(sentence, str) for sentence in found.problems)
    json.dumps(found.problems).encode()


@given(st.lists(seeded(anything), min_size=5, max_size=5))
@cases(100)
def test_an_export_of_anything_teaches_what_is_good(poison: list[Any]) -> None:
    found = learned(as_json([*poison, good(1001)]), "latest")
    assert [int(one.key.split()[1]) for one in found.training] == [1001]


@given(seeded(task))
@cases(1500)
def test_the_regions_of_any_page_and_the_nesting_of_any_labels_are_found(poison: Any) -> None:
    (sent,) = items([as_json([poison])])
    if isinstance(sent, dict):
        for one in Page.of(sent, "p3-r001").regions(CONFIG, "Bone", SIZE):
            assert one.mask.shape == SIZE
            assert one.mask.any()
    find_nested(readable([sent]), CONFIG)


@given(seeded(regions))
@cases(1000)
def test_the_masks_of_any_prediction_are_read_or_reported(result: Any) -> None:
    (sent,) = items([as_json([result])])
    found = label_map(sent, CONFIG, SIZE)
    assert found.label_map is None or found.label_map.shape == SIZE
    assert found.label_map is not None or found.unreadable or found.ignored


@given(seeded(predict_call))
@cases(1000)
def test_any_call_for_predictions_has_an_answer_for_each_task(poison: Any) -> None:
    try:
        call = parsed(PredictCall, as_json(poison))
    except ValidationError as error:
        check_sentence(explain(error))
        return
    asked = [*call.tasks, good(1)]
    answers = _in_time(lambda number, _: Scored(number, 0.5, 0.5), asked, "v", float("inf"))
    assert len(answers) == len(asked)
    assert answers[-1] == [{"result": [], "score": 0.5, "model_version": "v"}]


@given(seeded(event))
@cases(1500)
def test_any_event_is_stored_ignored_or_refused_in_one_sentence(poison: Any) -> None:
    try:
        text = as_json(poison)
        found = event_in(Body(io.BytesIO(text), len(text), complete=True), len(text)).event
    except BadRequest as error:
        check_sentence(str(error.description))
        return
    if found is not None:
        arrival = arrival_of(found)
        assert 0 <= arrival.project_id <= LARGEST_ID
        assert all(0 <= number <= LARGEST_ID for number in arrival.task_ids)


@given(seeded(labeling_config))
@cases(1000)
def test_any_labeling_config_is_read_or_refused_in_one_sentence(text: str) -> None:
    try:
        found = parse(text)
    except LabelConfigError as error:
        check_sentence(str(error))
        return
    assert isinstance(found, LabelConfig)
    assert found.labels
