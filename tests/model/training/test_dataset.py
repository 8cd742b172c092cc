"""Reading folders of images and masks as examples; unusable files are named."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.imaging.preprocessing import PreprocessingSettings
from model.training.dataset import DatasetError, folder_labels, make_example, read_folder, read_mask


def _save(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values, mode).save(path)
    return path


def _pair(root: Path, stem: str, mask: np.ndarray, suffix: str = ".png") -> None:
    _save(root / "images" / f"{stem}{suffix}", np.full(mask.shape, 90, np.uint8))
    _save(root / "masks" / f"{stem}.png", mask)


def test_files_are_paired_by_stem_whatever_their_format(tmp_path: Path) -> None:
    for stem, suffix in (("b", ".jpg"), ("a", ".png"), ("c.1", ".TIF")):
        _pair(tmp_path, stem, np.zeros((4, 5), np.uint8), suffix)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert [sample.stem for sample in samples] == ["a", "b", "c.1"]
    assert [sample.image_path.name for sample in samples] == ["a.png", "b.jpg", "c.1.TIF"]
    assert {sample.mask_path.name for sample in samples} == {"a.png", "b.png", "c.1.png"}


def test_a_stem_without_counterpart_is_named(tmp_path: Path) -> None:
    _pair(tmp_path, "both", np.zeros((4, 4), np.uint8))
    lonely = _save(tmp_path / "images" / "lonely.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match="No mask for lonely"):
        read_folder(tmp_path / "images", tmp_path / "masks")
    lonely.rename(tmp_path / "masks" / "stray.png")
    with pytest.raises(DatasetError, match="No image for stray"):
        read_folder(tmp_path / "images", tmp_path / "masks")


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    with pytest.raises(DatasetError, match="not a folder"):
        read_folder(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="no images"):
        read_folder(tmp_path / "images", tmp_path / "masks")
    for suffix in (".png", ".bmp"):
        _save(tmp_path / "images" / f"twice{suffix}", np.zeros((4, 4), np.uint8))
    with pytest.raises(DatasetError, match="share a stem"):
        read_folder(tmp_path / "images", tmp_path / "masks")


def test_painted_masks_become_one_label(tmp_path: Path) -> None:
    painted = np.array([[0, 255, 127], [128, 3, 254]], np.uint8)
    expected = np.array([[0, 1, 0], [1, 0, 1]], np.uint8)
    assert np.array_equal(read_mask(_save(tmp_path / "grey.png", painted)), expected)
    coloured = np.repeat(painted[..., None], 3, axis=2)
    assert np.array_equal(read_mask(_save(tmp_path / "rgb.png", coloured)), expected)
    one_bit = Image.fromarray(painted).point(lambda v: 255 * (v >= 128)).convert("1")
    one_bit.save(tmp_path / "bit.png")
    assert np.array_equal(read_mask(tmp_path / "bit.png"), expected)


def test_index_masks_keep_their_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [19, 0, 254]], np.uint8)
    assert np.array_equal(read_mask(_save(tmp_path / "index.png", indices)), indices)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([channel for index in range(256) for channel in (255 - index, index, 7)])
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_mask(tmp_path / "palette.png"), indices)


def test_invalid_masks_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 3), np.uint8)
    colours[0, 0] = (255, 0, 0)
    with pytest.raises(DatasetError, match="colour"):
        read_mask(_save(tmp_path / "colour.png", colours))
    with pytest.raises(DatasetError, match="8-bit"):
        read_mask(_save(tmp_path / "deep.png", np.full((4, 4), 300, np.uint16)))
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_mask(tmp_path / "broken.png")


@given(st.sampled_from(["PNG", "TIFF", "BMP", "GIF"]), st.randoms(use_true_random=False))
@settings(max_examples=120, derandomize=True, deadline=None)
def test_a_damaged_mask_is_read_or_refused_in_one_sentence(form: str, random: Random) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.eye(20, dtype=np.uint8), "P").save(whole, form)
    damaged = bytearray(whole.getvalue())
    for _ in range(random.randrange(1, 6)):
        damaged[random.randrange(min(len(damaged), 300))] = random.randrange(256)
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Path(file.name).write_bytes(damaged)
        said = f"{Path(file.name).name} as before."
        try:
            assert read_mask(Path(file.name)).ndim == 2
        except DatasetError as error:
            said = str(error)
        assert said.startswith(Path(file.name).name)
        assert said.endswith(".")


def test_labels_follow_the_indices_in_use(tmp_path: Path) -> None:
    _pair(tmp_path, "a", np.array([[0, 255]], np.uint8))
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert folder_labels(samples) == ("label 1",)
    _pair(tmp_path, "b", np.array([[0, 3]], np.uint8))
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert folder_labels(samples) == ("label 1", "label 2", "label 3")
    assert folder_labels(samples, ["x", "y", "z"]) == ("x", "y", "z")
    with pytest.raises(DatasetError, match="only 2"):
        folder_labels(samples, ["x", "y"])
    with pytest.raises(DatasetError, match="twice"):
        folder_labels(samples, ["x", "y", "x"])


def test_labels_are_named_by_the_folder_or_the_version_that_training_starts_from(tmp_path: Path) -> None:
    _pair(tmp_path, "a", np.array([[0, 2]], np.uint8))
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert folder_labels(samples, otherwise=("root", "canal")) == ("root", "canal")
    assert folder_labels(samples, otherwise=("bone",)) == ("label 1", "label 2")
    (tmp_path / "masks" / "labels.txt").write_text("left lung\n right lung \n", encoding="utf-8")
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert folder_labels(samples, otherwise=("root", "canal")) == ("left lung", "right lung")
    assert folder_labels(samples, ["L", "R"]) == ("L", "R")
    with pytest.raises(DatasetError, match="empty name"):
        folder_labels(samples, ["L", ""])
    (tmp_path / "masks" / "labels.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"labels.txt cannot be read"):
        folder_labels(samples)


def test_empty_masks_name_no_labels(tmp_path: Path) -> None:
    _pair(tmp_path, "a", np.zeros((2, 2), np.uint8))
    samples = read_folder(tmp_path / "images", tmp_path / "masks")
    assert folder_labels(samples, ["bone"]) == ("bone",)
    with pytest.raises(DatasetError, match="empty"):
        folder_labels(samples)


def test_an_example_is_on_the_canvas() -> None:
    image = np.random.default_rng(0).integers(30, 220, (200, 120), dtype=np.uint8)
    mask = np.zeros((200, 120), np.uint8)
    mask[50:150, 30:90] = 2
    example = make_example("k", image, mask, PreprocessingSettings(size=100))
    assert example.image.shape == example.mask.shape
    assert max(example.image.shape) == 112
    assert set(np.unique(example.mask)) == {0, 2}
    assert (example.mask == 2).sum() == pytest.approx(100 * 60 / 4, rel=0.1)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DatasetError, match="mask of leg"):
        make_example("leg", np.ones((8, 9), np.uint8), np.ones((9, 8), np.uint8), PreprocessingSettings())


def test_real_radiographs_can_be_read() -> None:
    root = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[4] / "shared" / "data")) / "oai-longleg"
    if not root.is_dir():
        pytest.skip("the evaluation data is not available")
    samples = read_folder(root / "images", root / "masks")
    assert len(samples) == 267
    assert folder_labels(samples[:3], ["femur", "tibia"]) == ("femur", "tibia")
    assert read_mask(samples[0].mask_path).shape == (1024, 128)
