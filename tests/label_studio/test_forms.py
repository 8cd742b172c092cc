"""Masks in every form through a real Label Studio: as predictions, as annotations, and read back."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice
from tests.ml_backend.label_studio.regions.forms import by_label

SIZE = (120, 160)
IMAGE = '<Image name="image" value="$image"/>'
LABELS = '<Label value="Bone"/><Label value="Nail" alias="N"/>'

FORMS = {
    "brush": (f'<BrushLabels name="mask" toName="image">{LABELS}</BrushLabels>', 1.0),
    "bitmask": (f'<BitmaskLabels name="mask" toName="image">{LABELS}</BitmaskLabels>', 1.0),
    "polygon": (f'<PolygonLabels name="mask" toName="image">{LABELS}</PolygonLabels>', 0.99),
    "vector": (f'<VectorLabels name="mask" toName="image" closable="true">{LABELS}</VectorLabels>', 0.99),
    "ellipse": (f'<EllipseLabels name="mask" toName="image">{LABELS}</EllipseLabels>', 0.7),
    "rectangle": (f'<RectangleLabels name="mask" toName="image">{LABELS}</RectangleLabels>', 0.5),
    "labels and brush": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><Brush name="draw" toName="image"/>',
        1.0,
    ),
    "labels and bitmask": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><Bitmask name="draw" toName="image"/>',
        1.0,
    ),
    "labels and polygon": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><Polygon name="draw" toName="image"/>',
        0.99,
    ),
    "labels and vector": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels>'
        '<Vector name="draw" toName="image" closable="true"/>',
        0.99,
    ),
    "labels and ellipse": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><Ellipse name="draw" toName="image"/>',
        0.7,
    ),
    "labels and rectangle": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><Rectangle name="draw" toName="image"/>',
        0.5,
    ),
    "labels and magic wand": (
        f'<Labels name="kind" toName="image">{LABELS}</Labels><MagicWand name="wand" toName="image"/>'
        '<Brush name="draw" toName="image"/>',
        1.0,
    ),
    "a form for each label": (
        '<BitmaskLabels name="a" toName="image"><Label value="Bone"/></BitmaskLabels>'
        '<PolygonLabels name="b" toName="image"><Label value="Bone"/><Label value="N"/></PolygonLabels>',
        0.99,
    ),
}


EVERYTHING = """<View>
  <Image name="back" value="$back"/>
  <Image name="image" value="$image"/>
  <PolygonLabels name="outline" toName="image" choice="multiple">
    <Label value="Bone"/><Label value="Joint"/>
  </PolygonLabels>
  <BrushLabels name="mask" toName="image"><Label value="Bone"/><Label value="Old" alias="Nail"/></BrushLabels>
  <RectangleLabels name="crop" toName="image" model_skip="true"><Label value="Crop"/></RectangleLabels>
  <PolygonLabels name="behind" toName="back"><Label value="Shadow"/></PolygonLabels>
  <KeyPointLabels name="tip" toName="image"><Label value="Tip"/></KeyPointLabels>
  <Choices name="sure" toName="image" perRegion="true"><Choice value="yes"/></Choices>
  <TextArea name="note" toName="image" perRegion="true"/>
  <Choices name="side" toName="image"><Choice value="left"/></Choices>
  <Rating name="stars" toName="image"/>
  <Relations><Relation value="next to"/></Relations>
</View>"""


def drawing() -> NDArray[np.uint8]:
    """Two bones, one of them with a hole, and a nail that touches one."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    cv2.ellipse(labels, (40, 60), (16, 45), 25, 0, 360, 1, -1)
    cv2.ellipse(labels, (110, 60), (22, 40), -20, 0, 360, 1, -1)
    cv2.circle(labels, (110, 60), 7, 0, -1)
    cv2.ellipse(labels, (120, 25), (14, 9), 10, 0, 360, 2, -1)
    return labels


def read(regions: list[dict[str, Any]], config: LabelConfig) -> NDArray[np.uint8]:
    reading = label_map(regions, config, SIZE)
    assert not reading.unreadable
    assert reading.label_map is not None
    return reading.label_map


