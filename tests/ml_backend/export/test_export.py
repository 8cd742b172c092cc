"""Exported pictures, read back by others: pycocotools and Pillow."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from ml_backend.export.formats import coco_annotation
from ml_backend.export.names import image_file
from ml_backend.export.pictures import ExportError, Layers, Legend, Picture, components
from ml_backend.export.run import Outcome, export
from ml_backend.export.source import Item, LeftOut
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.regions.shape import Shape
from model.training.dataset import DatasetError, FolderSample, folder_labels, read_mask

CONFIG = parse(default_config(["Femur", "Tibia", "Growth plate"]))


@dataclass
class Drawn:
    """Pictures of arrays: {task: (address, label map)}; an exception in place of a map is raised."""

    pictures: dict[int, tuple[str, Any]]
    legend: Legend = field(default=Legend(CONFIG.labels))
    about: dict[str, Any] = field(default_factory=lambda: {"what": "labels"})
    read: list[int] = field(default_factory=list)
    stop_after: int | None = None
    is_whole: bool = True

    def total(self) -> int:
        return len(self.pictures)

    def items(self) -> Iterator[Item | LeftOut]:
        yield LeftOut("task-99", "skipped.png", "It is excluded.")
        for task, (address, drawn) in self.pictures.items():
            if self.stop_after is not None and len(self.read) >= self.stop_after:
                raise KeyboardInterrupt

            def read(task: int = task, address: str = address, drawn: Any = drawn) -> Picture:
                self.read.append(task)
                if isinstance(drawn, Exception):
                    raise drawn
                return Picture(task, {"image": address}, drawn, list(components(drawn)), f"annotation {task}")

            file = image_file(task, {"image": address}, CONFIG)
            yield Item(f"task-{task}", file, str(hash(str(drawn))), read)


def run(folder: Path, form: str, source: Drawn) -> Outcome:
    return export(folder, form, source)


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as file:
        assert file.mode == "P"
        return np.asarray(file)


def maps(count: int) -> dict[int, tuple[str, Any]]:
    rng = np.random.default_rng(0)
    return {
        task: (f"/data/upload/3/1234567{task}-hand {task}.png", rng.integers(0, 4, (30 + task, 20), np.uint8))
        for task in range(count)
    }


def test_png_masks_are_read_back_to_the_pixel_and_can_be_seen(tmp_path: Path) -> None:
    drawn = maps(3)
    outcome = run(tmp_path / "out", "png", Drawn(drawn))
    assert (outcome.written, outcome.failed) == (3, 0)
    for task, (_, label_map) in drawn.items():
        path = tmp_path / "out" / "masks" / f"hand_{task}.png"
        assert (pixels(path) == label_map).all()
        assert (read_mask(path) == label_map).all(), "dsal train reads them too"
    legend = json.loads((tmp_path / "out" / "legend.json").read_text())
    assert [entry["label"] for entry in legend] == ["background", *CONFIG.labels, "unknown"]
    with Image.open(tmp_path / "out" / "masks" / "hand_0.png") as file:
        seen = np.asarray(file.convert("RGB"))
    for entry in legend[:4]:
        colour = [int(entry["colour"][place : place + 2], 16) for place in (1, 3, 5)]
        assert (seen[drawn[0][1] == entry["index"]] == colour).all()
        assert entry["index"] == 0 or max(colour) > 120
    assert (tmp_path / "out" / "masks" / "labels.txt").read_text().split("\n")[:-1] == list(CONFIG.labels)


def test_labels_that_are_no_line_of_text_are_still_one_label_each_for_a_training(tmp_path: Path) -> None:
    labels = ("Growth\nplate", "Bone ", "Bone", "\u2028", "Bone (2)", "a\x85b", "عظم", "Bone\t")
    drawn = np.arange(9, dtype=np.uint8).reshape(3, 3)
    run(tmp_path / "out", "png", Drawn({1: ("/data/upload/3/12345671-a.png", drawn)}, Legend(labels)))
    (mask,) = (tmp_path / "out" / "masks").glob("*.png")
    found = folder_labels([FolderSample("a", mask, mask)])
    assert len(found) == len(labels)
    assert (found[0], found[2], found[4], found[6]) == ("Growth plate", "Bone", "Bone (2)", "عظم")


def test_any_number_of_labels_has_colours_of_its_own() -> None:
    colours = Legend(tuple(map(str, range(60)))).colours()
    assert len(set(colours)) == 61
    assert min(max(colour) for colour in colours[1:]) > 120


def test_coco_is_read_back_to_the_pixel_with_right_areas_and_boxes(tmp_path: Path) -> None:
    drawn = maps(3)
    run(tmp_path / "out", "coco", Drawn(drawn))
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert [(one["id"], one["name"]) for one in coco.cats.values()] == list(enumerate(CONFIG.labels, start=1))
    assert len(coco.imgs) == 3
    for image in coco.imgs.values():
        label_map = drawn[image["task"]][1]
        assert image["file_name"] == f"hand_{image['task']}.png"
        assert (image["height"], image["width"]) == label_map.shape
        found = np.zeros_like(label_map)
        for annotation in coco.imgToAnns[image["id"]]:
            mask = coco.annToMask(annotation).astype(bool)
            rows, columns = np.nonzero(mask)
            assert annotation["area"] == mask.sum()
            left, top, width, height = annotation["bbox"]
            assert (columns.min(), rows.min()) == (left, top)
            assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (width, height)
            found[mask] = annotation["category_id"]
        assert (found == label_map).all()


masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 6)))


@given(masks, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
@settings(deadline=None)
def test_any_region_is_the_same_in_coco(
    mask: NDArray[np.bool_], top: int, left: int, below: int, right: int
) -> None:
    height, width = top + len(mask) + below, left + mask.shape[1] + right
    whole = np.zeros((height, width), bool)
    whole[top : top + len(mask), left : left + mask.shape[1]] = mask
    annotation = coco_annotation((1, Shape(top, left, mask)), height, width)
    if annotation is None:
        assert not mask.any()
        return
    assert (COCO.annToMask(_of_size(height, width), annotation | {"image_id": 1}) == whole).all()


def _of_size(height: int, width: int) -> COCO:
    coco = COCO()
    coco.imgs = {1: {"height": height, "width": width}}
    return coco


def test_overlapping_regions_keep_all_of_their_pixels_in_coco(tmp_path: Path) -> None:
    outer, inner = np.ones((10, 10), bool), np.ones((4, 4), bool)
    layers = Layers((12, 12))
    layers.draw(Shape(1, 1, outer), 1, (12, 12))
    layers.draw(Shape(3, 3, inner), 2, (12, 12))
    assert layers.labels is not None
    source = Drawn({})
    picture = Picture(1, {}, layers.labels, layers.regions, "annotation 1")
    source.items = lambda: iter([Item("task-1", "a.png", "x", lambda: picture)])  # type: ignore[method-assign]
    run(tmp_path / "out", "coco", source)
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert {one["category_id"]: one["area"] for one in coco.anns.values()} == {1: 100, 2: 16}


def test_names_are_safe_unique_and_nothing_is_written_outside(tmp_path: Path) -> None:
    square = np.ones((4, 4), np.uint8)
    addresses = [
        "/data/upload/3/12345678-a.png",
        "/data/upload/3/12345678-A.jpg",
        "http://host/b/..%2F..%2Fa.png?X-Amz-Signature=secret",
        "/data/local-files/?d=x/../con.png",
        "data:image/png;base64,AAAA",
        "s3://bucket/Hüfte links.png",
        "http://host/" + "x" * 400 + ".png",
        "http://host/",
        f"/tasks/8/resolve/?fileuri={base64.urlsafe_b64encode(b's3://[a').decode()}",
    ]
    pictures: dict[int, tuple[str, Any]] = {task: (one, square) for task, one in enumerate(addresses)}
    run(tmp_path / "out", "png", Drawn(pictures))
    names = [path.stem for path in (tmp_path / "out" / "masks").glob("*.png")]
    assert len({name.casefold() for name in names}) == len(addresses)
    assert {"a", "A-task-1", "a-task-2", "_con", "task-4", "Hüfte_links", "task-8"} <= set(names)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert "secret" not in "".join(p.read_text() for p in (tmp_path / "out").glob("*.*") if p.is_file())


def test_a_stopped_export_goes_on_and_a_changed_label_is_written_again(tmp_path: Path) -> None:
    drawn = maps(5)
    stopped = Drawn(drawn, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", "coco", stopped)
    with (tmp_path / "out" / "export.jsonl").open("a") as file:
        file.write('{"key": "task-2", "dig')  # killed while it was writing
    rest = Drawn(drawn)
    outcome = run(tmp_path / "out", "coco", rest)
    assert (outcome.written, outcome.unchanged, rest.read) == (3, 2, [2, 3, 4])

    changed = drawn | {1: (drawn[1][0], np.ones((31, 20), np.uint8))}
    del changed[4]
    outcome = run(tmp_path / "out", "coco", Drawn(changed))
    assert (outcome.written, outcome.changed, outcome.unchanged) == (1, 1, 3)
    assert outcome.removed == ["hand_4"]
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    assert sorted(one["task"] for one in coco.imgs.values()) == [0, 1, 2, 3]
    again = run(tmp_path / "out", "coco", Drawn(changed))
    assert (again.written, again.unchanged) == (0, 4)

    journal = tmp_path / "out" / "export.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"\0" * 40 + b"\n", b"{}\n", *lines[3:]]))
    mended = run(tmp_path / "out", "coco", Drawn(changed))
    assert (mended.written, mended.unchanged) == (1, 3), "a damaged line is written again"


def test_only_one_process_writes_into_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".export.lock"),
        pytest.raises(ExportError, match="Another process"),
    ):
        run(tmp_path / "out", "png", Drawn(maps(1)))
    assert run(tmp_path / "out", "png", Drawn(maps(1))).written == 1


def test_nothing_of_others_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty"):
        run(tmp_path, "png", Drawn(maps(1)))
    run(tmp_path / "out", "png", Drawn(maps(1)))
    for form, about in (("coco", {"what": "labels"}), ("png", {"what": "masks"})):
        with pytest.raises(ExportError, match="another export"):
            run(tmp_path / "out", form, Drawn(maps(1), about=about))


def test_what_is_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    unknown = np.full((5, 5), 255, np.uint8)
    away = ImageUnavailable(1, "it is away", transient=True)
    odd = NotImplementedError("an attribute of an unknown kind")
    drawn = {1: away, 2: unknown, 3: odd, 4: np.ones((5, 5), np.uint8)}
    source = Drawn({task: (f"http://host/{task}.png", one) for task, one in drawn.items()})
    outcome = run(tmp_path / "out", "coco", source)
    assert (outcome.written, outcome.failed) == (1, 2)
    with (tmp_path / "out" / "left-out.csv").open(newline="") as file:
        rows = {row["key"]: row["reason"] for row in csv.DictReader(file)}
    assert rows["task-99"] == "It is excluded."
    assert rows["task-1"] == str(away)
    assert rows["task-3"] == "It cannot be exported (NotImplementedError: an attribute of an unknown kind)."
    assert "COCO cannot say" in rows["task-2"]
    assert run(tmp_path / "png", "png", source).written == 2
    mask = tmp_path / "png" / "masks" / "2.png"
    assert (pixels(mask) == 255).all()
    with pytest.raises(DatasetError, match="unknown"):
        read_mask(mask)
