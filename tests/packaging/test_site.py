"""The site of the documents: complete, without broken links, and without anything from another address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.packaging.compose_file import ROOT
from tests.packaging.documents import AT_ROOT, DOCUMENTS

LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "manifest"}
"""Attributes whose address a browser fetches, or sends a form to; of `href` only that of a `link`."""
CONTENT = {"p", "li", "td"}
BROKEN = re.compile(r"(^|\n)\s*([-*+]|\d+\.)\s|```|\|\s*-{3}|\*\*|\]\(")
"""Markdown that was not understood: a list, a fence, a table or a link in the repository's own view."""


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", site],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(ROOT, folder)
    assert built.returncode == 0, built.stderr
    return folder


class Seen(HTMLParser):
    """What a page fetches, and the text of its paragraphs, items and cells without their code."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.texts: list[str] = []
        self._inside: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside.append(tag)
        if tag in CONTENT:
            self.texts.append("")
        for name, value in attrs:
            if name in LOADING or (name == "href" and tag == "link"):
                self.fetched.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        while tag in self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.texts and not {"code", "pre", "script", "style"} & set(self._inside):
            self.texts[-1] += data


def test_every_document_is_a_page(site: Path) -> None:
    expected = {Path(name).stem for name in DOCUMENTS if name not in AT_ROOT}
    expected |= {"start", "contributing", "security", "changelog", "benchmarks"}
    assert {page.stem for page in site.glob("*.html")} == expected | {"404"}
    assert "dsal connect --create" in (site / "start.html").read_text(encoding="utf-8")


def test_a_page_fetches_nothing_from_another_address(site: Path) -> None:
    for page in site.rglob("*.html"):
        elsewhere = [place for place in Seen(page).fetched if re.match(r"\s*([a-z]+:)?//", place)]
        assert elsewhere == [], page.name
    for sheet in site.rglob("*.css"):
        assert (
            re.findall(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//", sheet.read_text(encoding="utf-8"))
            == []
        )


def test_the_browser_is_told_to_refuse_other_addresses(site: Path) -> None:
    """The theme's own script knows addresses, of which it fetches some for what our pages do not have."""
    for page in site.glob("*.html"):
        head = page.read_text(encoding="utf-8").partition("</head>")[0]
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', head)
        assert policy, page.name
        assert policy[1] == "default-src 'self' file: data: blob: 'unsafe-inline'"
        assert policy.start() < min(head.index("<script"), head.index("<link")), page.name


def test_markdown_means_the_same_as_in_the_repository(site: Path) -> None:
    for page in site.glob("*.html"):
        broken = [text for text in Seen(page).texts if BROKEN.search(text)]
        assert broken == [], page.name


def test_search_works_in_a_copy_on_a_disk(site: Path) -> None:
    assert (
        "most informative first" in (site / "search" / "search_index.js").read_text(encoding="utf-8").lower()
    )
    for shim in site.glob("assets/iframe-worker/*.js"):
        assert f"assets/iframe-worker/{shim.name}" in (site / "index.html").read_text(encoding="utf-8")
        break
    else:
        pytest.fail("the search of a copy on a disk needs the shim")


def test_broken_links_and_forgotten_pages_fail_the_build(tmp_path: Path) -> None:
    small(tmp_path)
    links = ["nowhere.md", "page.md#no-such-part", "../NOWHERE.md", "#not-here"]
    (tmp_path / "docs" / "index.md").write_text("# A\n\n" + "".join(f"[there]({link})\n" for link in links))
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert [name for name in (*links, "forgotten.md") if name not in built.stderr] == []


def small(checkout: Path) -> None:
    """A checkout with the site's own settings, but two short pages, which are built at once."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    before, _, rest = text.partition("nav:\n")
    after = rest.partition("# Each of these")[2]
    nav = "nav:\n  - index.md\n  - page.md\n  - start.md\n"
    nav += "".join(f"  - {name}.md\n" for name in ("contributing", "security", "changelog", "benchmarks"))
    (checkout / "mkdocs.yml").write_text(f"{before}{nav}\n# Each of these{after}")
    shutil.copytree(ROOT / "scripts" / "site", checkout / "scripts" / "site")
    for name in (
        *AT_ROOT,
        "CHANGELOG.md",
        "docs/index.md",
        "docs/page.md",
        "ml_backend/page/static/icon.svg",
    ):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name) if name.endswith("svg") else (checkout / name).write_text(
            "# A\n"
        )
