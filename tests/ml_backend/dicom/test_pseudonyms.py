"""Pseudonyms and the secret that they are made under."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from ml_backend.dicom.pseudonyms import SECRET_FILE, SecretError, pseudonym, pseudonym_of, read_secret
from ml_backend.settings import Settings

UID = "1.2.840.113619.2.55.3.604688119.971.1234567890.1"
NAME = "0123456789abcdef0123456789abcdef"


def test_each_installation_has_its_own_pseudonyms_and_keeps_them(tmp_path: Path) -> None:
    one, other = (Settings(model_dir=tmp_path / name) for name in ("one", "other"))
    first = pseudonym(UID, read_secret(one, create=True))
    assert pseudonym(UID, read_secret(one, create=True)) == first
    assert pseudonym(UID, read_secret(one)) == first
    assert pseudonym(UID, read_secret(other, create=True)) != first
    assert pseudonym(UID + "2", read_secret(one)) != first
    assert len(first) == 32
    mode = (one.model_dir / SECRET_FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_secret_that_is_set_precedes_the_file(tmp_path: Path) -> None:
    chosen = Settings(model_dir=tmp_path, dicom_secret="x" * 32)
    assert read_secret(chosen, create=True) == b"x" * 32
    assert not (tmp_path / SECRET_FILE).exists()
    with pytest.raises(ValidationError, match="at least 32 characters"):
        Settings(dicom_secret="short")


def test_a_missing_or_damaged_secret_is_not_replaced(tmp_path: Path) -> None:
    """A new one would orphan every task."""
    settings = Settings(model_dir=tmp_path)
    with pytest.raises(SecretError, match="does not exist"):
        read_secret(settings)
    for damaged in (b"", b"abc\n", b"\xff" * 64):
        (tmp_path / SECRET_FILE).write_bytes(damaged)
        with pytest.raises(SecretError, match="is damaged; restore it"):
            read_secret(settings, create=True)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"image": f"/data/upload/7/ab12cd34-{NAME}.png", "dicom": NAME}, NAME),
        ({"image": f"/data/upload/7/ab12cd34-{NAME}.png"}, NAME),
        ({"image": f"s3://bucket/scans/{NAME}.png"}, NAME),
        ({"image": f"https://files/{NAME}.png?signature=5"}, NAME),
        ({"image": "/data/upload/7/ab12cd34-hand.png"}, None),
        ({"image": f"/data/upload/7/{NAME}0.png", "dicom": 5}, None),
        ({}, None),
    ],
)
def test_the_pseudonym_of_a_task_is_found(data: dict[str, object], found: str | None) -> None:
    assert pseudonym_of(data) == found
