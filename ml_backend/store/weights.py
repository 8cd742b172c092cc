"""The store of versions' files, at a URL: written once under a content hash, verified when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import stringify_path

from ml_backend.items import OutsideFault

MANIFEST = "MANIFEST.json"
HASH = re.compile(r"[0-9a-f]{64}")
BLOCK = 2**20
"""Bytes read at once."""
CACHED_VERSIONS = 50
"""Most versions in the local cache: a training replaces its weights every few seconds, on every machine."""


class WeightStoreError(OutsideFault, ValueError):
    """A version's files cannot be read from the store or written to it."""


class WeightStore:
    """Folders of files under `<hash>/…`; the hash is that of a manifest with the digest of each file.

    The manifest is written last, so a folder without one is an interrupted write, which readers ignore.
    """

    def __init__(self, url: str, cache_dir: Path) -> None:
        """Use the store at `url` (any that fsspec supports), and cache fetched files in `cache_dir`."""
        self._fs, root = fsspec.url_to_fs(url)
        self._root = stringify_path(root).rstrip("/")
        self._cache = cache_dir

    def put(self, directory: Path) -> str:
        """Store all files below `directory`, the same content only once; returns their hash.

        Raises:
            WeightStoreError: there are no files, or one has the name of the manifest.
        """
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        if not files:
            raise WeightStoreError(f"There is nothing to store in {directory.name}.")
        digests = {path.relative_to(directory).as_posix(): _digest(path) for path in files}
        if MANIFEST in digests:
            raise WeightStoreError(f"The name {MANIFEST} is reserved; rename that file in {directory.name}.")
        manifest = json.dumps(digests, sort_keys=True).encode()
        key = hashlib.sha256(manifest).hexdigest()
        if self._fs.exists(self._path(key, MANIFEST)):
            return key
        for name in digests:
            self._write(self._path(key, name), directory / name)
        with tempfile.NamedTemporaryFile() as handle:
            handle.write(manifest)
            handle.flush()
            self._write(self._path(key, MANIFEST), Path(handle.name))
        return key

    def get(self, key: str) -> Path:
        """Local folder with the files stored under `key`; they are fetched and verified if not yet cached.

        Raises:
            WeightStoreError: `key` is not a hash, is not in the store, or its files were altered.
        """
        target = self._cache / _checked(key)
        if target.is_dir():
            # The versions used last are kept; another process may have deleted this one.
            with suppress(FileNotFoundError):
                os.utime(target)
            return target
        self._cache.mkdir(parents=True, exist_ok=True)
        self._make_room()
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._cache))
        try:
            self._fetch(key, partial)
            try:
                partial.rename(target)
            except OSError:
                # Another process was faster; its copy has been verified as well.
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def _make_room(self) -> None:
        """Delete the cached versions that were not used for the longest time, if there are too many."""
        used: dict[Path, float] = {}
        for folder in self._cache.iterdir():
            with suppress(FileNotFoundError):
                if HASH.fullmatch(folder.name):
                    used[folder] = folder.stat().st_mtime
        for folder in sorted(used, key=lambda folder: used[folder])[
            : max(0, len(used) - CACHED_VERSIONS + 1)
        ]:
            shutil.rmtree(folder, ignore_errors=True)

    def contains(self, key: str) -> bool:
        """Whether all files of `key` are in the store; their content is not verified."""
        try:
            manifest: bytes = self._fs.cat_file(self._path(key, MANIFEST))
        except FileNotFoundError:
            return False
        return all(self._fs.exists(self._path(key, name)) for name in json.loads(manifest))

    def can_give(self, key: str) -> bool:
        """Whether `get` would find the files, in the local cache or in the store."""
        return (self._cache / _checked(key)).is_dir() or self.contains(key)

    def restore(self, key: str) -> bool:
        """Store the files of `key` again from the local cache; False if they are missing or have changed."""
        cached = self._cache / _checked(key)
        if not cached.is_dir():
            return False
        if self._fs.exists(self._path(key, MANIFEST)):
            # Otherwise `put` would treat the damaged folder as complete.
            self._fs.rm_file(self._path(key, MANIFEST))
        return self.put(cached) == key

    def delete(self, key: str) -> None:
        """Delete the files stored under `key`, if any, from the store and the local cache."""
        folder = f"{self._root}/{_checked(key)}"
        if self._fs.exists(folder):
            # Without a manifest, readers ignore a half-deleted folder.
            if self._fs.exists(self._path(key, MANIFEST)):
                self._fs.rm_file(self._path(key, MANIFEST))
            self._fs.rm(folder, recursive=True)
        shutil.rmtree(self._cache / key, ignore_errors=True)

    def _fetch(self, key: str, directory: Path) -> None:
        try:
            manifest: bytes = self._fs.cat_file(self._path(key, MANIFEST))
        except FileNotFoundError as error:
            raise WeightStoreError(f"No weights are stored under {key}.") from error
        if hashlib.sha256(manifest).hexdigest() != key:
            raise WeightStoreError(
                f"The weights stored under {key} were altered; delete them and train again."
            )
        for name, digest in json.loads(manifest).items():
            local = directory / _inside(name)
            local.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(self._path(key, name), str(local))
            if _digest(local) != digest:
                raise WeightStoreError(
                    f"{name} of the weights {key} was altered; delete them and train again."
                )

    def _write(self, path: str, source: Path) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(self._fs, LocalFileSystem):
            # Object stores show a file only once it is complete; a local folder needs a rename for that.
            with tempfile.NamedTemporaryFile(
                dir=Path(path).parent, prefix=".partial-", delete=False
            ) as handle:
                handle.write(source.read_bytes())
            Path(handle.name).replace(path)
        else:
            self._fs.put_file(str(source), path)

    def _path(self, key: str, name: str) -> str:
        return f"{self._root}/{_checked(key)}/{_inside(name)}"


def _checked(key: str) -> str:
    if not HASH.fullmatch(key):
        raise WeightStoreError("A hash of weights must have 64 hexadecimal digits.")
    return key


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise WeightStoreError("The name of a stored file leads out of its folder.")
    return name


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
