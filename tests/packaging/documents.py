"""The documents that people read, and what is in their fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.packaging.compose_file import ROOT

AT_ROOT = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"]
DOCUMENTS = [*AT_ROOT, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
"""All but CHANGELOG.md, which says what was."""
LANGUAGES = {"console", "ini", "text", "python", "xml", "yaml", "json"}
"""Commands are in `console` blocks, lines of an environment in `ini`, what programs print in `text`."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language and its lines without the indentation of the fence."""

    document: str
    language: str
    text: str


def read(document: str) -> str:
    """The text of a document of the repository."""
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(language: str | None = None) -> Iterator[Block]:
    """The fenced blocks of all documents, or those of one language."""
    for document in DOCUMENTS:
        for indent, found, text in FENCE.findall(read(document)):
            if language in (None, found):
                lines = (line.removeprefix(indent) for line in text.splitlines(keepends=True))
                yield Block(document, found, "".join(lines))


def commands() -> list[tuple[str, str]]:
    """Each fenced command with its document; a line that ends with a backslash goes on."""
    found = []
    for block in blocks("console"):
        whole = re.sub(r"\\\n\s*", "", block.text)
        found += [(block.document, line) for line in whole.splitlines() if line.strip()]
    return found


def mentions() -> list[tuple[str, str]]:
    """Each piece of inline code that is not within a fence, with its document, once a document."""
    found: dict[tuple[str, str], None] = {}
    for document in DOCUMENTS:
        found |= {(document, code): None for code in CODE.findall(FENCE.sub("", read(document)))}
    return list(found)
