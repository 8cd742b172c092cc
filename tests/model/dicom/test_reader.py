"""The process that reads DICOM files: it may end, and the next file is read all the same."""

from __future__ import annotations

import random
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from model.dicom import DicomError
from model.dicom.reader import DicomReader
from tests.model.dicom.files import gradient, own, radiograph, write


@pytest.mark.parametrize(
    "name", ["JPEG-LL.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"]
)
def test_no_damage_ends_the_reading(reader: DicomReader, tmp_path: Path, name: str) -> None:
    """Some of these files end the decoder; which ones depends on its release."""
    whole = own(name).read_bytes()
    begin = whole.rfind(b"\xe0\x7f\x10\x00")
    for seed in range(15):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.choice([1, 2, 5, 20])):
            data[chance.randrange(begin, min(len(data), begin + 400))] = chance.randrange(256)
        (tmp_path / "damaged.dcm").write_bytes(data)
        with suppress(DicomError):
            reader.read(tmp_path / "damaged.dcm")
    assert reader.read(own(name)).pixels.any()


def test_a_file_that_unpacks_to_gigabytes_fails_alone(reader: DicomReader, tmp_path: Path) -> None:
    path = write(bomb(), tmp_path / "bomb.dcm")
    data = path.read_bytes()
    # The data set is deflated behind the file's meta information.
    start = 132 + 12 + int.from_bytes(data[140:144], "little")
    inner = zlib.decompress(data[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(inner) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush blocks do not depend on each other, so one block of zeros can be repeated.
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    with path.open("wb") as file:
        file.write(data[:start] + head + zeros * 512)
    assert path.stat().st_size < 10 * 2**20
    with pytest.raises(DicomError, match="unpacks to more than 1024 MB"):
        reader.read(path)
    assert reader.read(own("MR_small.dcm")).pixels.any()


def bomb() -> FileDataset:
    made = radiograph(gradient())
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return made


def test_what_is_no_file_is_an_error_of_the_system(reader: DicomReader, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        reader.read(tmp_path / "none.dcm")


def test_nothing_from_a_file_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """pydicom warns about wrong values, and quotes them."""
    made = radiograph(gradient(), BitsStored=12)
    made.add_new("PatientAge", "AS", "JANE-DOE")
    made.add_new("WindowCenter", "LO", "JANE-DOE")
    made.add_new("WindowWidth", "LO", "JANE-DOE")
    made.save_as(tmp_path / "made.dcm")
    capfd.readouterr()
    with DicomReader() as reader:
        try:
            said = "; ".join(reader.read(tmp_path / "made.dcm").notes)
        except DicomError as error:
            said = str(error)
    assert said
    assert "DOE" not in said + "".join(capfd.readouterr())
