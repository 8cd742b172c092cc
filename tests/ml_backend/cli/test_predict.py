"""`dsal predict`: masks of a version for images that are in no project."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import VersionState
from ml_backend.store.weights import WeightStore
from model.imaging.decoding import decode_image
from model.pretrained import pretrained_version
from model.research.phantom import draw_phantom
from model.segmenter import Segmenter
from tests.ml_backend.cli.conftest import Run


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hands, of which two files have one stem, a damaged image, and a file that is none."""
    folder = tmp_path_factory.mktemp("hands")
    for number, name in enumerate(("a.png", "a.tif", "b.png")):
        cv2.imwrite(str(folder / name), draw_phantom(6 * number, seed=number, size=(128, 160)).image)
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:3000])
    (folder / "notes.docx").write_text("no image")
    return folder


def masks(out: Path) -> dict[str, np.ndarray]:
    """Label map by the path of its image."""
    with (out / "images.csv").open(newline="") as file:
        return {row["image"]: np.asarray(Image.open(out / row["files"])) for row in csv.DictReader(file)}


def test_a_folder_is_done_but_for_what_cannot_be_read(
    run: Run, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PRECISION", "fp32")
    out = tmp_path / "out"
    status, said, _ = run("predict", hands, "--out", out)
    assert status == 1, "one image is broken"
    assert "broken.png" in said
    assert "notes.docx" in said
    found = masks(out)
    assert len(found) == 3
    segmenter = Segmenter(pretrained_version(), precision="fp32")
    for image, name in (("a.png", "a.png"), ("b.png", "b.png")):
        own = segmenter.segment([decode_image((hands / name).read_bytes())])[0].final
        assert own.any()
        assert (found[image] == own).all()

    status, said, _ = run("predict", hands / "a.png", hands / "a.tif", hands / "b.png", "--out", out)
    assert status == 0
    assert "0 written, 3 were there already" in said
    run("predict", hands / "b.png", "--out", out)
    assert len(masks(out)) == 3, "what is not asked for again stays"


def test_a_version_is_found_by_its_name(
    run: Run, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "data"))
    settings = Settings(model_dir=tmp_path / "data")
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir).put(pretrained_version())
    database = Database(settings.effective_database_url)
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        made = versions.create(
            session, project, round=1, state=VersionState.PUBLISHED, weights_hash=weights, labels=["Bone"]
        )
        versions.publish(session, made)
        name = made.name
    for number, named in enumerate((name, "published")):
        status, said, err = run(
            "predict", "--version", named, hands / "b.png", "--out", tmp_path / str(number)
        )
        assert status == 0, err
        assert "1 written" in said
    status, _, err = run("predict", "--version", "p3-r9", hands / "b.png", "--out", tmp_path / "no")
    assert status == 1
    assert name in err
    assert not (tmp_path / "no").exists()
