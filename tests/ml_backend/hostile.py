"""What people and programs may store in Label Studio: anything, and above all almost valid things.

Values are made from a seed that Hypothesis draws, as its own strategies for nested values take most of the
time that thousands of cases have. `FUZZ_TIMES=20` makes that many times as many cases, other ones in each
run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

DEEP = "as deep as this"
"""Stands for a value that is nested 3000 levels deep, which Python's encoder refuses."""

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))

Made = TypeVar("Made")


def cases(number: int) -> settings:
    """So many cases, always the same ones unless FUZZ_TIMES asks for more."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def seeded(make: Callable[[Random], Made]) -> st.SearchStrategy[Made]:
    """What `make` makes of a random generator."""
    return st.integers(0, 2**64 - 1).map(lambda seed: make(Random(seed)))


def as_json(value: Any) -> bytes:
    """The value as Label Studio would send it."""
    deep = "[" * 3000 + "]" * 3000
    return json.dumps(value).replace(json.dumps(DEEP), deep).encode()


_NUMBERS = (0, -1, 5, 160, 255, 2**31, 2**63, -(2**63) - 1, 2**70, 10**1500)
_FLOATS = (0.5, -0.0, 1e400, -1e400, float("nan"), 1e-320, 99.999, 1e18)
_TEXTS: tuple[str, ...] = (
    "",
    "Bone",
    "mask",
    "image",
    "\0",
    "\ud83d",
    "\udc00x",
    "9" * 50,
    "x" * 2000,
    DEEP,
    "2026-11-22",
)
_TEXTS += (
    "brushlabels",
    "bad",
    "prediction",
    "data:image/png;base64,AAAA",
    "\U0001f9b4",
    "\u202e",
    "1",
    "null",
)
_KEYS = ("id", "rle", "points", "x", "labels", "\0", "a", "choices", "brushlabels", "text", "type", "")


def anything(random: Random, depth: int = 3) -> Any:
    """Any JSON value."""
    kind = random.randrange(9 if depth else 6)
    if kind == 0:
        return random.choice((None, True, False))
    if kind == 1:
        return random.choice(_NUMBERS)
    if kind == 2:
        return random.choice(_FLOATS)
    if kind == 3:
        return random.randint(-300, 300)
    if kind in (4, 5):
        return random.choice(_TEXTS)
    inner = [anything(random, depth - 1) for _ in range(random.randrange(4))]
    return inner if kind < 8 else {random.choice(_KEYS): one for one in inner}


def almost(random: Random, valid: Mapping[str, Any]) -> Any:
    """A dictionary of which up to three values are anything or missing; sometimes no dictionary at all."""
    if random.random() < 0.05:
        return anything(random)
    found = dict(valid)
    for _ in range(random.randrange(4)):
        key = random.choice(list(valid))
        if random.random() < 0.2:
            found.pop(key, None)
        else:
            found[key] = anything(random)
    return found


def several(random: Random, make: Callable[[Random], Any]) -> Any:
    """A list of up to three; sometimes something else."""
    if random.random() < 0.1:
        return anything(random)
    return [make(random) for _ in range(random.randrange(4))]


def region(random: Random) -> Any:
    """A region of an annotation or a prediction."""
    forms = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "bitmasklabels")
    value = {
        **{key: ["Bone"] for key in (*forms, "labels")},
        "format": "rle",
        "rle": [0, 1, 44, 0, 57, 27, 255, 76],
        "choices": ["bad"],
        "points": [[10, 10], [40, 10], [40, 60]],
        "closed": True,
        **{"x": 10, "y": 10, "width": 30, "height": 30, "radiusX": 10, "radiusY": 10, "rotation": 0},
        "imageDataURL": "data:image/png;base64,iVBORw0KGgo=",
    }
    return almost(
        random,
        {
            "id": random.choice(("r1", "r2")),
            "from_name": random.choice(("mask", "p", "kind")),
            "to_name": "image",
            "type": random.choice((*forms, "labels", "choices")),
            "original_width": 24,
            "original_height": 16,
            "image_rotation": 0,
            "origin": random.choice(("prediction", "prediction-changed", "manual")),
            "value": almost(random, value),
        },
    )


def regions(random: Random) -> Any:
    """A `result`."""
    return several(random, region)


def annotation(random: Random) -> Any:
    """An annotation, a draft or a prediction."""
    return almost(
        random,
        {
            "id": 71,
            "result": regions(random),
            "updated_at": "2026-11-22T10:00:00.5Z",
            "was_cancelled": random.random() < 0.1,
            "ground_truth": False,
            "completed_by": 1,
            "updated_by": 1,
            "lead_time": 3.5,
            "parent_prediction": 5,
            "model_version": "p3-r001",
            "score": 0.5,
        },
    )


def task(random: Random) -> Any:
    """A task with everything that Label Studio sends with it."""
    return almost(
        random,
        {
            "id": 7,
            "data": {"image": "a.png", "accession": 12345678901234567890},
            "project": 3,
            "annotations": several(random, annotation),
            "predictions": several(random, annotation),
            "drafts": several(random, annotation),
        },
    )


def event(random: Random) -> Any:
    """The body of a webhook."""
    actions = (
        "ANNOTATION_CREATED",
        "ANNOTATIONS_DELETED",
        "TASKS_CREATED",
        "START_TRAINING",
        "PROJECT_UPDATED",
    )
    return almost(
        random,
        {
            "action": random.choice((*actions, "PROJECT_UPDATED", "SOMETHING_ELSE")),
            "project": almost(random, {"id": 3, "title": "Hands", "label_config": "<View/>"}),
            "annotation": annotation(random),
            "annotations": several(random, annotation),
            "task": task(random),
            "tasks": several(random, task),
        },
    )


def predict_call(random: Random) -> Any:
    """The body of a call for predictions."""
    context = almost(random, {"result": regions(random)})
    params = almost(random, {"login": None, "context": context})
    return almost(random, {"tasks": several(random, task), "project": "3.17", "params": params})


_TAGS: tuple[str, ...] = (
    "View",
    "Image",
    "BrushLabels",
    "Brush",
    "Labels",
    "Label",
    "PolygonLabels",
    "Choices",
    "Choice",
)
_TAGS += ("RectangleLabels", "KeyPointLabels", "VectorLabels", "BitmaskLabels", "image", "Style", "\u00e9")
_ATTRIBUTES: tuple[str, ...] = (
    "name",
    "toName",
    "value",
    "smart",
    "smartOnly",
    "closable",
    "alias",
    "model_threshold",
)
_ATTRIBUTES += ("model_exclude", "model_annotations", "model_skip", "predicted_values", "valueList", "x:y")
_VALUES: tuple[str, ...] = (
    "image",
    "mask",
    "$image",
    "Bone",
    "true",
    "0.5",
    "nan",
    "9" * 400,
    "-1",
    "a,b",
    "kind=bad",
)
_VALUES += ("$a$b", "&amp;", "&x;", "&#0;", "majority", "", " ", "\U0001f9b4", '"', "<", "1e400", "kind", "=")
_INSERTED = ("", "<", "\0", "\ud800", "]]>", "&", '"', "<!DOCTYPE x>", "</View>")
_GOOD = (
    '<Image name="image" value="$image"/>'
    '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels>'
)


def _tag(random: Random, depth: int) -> str:
    names = [random.choice(_ATTRIBUTES) for _ in range(random.randrange(4))]
    if random.random() < 0.9:
        names = list(dict.fromkeys(names))
    attributes = "".join(f' {name}="{random.choice(_VALUES)}"' for name in names)
    inner = "".join(_tag(random, depth - 1) for _ in range(random.randrange(3))) if depth else ""
    name = random.choice(_TAGS)
    return f"<{name}{attributes}>{inner}</{name}>"


def labeling_config(random: Random) -> str:
    """A labeling config: random tags beside good ones or alone, sometimes with something inserted."""
    inner = "".join(_tag(random, 2) for _ in range(random.randrange(4)))
    text = f"<View>{random.choice((_GOOD, ''))}{inner}</View>"
    if random.random() < 0.2:
        place = random.randint(0, len(text))
        text = text[:place] + random.choice(_INSERTED) + text[place + random.randrange(4) :]
    return text
