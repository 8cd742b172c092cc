"""What `dsal doctor` says of a store with a damaged file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_backend.doctor import Installation, State
from ml_backend.doctor.finding import Verdict
from ml_backend.doctor.infrastructure import check_weights
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.models import Version
from ml_backend.store.weights import MANIFEST, WeightStore
from tests.ml_backend.store.replaced import FILE, replaced


class Case:
    """A project with a superseded and a published version, and their files."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(model_dir=folder / "data")
        self.settings.model_dir.mkdir()
        self.database = Database(self.settings.effective_database_url)
        self.store = folder / "data" / "store"
        store = WeightStore(self.settings.effective_store_url, self.settings.weights_cache_dir)
        self.former, self.current = replaced(self.database, store, folder)

    def file(self, version: Version, name: str = FILE) -> Path:
        return self.store / str(version.weights_hash) / name

    def verdicts(self) -> list[Verdict]:
        installation = Installation(self.settings)
        installation.database = self.database
        return list(check_weights(installation))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    case = Case(tmp_path)
    yield case
    case.database.close()


def test_whole_files_are_no_fault(case: Case) -> None:
    (verdict,) = case.verdicts()
    assert verdict.state is State.OK
    assert case.current.name in verdict.sentence


@pytest.mark.parametrize("content", [b"", b"weights 3", b"weights 2 and more"])
def test_a_damaged_file_of_the_published_version_is_a_fault_with_a_cure(case: Case, content: bytes) -> None:
    case.file(case.current).write_bytes(content)
    (verdict,) = case.verdicts()
    assert verdict.state is State.FAULT
    assert case.current.name in verdict.sentence
    assert str(case.current.weights_hash) in verdict.sentence
    assert "damaged" in verdict.sentence
    assert "dsal reconcile" in verdict.cure


def test_a_damaged_file_of_a_former_version_is_a_warning_beside_what_is_well(case: Case) -> None:
    case.file(case.former).write_bytes(b"x")
    warning, well = case.verdicts()
    assert warning.state is State.WARNING
    assert case.former.name in warning.sentence
    assert well.state is State.OK


@pytest.mark.parametrize("damage", ["manifest", "missing", "folder"])
def test_a_store_without_the_published_version_is_a_fault(case: Case, damage: str) -> None:
    if damage == "manifest":
        case.file(case.current, MANIFEST).write_text("{}")
    elif damage == "missing":
        case.file(case.current).unlink()
    else:
        case.file(case.current).parent.rename(case.store / "elsewhere")
    faults = [verdict for verdict in case.verdicts() if verdict.state is State.FAULT]
    assert len(faults) == 1
    assert case.current.name in faults[0].sentence
