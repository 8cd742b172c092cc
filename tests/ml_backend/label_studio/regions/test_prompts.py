"""Prompts of smart tools that are left in a task are no masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_backend.label_studio.config import LabelConfig, LabelConfigError, add_smart_tags, parse
from ml_backend.label_studio.regions.masks import Reading, label_map, results
from ml_backend.learn.labels import digest
from tests.ml_backend.label_studio.regions.kinds import SIZE, TAGS, box, config, control, region, shape

POINT = {"x": 30, "y": 30, "width": 1}


def key_points(**attributes: str) -> str:
    written = "".join(f' {name}="{text}"' for name, text in attributes.items())
    return f'<KeyPointLabels name="points" toName="image"{written}><Label value="Bone"/></KeyPointLabels>'


def read(labels: LabelConfig, *regions: dict[str, Any]) -> Reading:
    return label_map(list(regions), labels, SIZE)


def mask_of(kind: str) -> dict[str, Any]:
    return region(kind, shape(kind, 50, 50, 75, 75), "Bone")


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("prompting", TAGS)
def test_regions_of_a_tag_for_prompts_only_are_no_masks(kind: str, prompting: str) -> None:
    labels = config(control(prompting, "prompt", smart="true", smartOnly="true"), control(kind))
    assert [one.name for one in labels.controls] == ["mask"]
    assert labels.control_tag == "mask"
    prompt = region(prompting, shape(prompting, 0, 0, 25, 25), "Bone", name="prompt")
    both = read(labels, prompt, mask_of(kind))
    np.testing.assert_array_equal(both.known_map, read(labels, mask_of(kind)).label_map)
    assert not both.unreadable
    # A prompt without the mask that it asked for says nothing about the image.
    alone = read(labels, prompt)
    assert alone.label_map is None
    assert dict(alone.unreadable) == {"There is a prompt of a smart tool, but no mask.": 1}


@pytest.mark.parametrize("points", [key_points(smart="true"), key_points(smartOnly="True"), key_points()])
def test_key_points_that_say_whether_they_are_positive_are_prompts(points: str) -> None:
    labels = config(control("brushlabels"), points)
    prompt = region("keypointlabels", POINT, "Bone", name="points", is_positive=False)
    assert read(labels, prompt).label_map is None
    assert read(labels, prompt, mask_of("brushlabels")).regions == 1


def test_key_points_of_an_ordinary_tag_are_landmarks() -> None:
    labels = config(control("brushlabels"), key_points())
    found = read(labels, region("keypointlabels", POINT, "Bone", name="points"))
    assert found.label_map is not None
    assert not found.label_map.any()


@pytest.mark.parametrize("kind", ["brushlabels", "bitmasklabels", "polygonlabels", "vectorlabels"])
def test_a_smart_box_beside_a_tag_for_masks_is_a_prompt(kind: str) -> None:
    labels = config(control("rectanglelabels", "box", smart="true"), control(kind, smart="true"))
    prompt = region("rectanglelabels", shape("rectanglelabels", 0, 0, 25, 25), "Bone", name="box")
    assert read(labels, prompt).label_map is None
    both = read(labels, prompt, mask_of(kind))
    np.testing.assert_array_equal(both.known_map, box(50, 50, 75, 75))
    # Nor is it used to write masks.
    assert {one["from_name"] for one in results(box(0, 0, 50, 50).astype(np.uint8), labels)} == {"mask"}


def test_a_smart_tag_keeps_the_labels_that_only_it_draws() -> None:
    labels = config(
        control("rectanglelabels", "box", ("Bone", "Metal"), smart="true"), control("brushlabels")
    )
    assert labels.labels == ("Metal", "Bone")
    value = shape("rectanglelabels", 0, 0, 25, 25)
    metal, prompt = (region("rectanglelabels", value, label, name="box") for label in ("Metal", "Bone"))
    np.testing.assert_array_equal(read(labels, metal).label_map, box(0, 0, 25, 25))
    assert read(labels, prompt).label_map is None


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("smart", ["true", "false"])
def test_a_smart_tag_alone_draws_masks(kind: str, smart: str) -> None:
    labels = config(control(kind, smart=smart, smartOnly="false"))
    assert read(labels, mask_of(kind)).regions == 1


@pytest.mark.parametrize("kind", [kind for kind in TAGS if kind != "rectanglelabels"])
def test_other_smart_tags_draw_masks_beside_a_brush(kind: str) -> None:
    labels = config(control("brushlabels", "other"), control(kind, smart="true"))
    assert read(labels, mask_of(kind)).regions == 1


def test_a_smart_box_beside_labels_of_their_own_is_a_prompt() -> None:
    labels = config(
        '<Labels name="kind" toName="image"><Label value="Bone"/></Labels>',
        '<Brush name="brush" toName="image"/><Rectangle name="box" toName="image" smart="true"/>',
    )
    value = shape("rectangle", 0, 0, 25, 25)
    pair = [region("rectangle", value, name="box"), region("labels", value, "Bone", name="kind")]
    assert read(labels, *pair).label_map is None
    drawn = shape("brush", 50, 50, 75, 75)
    brush = [
        region("brush", drawn, name="brush", id="b"),
        region("labels", drawn, "Bone", name="kind", id="b"),
    ]
    np.testing.assert_array_equal(read(labels, *pair, *brush).known_map, box(50, 50, 75, 75))


def test_a_config_for_prompts_only_is_refused_and_one_that_misleads_is_reported() -> None:
    with pytest.raises(LabelConfigError, match='<BrushLabels name="mask"> has smartOnly="true"'):
        config(control("brushlabels", smartOnly="true"))
    (fault,) = config(control("brushlabels"), control("polygonlabels", "p", smartOnly="true")).faults
    assert fault.startswith('<PolygonLabels name="p"> has smartOnly="true"')
    assert not config(control("brushlabels"), control("rectanglelabels", "p", smartOnly="true")).faults


@pytest.mark.parametrize("kind", [*TAGS, "labels"])
def test_what_annotators_draw_with_our_smart_tags_changes_no_label(kind: str) -> None:
    drawing = (
        control(kind)
        if kind != "labels"
        else '<Labels name="kind" toName="image"><Label value="Bone"/></Labels>'
        '<Brush name="mask" toName="image"/>'
    )
    labels = parse(add_smart_tags(f'<View><Image name="image" value="$image"/>{drawing}</View>'))
    square = shape("rectangle", 0, 0, 25, 25)
    if kind == "labels":
        value = shape("brush", 50, 50, 75, 75)
        mask = [
            region("brush", value, id="m"),
            region("labels", value, "Bone", name="kind", id="m"),
        ]
    else:
        mask = [mask_of(kind) | {"id": "m"}]
    prompts = [
        region("keypointlabels", POINT, "Bone", name="dsal-points", id="p", is_positive=False),
        # A point of a page that was opened again has lost its sign.
        region("keypointlabels", POINT, "Bone", name="dsal-points", id="q"),
        region("rectanglelabels", square, "Bone", name="dsal-boxes", id="b"),
        # The editor gives a prompt the label of an active <Labels> tag too, and a mask that was accepted
        # the label of the prompt, if labels stay chosen.
        region("labels", square, "Bone", name="kind", id="b"),
        region("keypointlabels", mask[0]["value"], "Bone", name="dsal-points", id="m"),
        region("rectanglelabels", mask[0]["value"], "Bone", name="dsal-boxes", id="m"),
    ]
    plain, prompted = read(labels, *mask), read(labels, *mask, *prompts)
    assert plain.label_map is not None
    assert plain.label_map.any()
    np.testing.assert_array_equal(prompted.known_map, plain.label_map)
    assert prompted.regions == plain.regions
    assert not prompted.unreadable
    assert digest([*mask, *prompts]) == digest(mask)
    assert digest(prompts) == digest([])
    assert read(labels, *prompts[:4]).label_map is None
