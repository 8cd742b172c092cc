"""The loop in a project with images from all kinds of sources."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from ml_backend.demo.label_studio import LabelStudioServer
from model.research.phantom import Phantom
from tests.file_server import serve_folder
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import Service
from tests.object_store import ObjectStore
from tests.storages import add_bucket, add_local_files


def test_images_from_all_sources_are_learned_and_scored(
    server: LabelStudioServer,
    service: Service,
    store: ObjectStore,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    tmp_path: Path,
) -> None:
    board = make_board(phantoms[:2])
    client, bucket = service.label_studio, f"everywhere-{board.id}"
    pictures = [png(phantom.image) for phantom in phantoms]
    known = set(board.all_tasks())

    def added(*numbers: int) -> list[int]:
        """The tasks created since the last call; they show these phantoms, in this order."""
        tasks = sorted(set(board.all_tasks()) - known)
        known.update(tasks)
        board.truth |= dict(zip(tasks, (phantoms[number] for number in numbers), strict=True))
        return tasks

    for number in (2, 3):
        store.put(bucket, f"hand-{number}.png", pictures[number])
    add_bucket(client, board.id, store, bucket, presign=True)
    in_bucket = added(2, 3)
    add_local_files(server, client, board.id, {"hand 4.png": pictures[4], "hand 5.png": pictures[5]})
    local = added(4, 5)
    inside = f"data:image/png;base64,{base64.b64encode(pictures[6]).decode()}"
    (tmp_path / "hand.png").write_bytes(pictures[7])
    with serve_folder(tmp_path) as url:
        client.create_tasks(board.id, [{"image": inside}, {"image": f"{url}/hand.png"}])
        others = added(6, 7)
        labelled = [in_bucket[0], local[0], others[1]]
        for task in labelled:
            board.submit(task)
        version = board.await_round(1)
        assert version.labels_used == len(labelled)
        scored = board.scores(version)
        assert {task: row.error for task, row in scored.items()} == dict.fromkeys(known - set(labelled))
        assert {task for task, _ in board.order()} == known - set(labelled)

        # /predict gets addresses as they were imported, or with another host name of Label Studio.
        moved = f"http://browsers.see:1/data/local-files/?d=project {board.id}/hand 5.png"
        for task, address in ((in_bucket[1], f"s3://{bucket}/hand-3.png"), (local[1], moved)):
            answer = predicted(board, task, address)
            assert [one["model_version"] for one in answer] == [version.name]


def predicted(board: Board, task: int, address: str) -> list[dict[str, Any]]:
    """The answer of /predict, repeated because loading the version may take longer than one call."""
    asked = [{"id": task, "data": {"image": address}}]
    return board.service.wait(lambda: board.predict(asked)[0], "an answer of /predict")
