"""File names for the images of tasks: safe on every system, and each used once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.sources import Kind, resolve

LONGEST = 120
"""Most bytes of a name without its ending; file systems take 255 with it."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


def image_file(task_id: int, data: Mapping[str, Any], config: LabelConfig) -> str:
    """The file name of a task's image as its owner knows it; `task-N` if its address has none."""
    try:
        source = resolve(task_id, data, config, "http://label-studio")
        # The storage address inside Label Studio's own address may be damaged.
        parts = urlsplit(source.url if source.kind is not Kind.STORAGE else source.name)
    except ValueError:  # also AddressError
        return f"task-{task_id}"
    if source.kind is Kind.INLINE:
        return f"task-{task_id}"
    path = parts.path
    if source.kind is Kind.LOCAL_FILE:
        path = parse_qs(parts.query).get("d", [""])[0]
    name = PurePosixPath(unquote(path).replace("\\", "/")).name
    if source.kind is Kind.UPLOAD:
        name = _UPLOADED.sub("", name, count=1) if _UPLOADED.match(name) else name
    return name or f"task-{task_id}"


def safe(name: str) -> str:
    """A name of letters, digits, dots, dashes and underscores that any system stores as a file's."""
    kept = "".join(
        character if character.isalnum() or character in "-_." else "_"
        for character in unicodedata.normalize("NFC", name)
    )
    kept = kept.encode()[:LONGEST].decode(errors="ignore").strip(".-") or "image"
    return f"_{kept}" if _RESERVED.fullmatch(kept) else kept


class Names:
    """Gives each picture a name of its own, and always the same one."""

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        """`known` has pairs of (key, name) of former runs."""
        self._by_key = dict(known)
        self._taken = {name.casefold() for name in self._by_key.values()}

    def name(self, key: str, file: str) -> str:
        """The name of the picture with this key, from the file name of its image.

        Of two images with one name, also if they differ in their endings or in upper and lower case, the one
        that comes later gets its key as well.
        """
        if key not in self._by_key:
            stem = safe(PurePosixPath(file).stem)
            name, number = stem, 1
            while name.casefold() in self._taken:
                name = f"{stem}-{safe(key)}" if number == 1 else f"{stem}-{safe(key)}-{number}"
                number += 1
            self._by_key[key] = name
            self._taken.add(name.casefold())
        return self._by_key[key]
