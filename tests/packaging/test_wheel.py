"""The built wheel holds both packages whole: templates that are missing would fail only once installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.compose_file import ROOT

PACKAGES = ("model", "ml_backend")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
NEEDED = (
    "ml_backend/page/templates/base.html",
    "ml_backend/page/static/page.css",
    "ml_backend/page/static/page.js",
    "ml_backend/page/openapi.py",
    "ml_backend/store/migrations/env.py",
    "ml_backend/store/migrations/script.py.mako",
    "ml_backend/store/migrations/versions/0001_first_tables.py",
    "model/pretrained/hand-bones/weights.safetensors",
    "model/exporting/standalone.py",
    "model/py.typed",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of the files under version control, as they are now."""
    clean = tmp_path_factory.mktemp("clean")
    for name in tracked("."):
        (clean / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clean / name)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, "dist"], cwd=clean, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (path,) = (clean / "dist").glob("dsal-*-none-any.whl")
    return zipfile.ZipFile(path)


def tracked(*folders: str) -> set[str]:
    """The files of some folders that git knows and that are there."""
    found = subprocess.run(
        ["git", "ls-files", "-z", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name for name in found.stdout.split("\0") if name and (ROOT / name).is_file()}


def test_the_wheel_holds_every_file_of_both_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == tracked(*PACKAGES)
    assert set(NEEDED) <= names


def test_the_wheel_has_the_command_the_licence_and_the_readme(wheel: zipfile.ZipFile) -> None:
    (info,) = {Path(name).parts[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "dsal = ml_backend.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    metadata = wheel.read(f"{info}/METADATA").decode()
    assert (ROOT / "README.md").read_text(encoding="utf-8").strip() in metadata
