"""NIfTI label maps, read back by nibabel."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from model.dicom import DicomError
from model.dicom.nifti import write_nifti
from tests.model.dicom.files import gradient, radiograph, write

LABELS = np.random.default_rng(2).integers(0, 3, (40, 60))
MASKS = {"Bone": LABELS == 1, "Fuge ü": LABELS == 2}


@pytest.mark.parametrize("name", ["map.nii", "map.nii.gz"])
def test_the_label_map_comes_back_to_the_pixel_with_its_spacing(tmp_path: Path, name: str) -> None:
    legend = write_nifti(MASKS, tmp_path / name, spacing=(0.2, 0.1))
    found = nibabel.load(tmp_path / name)
    assert legend == {"Bone": 1, "Fuge ü": 2}
    values = np.asarray(found.dataobj)
    assert values.dtype == np.uint8
    assert np.array_equal(values[..., 0].T, LABELS)
    assert found.header.get_zooms() == pytest.approx((0.1, 0.2, 1))
    assert np.allclose(found.affine, np.diag([-0.1, -0.2, 1, 1]))
    assert found.header.get_xyzt_units()[0] == "mm"
    assert json.loads(found.header.extensions[0].get_content()) == {"1": "Bone", "2": "Fuge ü"}


def test_size_and_spacing_are_those_of_the_source(tmp_path: Path) -> None:
    source = write(radiograph(gradient(), PixelSpacing=[0.3, 0.15]), tmp_path / "made.dcm")
    shown = {label: np.repeat(mask, 2, axis=0) for label, mask in MASKS.items()}
    write_nifti(shown, tmp_path / "map.nii.gz", source=source)
    found = nibabel.load(tmp_path / "map.nii.gz")
    assert np.array_equal(np.asarray(found.dataobj)[..., 0].T, LABELS)
    assert found.header.get_zooms() == pytest.approx((0.15, 0.3, 1))
    assert b"Doe" not in (tmp_path / "map.nii.gz").read_bytes()


def test_masks_that_a_label_map_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DicomError, match="Fuge overlaps another label"):
        write_nifti({"Bone": LABELS == 1, "Fuge": LABELS > 0}, tmp_path / "map.nii")
    with pytest.raises(DicomError, match="holds 255 labels"):
        write_nifti({str(number): LABELS == 9 for number in range(256)}, tmp_path / "map.nii")
    with pytest.raises(DicomError, match="is it the file that was imported"):
        write_nifti({"Bone": LABELS == 1, "Fuge": np.zeros((4, 4), bool)}, tmp_path / "map.nii")
    assert not (tmp_path / "map.nii").exists()
