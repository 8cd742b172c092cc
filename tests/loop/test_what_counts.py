"""Annotations in a real Label Studio that teach nothing, and odd ones among good ones."""

from __future__ import annotations

import numpy as np

from ml_backend.label_studio.regions.masks import results
from ml_backend.store.models import Project
from model.research.phantom import Phantom
from tests.loop.board import MakeBoard
from tests.loop.service import Service

IMAGE = '<Image name="image" value="$image"/>'
CONFIG = f"""<View>{IMAGE}
  <BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels>
  <RectangleLabels name="box" toName="image" smart="true"><Label value="Bone"/></RectangleLabels>
  <Choices name="quality" toName="image" model_exclude="bad image"><Choice value="Bad image"/></Choices>
</View>"""
NESTED = f"""<View>{IMAGE}
  <PolygonLabels name="outline" toName="image"><Label value="Root"/><Label value="Canal"/></PolygonLabels>
</View>"""


def test_only_what_a_person_drew_or_left_empty_is_learned(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:8])
    client = service.label_studio
    client.patch_project(board.id, label_config=CONFIG)
    board.config = board.read_config(service, board.id)
    first, second, empty, converted, bad, prompted, *_ = sorted(board.truth)
    bad_image = {
        "id": "q",
        "type": "choices",
        "from_name": "quality",
        "to_name": "image",
        "value": {"choices": ["Bad image"]},
    }
    box = {
        "id": "b",
        "type": "rectanglelabels",
        "from_name": "box",
        "to_name": "image",
        "value": {"x": 0, "y": 0, "width": 90, "height": 90, "rotation": 0, "rectanglelabels": ["Bone"]},
    }
    image = client.task_data(board.id, [first])[first]["image"]
    poison = [board.regions(first)[0] | {"from_name": {}}]
    imports = [
        {"data": {"image": image}, "annotations": [{"result": []}]},
        {"data": {"image": image}, "annotations": [{"result": poison}]},
        {
            "data": {"image": image, "accession": 12345678901234567890},
            "annotations": [{"result": board.regions(first)}],
        },
    ]
    with service.stopped():
        board.submit(first)
        board.submit(second)
        client.submit_annotation(empty, [])
        selected = {"all": False, "included": [converted]}
        made = service.ask_label_studio(
            "POST",
            f"/api/dm/actions?id=predictions_to_annotations&project={board.id}",
            json={"selectedItems": selected},
        )
        assert made["detail"] == "Created 1 annotations"
        client.submit_annotation(bad, [*board.regions(bad), bad_image])
        client.submit_annotation(prompted, [box])
        before = set(board.all_tasks())
        service.ask_label_studio("POST", f"/api/projects/{board.id}/import", json=imports)
        unread, odd, long = sorted(set(board.all_tasks()) - before)
    board.reconcile()
    version = board.await_round(1)
    assert version.labels_used == 4, f"{first}, {second}, {empty} and {long}"

    status = " ".join(service.command("status").stdout.split())
    for task in (converted, unread):
        assert f"Task {task} is left out: its annotation has no regions and no person submitted it" in status
    assert f"Task {bad} is excluded: an annotator answered “Bad image” (model_exclude)" in status
    assert (
        f"No mask of task {odd} can be read, draw it again: A region's from_name must be text, not {{}}"
        in status
    )
    assert (
        f"No mask of task {prompted} can be read, draw it again: There is a prompt of a smart tool" in status
    )
    # The answer comes later: what was learned from the task is taken back.
    annotation = client.submit_annotation(first, [*board.regions(first), bad_image])
    assert annotation["id"]
    service.settle()
    board.reconcile()
    assert board.await_round(2).labels_used == 3
    # The comparison with Label Studio sorts out the same annotations.
    service.settle()
    with service.database.write() as session:
        session.get_one(Project, board.id).extent = None
    assert [sentence for sentence in board.reconcile() if "label changes" in sentence] == []


def test_nested_labels_are_named_at_connect_and_in_status(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:4])
    client = service.label_studio
    client.patch_project(board.id, label_config=NESTED)
    board.config = board.read_config(service, board.id)
    for task in sorted(board.truth)[:3]:
        outer, inner = np.zeros((2, *board.truth[task].mask.shape), np.uint8)
        outer[20:100, 20:100], inner[40:80, 50:60] = 1, 2
        drawn = [*results(inner, board.config), *results(outer, board.config)]
        client.submit_annotation(task, drawn)
    board.await_round(1)
    sentence = "Labels are nested: Canal within Root in 3 tasks; where they overlap, the "
    connected = service.command("connect", "--project", str(board.id), "--backend", service.url)
    assert sentence + "smaller region gets the pixels" in " ".join(connected.stdout.split())
    status = " ".join(service.command("status").stdout.split())
    assert sentence + "smaller region gets the pixels" in status
    status = " ".join(service.command("status", OVERLAP="later").stdout.split())
    assert sentence + "later region gets the pixels" in status