@pytest.mark.parametrize(("controls", "least"), FORMS.values(), ids=FORMS.keys())
def test_predictions_and_annotations_in_every_form_survive_label_studio(
    client: LabelStudio, project: int, controls: str, least: float
) -> None:
    client.patch_project(project, label_config=f"<View>{IMAGE}{controls}</View>")
    config = parse(client.project(project)["label_config"])
    assert config.labels == ("Bone", "N")
    assert not config.faults
    truth = drawing()
    written = results(truth, config, probabilities=by_label({1: 0.5, 2: 0.25}))
    [task] = client.create_tasks(project, [{"image": "http://localhost:1/a.png"}])
    sent = [{"task": task, "result": written, "score": 0.5, "model_version": "v1"}]
    assert client.import_predictions(project, sent).created == 1
    [prediction] = client.predictions(task)
    assert prediction["result"] == written

    client.submit_annotation(task, prediction["result"])
    [labelled] = client.labelled_tasks(project)
    for regions in (prediction["result"], labelled.accepted[0].result):
        found = read(regions, config)
        for index in (1, 2):
            assert dice(found == index, truth == index) >= least
        np.testing.assert_array_equal(found, read(written, config))


def test_a_project_with_all_kinds_of_results_gives_only_the_masks(client: LabelStudio, project: int) -> None:
    """Two images, labels in several tags, regions with several labels, and results other than masks."""
    client.patch_project(project, label_config=EVERYTHING)
    config = parse(client.project(project)["label_config"])
    assert config.labels == ("Bone", "Joint", "Nail")
    assert config.faults == (
        'Only <Image name="image"> is served: regions on <Image name="back"> are ignored.',
    )
    size = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}

    def region(name: str, kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "id": name,
            "from_name": name,
            "to_name": "image",
            "type": kind,
            "value": value,
            **size,
            **more,
        }

    square = [[25, 25], [75, 25], [75, 75], [25, 75]]
    both = {"points": square, "closed": True, "polygonlabels": ["Joint", "Bone"]}
    corner = {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["Crop"]}
    tip = {"x": 10, "y": 10, "width": 1, "keypointlabels": ["Tip"]}
    shadow = {"points": square, "closed": True, "polygonlabels": ["Shadow"]}
    answers: list[dict[str, Any]] = [
        region("outline", "choices", {"points": square, "choices": ["yes"]}) | {"from_name": "sure"},
        region("outline", "textarea", {"points": square, "text": ["old"]}) | {"from_name": "note"},
        {
            "id": "s",
            "from_name": "side",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["left"]},
        },
        {"id": "t", "from_name": "stars", "to_name": "image", "type": "rating", "value": {"rating": 3}},
        {
            "type": "relation",
            "from_id": "outline",
            "to_id": "crop",
            "direction": "right",
            "labels": ["next to"],
        },
    ]
    nail = np.zeros(SIZE, np.uint8)
    nail[:12, :16] = config.labels.index("Nail") + 1
    masks = [
        region("outline", "polygonlabels", both),
        region("crop", "rectanglelabels", corner),
        region("tip", "keypointlabels", tip),
        region("behind", "polygonlabels", shadow, to_name="back"),
    ]
    images = {"image": "http://localhost:1/a.png", "back": "http://localhost:1/b.png"}
    task, skipped = client.create_tasks(project, [images, images])
    client.submit_annotation(task, [*answers, *masks, *results(nail, config)])
    client.submit_annotation(skipped, masks, skip=True)
    exported = {one.id: one.accepted for one in client.labelled_tasks(project)}
    assert not exported.get(skipped)
    (annotation,) = exported[task]
    assert len(annotation.result) == len(answers) + len(masks) + 1

    reading = label_map(annotation.result, config, SIZE)
    assert not reading.unreadable
    assert reading.regions == 2
    expected = nail.copy()
    expected[30:90, 40:120] = config.labels.index("Joint") + 1
    np.testing.assert_array_equal(reading.label_map, expected)

    # Regions that we write for such a project survive: Bone and Nail by brush, Joint by polygon.
    labels = expected.copy()
    labels[100:, 100:] = 1
    written = results(labels, config)
    assert {region["type"] for region in written} == {"brushlabels", "polygonlabels"}
    sent = [{"task": skipped, "result": written, "score": 0.5, "model_version": "v1"}]
    assert client.import_predictions(project, sent).created == 1
    (prediction,) = client.predictions(skipped)
    np.testing.assert_array_equal(read(prediction["result"], config), labels)
