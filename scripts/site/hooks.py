"""What mkdocs needs to know of this repository: pages that lie outside `docs`, and links to them.

The documents outside `docs` become pages of the site, and any other file of the checkout that a page links to
is copied beside them, so that a link that works in the repository works on the site as well.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = {
    "README.md": "start.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Place in the repository and on the site."""
ICON = "ml_backend/page/static/icon.svg"
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs`, and the icon of the service's page."""
    for place, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / place)))
    files.append(File.generated(config, "icon.svg", abs_src_path=str(ROOT / ICON)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the page's links at where their targets are on the site."""
    assert page.file.abs_src_path is not None
    folder = Path(page.file.abs_src_path).parent

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / match[1]))
        if not (target.is_relative_to(ROOT) and target.is_file()):
            return match[1]  # mkdocs names it
        uri = uri_of(target.relative_to(ROOT).as_posix())
        if files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, abs_src_path=str(target)))
        return uri

    return LINK.sub(moved, markdown)


def uri_of(place: str) -> str:
    """Where a file of the repository is on the site; all pages are in the site's first folder."""
    return PAGES.get(place, place.removeprefix("docs/"))
