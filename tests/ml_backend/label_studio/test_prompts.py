"""The prompts of a call: what an annotator clicked, in pixels, and a sentence for what cannot be used."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_backend.label_studio.config import add_smart_tags, default_config, parse
from ml_backend.label_studio.prompts import Asked, read_prompts
from model.interaction.prompts import Box, Click, PromptError

CONFIG = parse(add_smart_tags(default_config(["Bone", "Metal"])))
SIDES = {"original_width": 480, "original_height": 360, "image_rotation": 0}

# As Label Studio 1.23.2 sent them (docs/label-studio-behaviour.md).
CLICK: dict[str, Any] = {
    "id": "dh-i8zvGjG",
    "from_name": "dsal-points",
    "to_name": "image",
    "type": "keypointlabels",
    "is_positive": True,
    "origin": "manual",
    **SIDES,
    "value": {"x": 30, "y": 40, "width": 0.247, "labels": ["Bone"], "keypointlabels": ["Bone"]},
}
BOX: dict[str, Any] = {
    "id": "A4AHJfoULe",
    "from_name": "dsal-boxes",
    "to_name": "image",
    "type": "rectanglelabels",
    "origin": "manual",
    **SIDES,
    "value": {"x": 20, "y": 20, "width": 10, "height": 25, "rotation": 0, "rectanglelabels": ["Bone"]},
}


def read(*regions: Any) -> Asked:
    return read_prompts({"result": list(regions)}, CONFIG)


def changed(region: dict[str, Any], value: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return region | {"value": region["value"] | (value or {})} | fields


def test_clicks_and_boxes_are_in_pixels_the_oldest_first() -> None:
    found = read(CLICK, changed(CLICK, {"x": 50}, id="second", is_positive=False), BOX)
    assert (found.label, found.size) == ("Bone", (360, 480))
    box = Box(96.0, 72.0, 144.0, 162.0)
    assert found.marks == (Click(144.0, 144.0), Click(240.0, 144.0, positive=False), box)
    assert found.ids == (CLICK["id"], "second", BOX["id"])
    assert not found.faults


@given(x=st.floats(0, 100), y=st.floats(0, 100), sign=st.booleans())
def test_every_click_is_in_a_pixel_of_the_image(x: float, y: float, sign: bool) -> None:
    (point,) = read(changed(CLICK, {"x": x, "y": y}, is_positive=sign)).marks
    assert isinstance(point, Click)
    assert 0 <= point.x < 480
    assert 0 <= point.y < 360
    assert (point.x, point.y) == pytest.approx((x * 4.8, y * 3.6))
    assert point.positive is sign


@given(st.floats(-20, 120), st.floats(-20, 120), st.floats(0, 150), st.floats(0, 150), st.floats(-360, 360))
def test_every_box_is_upright_within_the_image_or_has_a_sentence(
    x: float, y: float, width: float, height: float, rotation: float
) -> None:
    sides = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    found = read(CLICK, changed(BOX, sides))
    if len(found.marks) == 1:
        assert found.faults == ("The box covers nothing of the image.",)
        return
    box = found.marks[-1]
    assert isinstance(box, Box)
    assert 0 <= box.left < box.right <= 480
    assert 0 <= box.top < box.bottom <= 360
    if rotation == 0:
        assert box.left == pytest.approx(max(x, 0) * 4.8)
        assert box.bottom == pytest.approx(min(y + height, 100) * 3.6)


def test_a_box_that_was_turned_is_the_upright_box_around_it() -> None:
    (box,) = read(changed(BOX, {"x": 50, "y": 50, "width": 10, "height": 10, "rotation": 90})).marks
    assert isinstance(box, Box)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((204, 180, 240, 228))


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (7, "A prompt must be an object, not 7."),
        (changed(CLICK, is_positive="yes"), "A point's is_positive must be true or false, not yes."),
        (changed(CLICK, {"x": 101}), "The point is outside the image."),
        (changed(CLICK, {"x": math.nan}), "The region's x is nan, which is far outside the image."),
        (changed(CLICK, {"y": None}), "The region's y must be a number, not None."),
        (CLICK | {"value": None}, "A prompt's value must be an object, not None."),
        (CLICK | {"id": 5}, "A prompt's id must be text, not 5."),
        (CLICK | {"to_name": "other"}, 'The prompt is not drawn over <Image name="image">.'),
        (
            changed(CLICK, original_width=None),
            "The region does not state the size of the image it was drawn on.",
        ),
        (
            changed(CLICK, {"labels": [], "keypointlabels": []}),
            "The prompt has no label: choose one before you click.",
        ),
        (
            changed(CLICK, {"labels": ["Skin"], "keypointlabels": ["Skin"]}),
            "The labeling config draws no masks with the label Skin.",
        ),
        (changed(BOX, {"width": 0}), "The box covers nothing of the image."),
    ],
)
def test_a_prompt_that_cannot_be_used_is_a_sentence_and_the_others_count(region: Any, said: str) -> None:
    with pytest.raises(PromptError) as refused:
        read(region)
    assert str(refused.value) == said
    found = read(CLICK, region)
    assert found.faults == (said,)
    assert found.marks == (Click(144.0, 144.0),)


def test_the_newest_prompt_decides_the_label() -> None:
    metal = changed(CLICK, {"labels": ["Metal"], "keypointlabels": ["Metal"]}, id="metal")
    found = read(CLICK, metal)
    assert found.label == "Metal"
    assert found.ids == ("metal",)
    assert found.faults == ("The prompt has the label Bone, unlike the newest one.",)


def test_what_the_editor_sends_along_is_no_prompt() -> None:
    # A point from an earlier page has lost its sign; a mask may have got the label of a prompt.
    former = {key: value for key, value in CLICK.items() if key != "is_positive"}
    mask = CLICK | {"id": "mask", "value": {"format": "rle", "rle": [1], "keypointlabels": ["Bone"]}}
    del mask["is_positive"]
    found = read(former, mask, CLICK)
    assert len(found.marks) == 1
    assert not found.faults
    with pytest.raises(PromptError, match=r"There is no point or box of a smart tool\."):
        read(former)


def test_boxes_that_were_drawn_as_masks_are_no_prompts() -> None:
    xml = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="mask" toName="image">'
        '<Label value="Bone"/></RectangleLabels></View>'
    )
    drawn = BOX | {"id": "drawn", "from_name": "mask"}
    found = read_prompts({"result": [drawn, BOX]}, parse(add_smart_tags(xml)))
    assert found.ids == (BOX["id"],)


@pytest.mark.parametrize("labels", ["Bone", "Bone,Metal"])
def test_a_prompt_of_a_tag_without_labels_has_the_one_of_its_labels_tag(labels: str) -> None:
    written = "".join(f'<Label value="{label}"/>' for label in labels.split(","))
    config = parse(
        f'<View><Image name="image" value="$image"/><Labels name="kind" toName="image">{written}</Labels>'
        '<Brush name="brush" toName="image"/><Rectangle name="box" toName="image" smartOnly="true"/></View>'
    )
    box = changed(BOX, {"rectanglelabels": None}, from_name="box", type="rectangle")
    label = BOX | {"from_name": "kind", "type": "labels", "value": BOX["value"] | {"labels": ["Bone"]}}
    assert read_prompts({"result": [box, label]}, config).label == "Bone"
    if "," not in labels:
        assert read_prompts({"result": [box]}, config).label == "Bone"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from([*CLICK, *CLICK["value"], "rotation", "height", "rectanglelabels"])


@given(
    st.lists(st.tuples(st.sampled_from([CLICK, BOX]), st.dictionaries(FIELDS, JSON, max_size=2)), max_size=3),
    st.booleans(),
)
@settings(deadline=None, max_examples=50)
def test_whatever_a_call_contains_it_is_read_or_refused_in_one_sentence(
    spoilt: list[tuple[dict[str, Any], dict[str, Any]]], within: bool
) -> None:
    regions = [
        changed(region, fields) if within and isinstance(region["value"], dict) else region | fields
        for region, fields in spoilt
    ]
    try:
        found = read(*regions)
    except PromptError as refused:
        sentences: tuple[str, ...] = (str(refused),)
    else:
        sentences = found.faults
        assert len(found.marks) == len(found.ids) > 0
    for sentence in sentences:
        assert sentence.endswith(".")
        assert sentence.isprintable()


@given(JSON)
def test_a_context_that_is_none_is_refused(context: Any) -> None:
    with pytest.raises(PromptError):
        read_prompts(context, CONFIG)
