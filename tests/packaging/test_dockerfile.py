"""Static checks of the Dockerfile, and a build of the package from the files that it copies."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import PurePosixPath

import pytest
from packaging.utils import canonicalize_name

from tests.packaging.compose_file import ROOT
from tests.packaging.test_requirements import direct, pins

Instruction = tuple[str, str]


def instructions(text: str) -> list[Instruction]:
    """Keyword and arguments of each instruction, with continued lines joined and without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [(keyword, rest) for keyword, rest in found]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for instruction in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        if instruction[0] == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def of(stage: list[Instruction], keyword: str) -> list[str]:
    return [rest for word, rest in stage if word == keyword]


def copied() -> list[str]:
    """All files and folders that the build copies from the checkout."""
    copies = [rest.split() for stage in stages()[:-1] for rest in of(stage, "COPY")]
    return [source for words in copies for source in words[:-1]]


def health_command() -> list[str]:
    """The HEALTHCHECK's command as a list."""
    (check,) = of(stages()[-1], "HEALTHCHECK")
    command: list[str] = json.loads(check.split("CMD", 1)[1])
    return command


def test_the_container_is_not_root() -> None:
    (user,) = of(stages()[-1], "USER")
    assert int(user.split(":")[0]) > 0


def test_the_final_stage_has_no_build_tools() -> None:
    final = stages()[-1]
    ran = " ".join(of(final, "RUN"))
    assert not re.search(r"apt-get|apk |gcc|\bpip install", ran)
    assert "uninstall --yes" in ran
    assert "pip uninstall --yes pip" in " ".join(of(stages()[0], "RUN"))


def test_all_stages_use_the_same_python() -> None:
    dependencies, package, final = (of(stage, "FROM")[0].split() for stage in stages())
    assert package == ["dependencies", "AS", "package"]
    assert dependencies == ["${PYTHON_IMAGE}", "AS", "dependencies"]
    assert final == ["${PYTHON_IMAGE}"]
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+$", text, re.M)


def test_what_changes_often_comes_last() -> None:
    """A change of the code then makes one layer; tests/compose measures it."""
    copies = [rest.split()[0] for rest in of(stages()[-1], "COPY")]
    assert copies == ["--from=dependencies", *["--from=package"] * 4]
    early = {source for rest in of(stages()[0], "COPY") for source in rest.split()[:-1]}
    assert not early & {"model", "ml_backend", "pyproject.toml"}


def test_the_image_leaves_out_nothing_that_is_imported() -> None:
    """`pip uninstall` of a direct dependency would show only when a user meets it."""
    lines = (ROOT / "scripts" / "image" / "unused.txt").read_text(encoding="utf-8").splitlines()
    left_out = {canonicalize_name(line) for line in lines if not line.startswith("#")}
    pinned = set(pins("requirements.txt"))
    assert left_out <= pinned, "no longer installed"
    asked = {requirement.name for requirements in direct().values() for requirement in requirements}
    assert not left_out & {canonicalize_name(name) for name in asked}


def test_the_image_serves_by_default() -> None:
    final = stages()[-1]
    assert [json.loads(command) for command in of(final, "CMD")] == [["dsal", "serve"]]
    assert of(final, "EXPOSE") == ["9090"]
    assert "/health" in health_command()[-1]


def test_only_what_is_copied_enters_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert let_in == set(copied())
    assert all((ROOT / name).exists() for name in let_in)


def test_the_pin_of_torch_is_found() -> None:
    """Dockerfile and scripts/setup.sh search for this line."""
    found = [
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if re.match("torch==", line)
    ]
    assert len(found) == 1


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package, built as in the Dockerfile from only those files that it copies."""
    context = tmp_path_factory.mktemp("context")
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            # With the compiled files that a checkout has: the package must leave them out by itself.
            shutil.copytree(source, context / name)
        else:
            shutil.copy(source, context / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--wheel-dir", ".", "."], cwd=context, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = context.glob("dsal-*.whl")
    return zipfile.ZipFile(built)


def test_the_package_contains_all_modules_and_migrations(wheel: zipfile.ZipFile) -> None:
    def tracked(*patterns: str) -> set[str]:
        return {
            str(path.relative_to(ROOT))
            for package in ("model", "ml_backend")
            for pattern in patterns
            for path in (ROOT / package).rglob(pattern)
            if "__pycache__" not in path.parts
        }

    assert tracked("*.py", "*.mako", "*.html", "*.js", "*.css") <= set(wheel.namelist())
    assert any(re.match(r"ml_backend/store/migrations/versions/.+\.py", name) for name in wheel.namelist())
    # The weights that are shipped, and the marks by which type checkers know typed packages.
    data = tracked("*.safetensors", "card.json", "py.typed")
    assert {PurePosixPath(name).suffix for name in data} == {".safetensors", ".json", ".typed"}
    assert data <= set(wheel.namelist())


def test_the_package_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, benchmarks or scripts, which would clash with other packages' folders of these names."""
    places = {name.partition("/")[0] for name in wheel.namelist()}
    assert {"dist-info" if place.endswith(".dist-info") else place for place in places} == {
        "model",
        "ml_backend",
        "dist-info",
    }
    assert not [name for name in wheel.namelist() if name.endswith(".pyc")]


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_package_says_under_which_license_it_is(wheel: zipfile.ZipFile) -> None:
    assert metadata_of(wheel)["License-Expression"] == "Apache-2.0"
    (text,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    assert wheel.read(text) == (ROOT / "LICENSE").read_bytes()


def test_the_package_asks_for_ranges(wheel: zipfile.ZipFile) -> None:
    """With exact pins it could not be installed beside anything else."""
    asked = metadata_of(wheel).get_all("Requires-Dist", [])
    assert asked
    assert not [requirement for requirement in asked if "==" in requirement.partition(";")[0]]


def test_the_package_has_the_command(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "dsal = ml_backend.cli:main" in wheel.read(entry_points).decode()
