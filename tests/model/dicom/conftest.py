"""One process that reads DICOM files, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from model.dicom.reader import DicomReader


@pytest.fixture(scope="session")
def reader() -> Iterator[DicomReader]:
    with DicomReader() as reader:
        yield reader
