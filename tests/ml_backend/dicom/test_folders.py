"""DICOM files are found by content, and their pseudonyms lead back to them."""

from __future__ import annotations

import shutil
from pathlib import Path

from ml_backend.dicom.folders import find_files, find_sources
from ml_backend.dicom.pseudonyms import pseudonym
from tests.model.dicom.files import gradient, own, radiograph, write

SECRET = b"secret"


def test_files_are_found_by_content(tmp_path: Path) -> None:
    (tmp_path / "disc" / "DICOM").mkdir(parents=True)
    shutil.copy(own("MR_small.dcm"), tmp_path / "disc" / "DICOM" / "IM000001")
    shutil.copy(own("DICOMDIR"), tmp_path / "disc" / "DICOMDIR")
    (tmp_path / "disc" / "README.TXT").write_text("A disc")
    (tmp_path / "disc" / "broken.dcm").write_bytes(b"")
    (tmp_path / "disc" / "loop").symlink_to(tmp_path / "disc")
    (tmp_path / "disc" / "gone.dcm").symlink_to(tmp_path / "nowhere")
    named = tmp_path / "named.txt"
    named.write_text("no DICOM")
    found = find_files([tmp_path / "disc", named, named])
    assert [path.name for path in found.files] == ["broken.dcm", "IM000001", "named.txt"]
    assert (found.others, found.unreadable) == (2, {})


def test_pseudonyms_lead_back_to_the_files(tmp_path: Path) -> None:
    made = [radiograph(gradient()) for _ in range(4)]
    paths = [write(each, tmp_path / f"IM{number}") for number, each in enumerate(made)]
    (tmp_path / "damaged.dcm").write_bytes(paths[0].read_bytes()[:300])
    names = [pseudonym(each.SOPInstanceUID, SECRET) for each in made]
    steps: list[tuple[int, int]] = []
    found = find_sources(tmp_path, [*names[1:3], "0" * 32], SECRET, lambda *step: steps.append(step))
    assert found == {names[1]: paths[1], names[2]: paths[2]}
    assert steps[-1] == (5, 5)
    assert find_sources(tmp_path, names, b"another secret") == {}
