"""The images of a demo: which are used, and which are refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_backend.demo.images import own_images, upload_names
from model.training.dataset import DatasetError, FolderSample


def test_images_with_empty_masks_are_left_out(pairs: tuple[Path, Path]) -> None:
    images, masks = pairs
    cv2.imwrite(str(masks / "leg5.png"), np.zeros((30, 20), np.uint8))
    seen: list[tuple[int, int]] = []
    collection = own_images(images, masks, 60, 2, 0, lambda *progress: seen.append(progress))
    assert collection.left_out == ("leg5",)
    assert len(collection.tasks) == 5
    assert len(collection.test) == 2
    assert not {sample.stem for sample in collection.tasks} & {sample.stem for sample in collection.test}
    assert seen[-1] == (8, 8)


@pytest.mark.parametrize("fault", ["empty", "size", "kind", "broken", "few"])
def test_own_images_that_cannot_be_used_are_reported(pairs: tuple[Path, Path], fault: str) -> None:
    images, masks = pairs
    test, named = 2, "leg3"
    match fault:
        case "empty":
            named = "Every mask is empty"
            for mask in masks.iterdir():
                cv2.imwrite(str(mask), np.zeros((30, 20), np.uint8))
        case "size":
            cv2.imwrite(str(masks / "leg3.png"), np.full((20, 30), 255, np.uint8))
        case "kind":
            (images / "leg3.png").rename(images / "leg3.tif")
        case "broken":
            (images / "leg3.png").write_bytes(b"no image")
        case "few":
            test, named = 7, "too few"
    with pytest.raises(DatasetError, match=named):
        own_images(images, masks, 60, test, 0, lambda _done, _total: None)


def test_files_are_uploaded_under_names_that_label_studio_keeps() -> None:
    stems = ["a b", "a_b", "für Elise (1)", "plain-1.5"]
    samples = [FolderSample(stem, Path(f"{stem}.PNG"), Path("mask.png")) for stem in stems]
    names = upload_names(samples)
    assert list(names) == ["a_b.png", "1_a_b.png", "f_r_Elise__1_.png", "plain-1_5.png"]
    assert list(names.values()) == samples
