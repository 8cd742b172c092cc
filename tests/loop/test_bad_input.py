"""Unreadable images and annotations are reported and do not stop the others."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from ml_backend.demo.processes import free_port
from ml_backend.label_studio.connection import BACKEND_TITLE
from ml_backend.store import projects
from model.research.phantom import Phantom
from tests.file_server import serve_folder
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import AUTH, Service

CHOICES = """<View>
  <Image name="image" value="$image"/>
  <Choices name="kind" toName="image"><Choice value="Left"/><Choice value="Right"/></Choices>
</View>"""


def test_bad_images_and_masks_are_reported_and_the_others_are_used(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:6])
    client = service.label_studio
    fake = client.upload(board.id, {"fake.png": b"this is no image"})["fake.png"]
    errors = {
        "/data/upload/999999/gone.png": "gone.png answers HTTP 500: Label Studio does not know the file",
        "http://127.0.0.1:1/away.png": "http://127.0.0.1:1/away.png cannot be reached",
        "s3://bucket/scan.png": "s3://bucket/scan.png answers HTTP 404: no import storage of the project",
        "azure-blob://box/scan.png": "azure-blob://box/scan.png answers HTTP 404: no import storage",
        "/data/local-files/?d=none/x.png": 'the local file "none/x.png" answers HTTP 404: there is no',
        "data:image/png;base64,AAAA": "not an image of a known format",
        "http://169.254.169.254/x.png": "a cloud metadata address",
    }
    missing = client.create_tasks(board.id, [{"image": address} for address in errors])
    # An unavailable folder is reported once, not image by image.
    many = client.create_tasks(board.id, [{"image": f"http://127.0.0.1:1/{n}/x.png"} for n in range(6)])
    bad = {fake, *missing, *many}
    good = set(board.truth)

    # One annotation with an unreadable region, one with only such a region, and two good ones.
    one, two, three, four = sorted(good)[:4]
    broken = copy.deepcopy(board.regions(one)[:1])
    broken[0]["value"]["rle"] = [0, 0, 0, 1, 2, 3]
    client.submit_annotation(one, broken + board.regions(one))
    client.submit_annotation(two, broken)
    board.submit(three)
    board.submit(four)
    version = board.await_round(1)
    # A change that comes during the training is followed by one that finds nothing new.
    run = next(one for one in board.runs() if one.version_id == version.id)
    assert run.state == "finished"
    assert version.labels_used == 3
    assert f"Task {one} is used without 1 of its regions" in run.message
    assert f"No mask of task {two} can be read" in run.message

    rows = board.scores(version)
    assert {task for task, row in rows.items() if row.error} == bad
    order = board.order()
    assert {task for task, _ in order} == (good - {one, two, three, four}) | bad
    # So small a network may find nothing on a good image, which also scores 0; all zeros are last.
    assert all(rows[task].l_dsc is not None for task, _ in order if task not in bad)
    assert all(score == 0 for task, score in order if task in bad)
    assert [score or 0 for _, score in order] == sorted((score or 0 for _, score in order), reverse=True)
    assert all(one["result"] == [] for task in bad for one in board.predictions(task))

    shown = " ".join(service.command("status").stdout.split())
    for task, sentence in zip((fake, *missing), ("known format", *errors.values()), strict=True):
        reason = shown.partition(f"task {task} is not scored: ")[2][:300]
        assert sentence in reason
    [unreachable] = re.findall(
        r"cannot be reached \(ConnectionError\)\. The same applies to 6 others: [^.]*\.", shown
    )
    assert all(str(task) in unreachable for task in many)
    assert f"Task {one} is used without 1 of its regions" in shown


def test_poisonous_annotations_are_left_out_by_name_and_the_project_trains(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:4])
    first = next(iter(board.truth))
    drawn = board.regions(first)
    poisons: list[list[Any]] = [
        [*drawn, {**drawn[0], "from_name": {}}],
        [{**drawn[0], "from_name": ["mask"]}],
        [{**drawn[0], "original_width": True}],
        [{**drawn[0], "original_width": 2**70}],
        [{**drawn[0], "value": {**drawn[0]["value"], "rle": [2**70, {}, None]}}],
        [{**drawn[0], "type": {"a": [[]]}}, 7, None, "text"],
    ]
    image = service.label_studio.task_data(board.id, [first])[first]["image"]
    data = {"image": image, "accession": 12345678901234567890}
    imported = [{"data": data, "annotations": [{"result": result}]} for result in poisons]
    service.ask_label_studio("POST", f"/api/projects/{board.id}/import", json=imported)
    poisoned = [task for task in service.label_studio.tasks(board.id) if task.id not in board.truth]
    assert [task.data["accession"] for task in poisoned] == [12345678901234567890] * len(poisons)

    board.annotate(3)
    version = board.await_round(1)
    assert version.state == "published"
    # Of the first one all but the odd region is learned.
    assert version.labels_used == 3 + 1
    shown = " ".join(service.command("status").stdout.split())
    assert f"Task {poisoned[0].id} is used without 1 of its regions" in shown
    assert all(re.search(rf"\b{task.id}\b", shown) for task in poisoned)

    # Label Studio stores half of an emoji, but cannot send any page of tasks that contains it.
    known = {task.id for task in service.label_studio.tasks(board.id)}
    half = [{"data": {"image": image, "name": "\ud83d"}}]
    service.ask_label_studio("POST", f"/api/projects/{board.id}/import", json=half)
    assert known <= {task.id for task in service.label_studio.tasks(board.id)}


def test_labels_of_temporarily_unavailable_images_are_not_discarded(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom], tmp_path: Path
) -> None:
    board = make_board(phantoms[:3])
    client = service.label_studio
    port = free_port()
    addresses = [f"http://127.0.0.1:{port}/{number}.png" for number in range(3)]
    offline = client.create_tasks(board.id, [{"image": address} for address in addresses])
    for number, task in enumerate(offline):
        board.truth[task] = phantoms[number]
        (tmp_path / f"{number}.png").write_bytes(png(phantoms[number].image))
        board.submit(task)
    service.wait(lambda: board.runs() and board.runs()[0].state == "failed", "the training without images")
    assert (
        f"3 of 3 labelled images are unavailable: The image of task {offline[0]}" in board.runs()[0].message
    )
    assert board.changes() == 3

    # The images are available again, and the retry after ten seconds finds all labels.
    with serve_folder(tmp_path, port):
        version = board.await_round(1)
    assert version.labels_used == 3
    assert board.changes() == 0


def test_a_project_without_brush_labels_gets_an_error(service: Service) -> None:
    client = service.label_studio
    number = int(client.create_project("Choices", CHOICES)["id"])
    client.create_tasks(number, [{"image": "http://localhost:1/x.png"}])
    service.work()
    before = len(service.log("worker"))
    user, password = AUTH
    backend = client.create_ml_backend(
        number,
        service.url,
        BACKEND_TITLE,
        auth_method="BASIC_AUTH",
        basic_auth_user=user,
        basic_auth_pass=password,
    )
    sentence = "BrushLabels"

    def is_logged() -> bool:
        return any(
            sentence in line and "ERROR" in line for line in service.log("worker")[before:].splitlines()
        )

    service.wait(is_logged, "the sentence in the worker's log")
    answer = service.call(
        "POST", "/predict", json={"tasks": [{"id": 1, "data": {}}], "project": f"{number}.1"}
    )
    assert answer.json() == {"results": [[]]}

    # A training fails with the same sentence, once.
    event = {
        "action": "START_TRAINING",
        "project": {"id": number, "title": "Choices", "label_config": CHOICES},
    }
    assert service.call("POST", "/webhook", json=event).status_code == 200
    board = Board.of(service, number)
    service.wait(lambda: board.runs() and board.runs()[0].state == "failed", "the end of the training")
    assert sentence in board.runs()[0].message
    assert board.versions() == []
    shown = service.command("status").stdout
    assert sentence in shown
    with service.database.read() as session:
        project = projects.get(session, number)
    assert project is not None
    assert project.published_version_id is None
    assert "Traceback" not in service.log("worker")[before:].partition(sentence)[2]
    client.delete_ml_backend(backend["id"])
    client.delete_project(number)
    assert len(board.runs()) == 1
