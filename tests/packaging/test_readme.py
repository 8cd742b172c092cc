"""What the documents say of settings, configs, results and one another is so.

test_commands.py is about commands, and test_site.py about the site of the documents.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import fields

import pytest
import yaml
from compose_spec import PyOptions

from ml_backend.label_studio.config import Knobs, parse
from ml_backend.label_studio.http_client import CERTIFICATES
from ml_backend.label_studio.regions.forms import FORMS
from ml_backend.settings import Settings
from ml_backend.web import framework as adapter
from scripts import science_tables
from scripts.settings_table import PAGE, filled
from tests import framework
from tests.packaging import compose_file
from tests.packaging.compose_file import ROOT
from tests.packaging.documents import DOCUMENTS, blocks, read

ALL = [*DOCUMENTS, "CHANGELOG.md"]
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LARGEST_PICTURE = 300_000
"""Bytes; a reader on a slow line waits for each."""


def test_the_settings_table_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == filled(text), "run .venv/bin/python scripts/settings_table.py"


def test_the_tables_of_results_match_the_summaries() -> None:
    text = science_tables.PAGE.read_text(encoding="utf-8")
    assert text == science_tables.filled(text), "run .venv/bin/python scripts/science_tables.py"
    assert science_tables.filled(text.replace("0.8", "0.9")) != text.replace("0.8", "0.9")


@pytest.mark.parametrize("document", ALL)
def test_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", read(document))
    places = [link.split("#")[0] for link in links if "://" not in link]
    missing = [place for place in places if place and not ((ROOT / document).parent / place).exists()]
    assert missing == []


@pytest.mark.parametrize("document", ALL)
def test_pictures_are_described_and_small(document: str) -> None:
    for said, place in PICTURE.findall(read(document)):
        assert len(said.split()) >= 3, f"{place}: say what is to be seen"
        assert ((ROOT / document).parent / place).stat().st_size <= LARGEST_PICTURE, place


@pytest.mark.parametrize("document", ALL)
def test_every_variable_that_is_named_exists(document: str) -> None:
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", read(document)))
    known = {name.upper() for name in Settings.model_fields} | set(compose_file.variables())
    # Label Studio's settings and events that the documents mention, and variables that all programs read.
    others = {
        "ML_BLOCK_LOCAL_IP",
        "LOCAL_FILES_SERVING_ENABLED",
        "LOCAL_FILES_DOCUMENT_ROOT",
        "PROJECT_UPDATED",
    }
    others |= {"HTTP_PROXY", "ALL_PROXY", "OMP_NUM_THREADS", "DSAL_FAULTS", *CERTIFICATES}
    assert {name.removeprefix("LABEL_STUDIO_") for name in named - known} <= others


def test_environment_lines_are_those_of_the_compose_file() -> None:
    services = compose_file.raw()["services"].values()
    given = {name for service in services for name in service.get("environment", {})}
    named = {line.split("=")[0].strip() for block in blocks("ini") for line in block.text.splitlines()}
    assert named <= given | set(compose_file.variables())


def test_the_labeling_configs_are_ones_that_work() -> None:
    shown = [parse(block.text) for block in blocks("xml")]
    assert {config.labels for config in shown} == {("Bone",)}
    assert not any(config.faults for config in shown)


def test_the_guide_lists_every_knob_and_every_form() -> None:
    guide = (ROOT / "docs" / "label-studio-setup.md").read_text(encoding="utf-8")
    knobs = set(re.findall(r"^\| `(model_\w+)`", guide, flags=re.MULTILINE))
    assert knobs == {f"model_{knob.name}" for knob in fields(Knobs)} | {"model_skip"}
    assert all(f"| `{form.name.title()}Labels" in guide for form in FORMS)


def test_the_additions_to_the_compose_file_are_valid() -> None:
    for block in blocks("yaml"):
        services = compose_file.raw()["services"]
        added = yaml.safe_load(block.text)["services"]
        assert set(added) <= set(services)
        whole = {name: {**service, "image": "x"} for name, service in added.items()}
        PyOptions().from_yaml(yaml.safe_dump({"services": whole})).validate()


def test_the_framework_s_script_is_the_one_that_its_test_starts() -> None:
    shown = [block.text for block in blocks("python") if block.document == "docs/operations.md"]
    assert shown == [framework.MODEL]
    assert textwrap.indent(framework.MODEL, "    ") in (adapter.__doc__ or "")


def test_every_document_is_linked_from_the_readme() -> None:
    text = read("README.md")
    missing = [document for document in DOCUMENTS[1:] if f"]({document}" not in text]
    assert missing == ["docs/index.md"], "the site's first page; the README is that of the repository"
