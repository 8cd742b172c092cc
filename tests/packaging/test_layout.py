"""The layout that docs/design.md and CONTRIBUTING.md describe is the layout there is.

A room is a package directly below `ml_backend` or `model`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache

import pytest

from tests.packaging.compose_file import ROOT
from tests.packaging.documents import CODE, FENCE, read

DESIGN = "docs/design.md"
PACKAGES = ("ml_backend", "model")
NAME = re.compile(r"\b[a-z_0-9]+(?:\.py|/)")
"""A module or a folder in the layout."""
PATH = re.compile(r"[a-z_0-9]+(/[a-z_0-9]+)*(\.py|/)|[a-z_0-9]+(/[a-z_0-9]+)+")
"""A module or a folder in inline code."""


@cache
def layout() -> str:
    """The block of text that says what is where."""
    (text,) = (text for _, language, text in FENCE.findall(read(DESIGN)) if language == "text")
    return str(text)


def rows(package: str) -> Iterator[tuple[str, list[str]]]:
    """The rows of a package in the layout: what each begins with, and all names in it."""
    (section,) = re.findall(rf"^{package}/\n((?:  .*\n)*)", layout(), re.M)
    for row in re.split(r"\n(?=  \S)", section.rstrip()):
        names = NAME.findall(row)
        yield names[0], names


def rooms(package: str) -> set[str]:
    """The names of a package's rooms, each with a slash."""
    return {f"{path.parent.name}/" for path in (ROOT / package).glob("*/__init__.py")}


def modules(package: str) -> set[str]:
    """The file names of a package's modules that are in no room."""
    return {path.name for path in (ROOT / package).glob("*.py")} - {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_layout_names_all_that_is_in_a_package_and_nothing_that_is_gone(package: str) -> None:
    outer, inner = set(), set()
    for head, names in rows(package):
        for name in names:
            if (ROOT / package / head / name).exists():
                inner.add(head + name)
            else:
                outer.add(name)
    assert outer == rooms(package) | modules(package)
    folders = {path.parent.relative_to(ROOT / package) for path in (ROOT / package).glob("*/*/__init__.py")}
    assert inner >= {f"{folder}/" for folder in folders}


def test_the_layout_lists_the_rooms_of_the_service_as_imports_may_go() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if "ml_backend.cli" in each.get("layers", ()))
    depths = {
        room.strip().removeprefix("ml_backend."): depth
        for depth, layer in enumerate(layers)
        for room in layer.split(":")
    }
    listed = [re.sub(r"/|\.py", "", head) for head, _ in rows("ml_backend")]
    assert set(listed) == set(depths)
    assert listed == sorted(listed, key=depths.__getitem__)


@pytest.mark.parametrize("root", ["tests", "scripts"])
def test_the_layout_names_the_folders_of_tests_and_scripts(root: str) -> None:
    (row,) = re.findall(rf"^{root}/ +(.*\n(?:   .*\n)*)", layout(), re.M)
    named = {name for name in NAME.findall(row) if not (ROOT / name).exists()}
    present = {f"{path.parent.name}/" for path in (ROOT / root).glob("*/*")}
    assert named == present - {"__pycache__/", *(f"{package}/" for package in PACKAGES)}


@pytest.mark.parametrize("document", [DESIGN, "CONTRIBUTING.md"])
def test_every_module_that_is_named_exists(document: str) -> None:
    missing = []
    for paragraph in re.split(r"\n(?=[-|#\n])", FENCE.sub("", read(document))):
        places = [ROOT, *(ROOT / package for package in PACKAGES)]
        for code in CODE.findall(paragraph):
            if not PATH.fullmatch(code):
                continue
            found = next((place / code for place in places if (place / code).exists()), None)
            if found is None:
                missing.append(f"{code} in “{' '.join(paragraph.split())[:60]}…”")
            else:
                # The next name in the paragraph may begin in this folder, or in the one around it.
                folder = found if found.is_dir() else found.parent
                places += [folder, folder.parent]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_table_of_what_to_change_leads_into_every_room(package: str) -> None:
    table = read(DESIGN).partition("### Where to change what")[2].partition("\n## ")[0]
    start = "" if package == "ml_backend" else "model/"
    assert [room for room in sorted(rooms(package)) if f"`{start}{room}" not in table] == []


def test_the_table_of_benchmarks_lists_each_script() -> None:
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", read("benchmarks/README.md"), re.M))
    assert listed == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
