"""What an export has written so far: a file in its folder, by which a later run goes on.

A line for each picture follows the line that says what is exported. Lines are only added, and only after the
files they are about, so an export that was killed lacks at most its last picture.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml_backend.export.formats import Record
from ml_backend.export.pictures import ExportError

FILE = "export.jsonl"
LOCK = ".export.lock"
"""Held by the process that writes into the folder."""


class Journal:
    """The journal of an export into a folder. It holds a line's place for each picture, not its content."""

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        """Go on with the export in `folder`, or begin one; `about` says what is exported.

        Raises:
            ExportError: the folder has other files, or another export.
        """
        self._path = folder / FILE
        self._places: dict[str, tuple[int, str, str]] = {}
        if not self._path.exists():
            if any(one.name != LOCK for one in folder.iterdir()):
                raise ExportError(f"{folder} is not empty and has no export; give --out a new folder.")
            self._path.write_text(json.dumps(about) + "\n", encoding="utf-8")
        self._read(folder, about)

    def _read(self, folder: Path, about: Mapping[str, Any]) -> None:
        whole = 0
        with self._path.open("rb") as file:
            found = None
            with suppress(ValueError):
                found = json.loads(file.readline())
            if not isinstance(found, dict) or found != json.loads(json.dumps(about)):
                raise ExportError(f"{folder} has {_difference(found, about)}; give --out a new folder.")
            whole = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                # A line that a crash of the machine has left damaged is as if it were missing.
                with suppress(ValueError, KeyError, TypeError):
                    record = json.loads(line)
                    self._places[record["key"]] = (whole, record["digest"], record["name"])
                whole += len(line)
        with self._path.open("r+b") as file:
            # A line that was being written when the export was killed.
            file.truncate(whole)

    def names(self) -> list[tuple[str, str]]:
        """(key, name) of all pictures."""
        return [(key, name) for key, (_, _, name) in self._places.items()]

    def digest(self, key: str) -> str | None:
        """What a picture was made from; None if it was not written."""
        place = self._places.get(key)
        return None if place is None else place[1]

    def add(self, record: Record) -> None:
        """Note a picture whose files are written."""
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        with self._path.open("ab") as file:
            place = file.tell()
            file.write(line)
        self._places[record["key"]] = (place, record["digest"], record["name"])

    def drop(self, keys: Collection[str]) -> None:
        """Forget pictures that are no longer part of the export; the file is written again without them."""
        for key in keys:
            self._places.pop(key, None)
        draft = self._path.with_name(f".{FILE}")
        with self._path.open("rb") as file, draft.open("wb") as target:
            target.write(file.readline())
            for key, (place, digest, name) in self._places.items():
                file.seek(place)
                self._places[key] = (target.tell(), digest, name)
                target.write(file.readline())
        draft.replace(self._path)

    def records(self) -> Iterator[Record]:
        """The pictures, one at a time, in the order in which they were first written."""
        with self._path.open("rb") as file:
            for place, _, _ in self._places.values():
                file.seek(place)
                yield json.loads(file.readline())

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def keys(self) -> set[str]:
        """The keys of all pictures."""
        return set(self._places)


def _difference(found: Any, about: Mapping[str, Any]) -> str:
    if not isinstance(found, dict):
        return "a damaged export"
    names = [name for name in {**found, **about} if found.get(name) != about.get(name)]
    told = ", ".join(f"{name} {found.get(name)!r} instead of {about.get(name)!r}" for name in names)
    return f"another export ({told or 'of another release'})"
