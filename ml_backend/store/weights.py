"""Versions' files in a store addressed by URL: written once under a content hash, checked when read."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import stringify_path

MANIFEST = "MANIFEST.json"
HASH = re.compile(r"[0-9a-f]{64}")
BLOCK = 2**20


class WeightStoreError(ValueError):
    """The store cannot give or take a version's files."""


class WeightStore:
    """Folders of files under `<hash>/…`, the hash being that of a manifest that names each file's digest.

    The manifest is written last: a folder without one is an interrupted write and does not exist for readers.
    """

    def __init__(self, url: str, cache_dir: Path) -> None:
        """Use the store at `url`, any that fsspec knows, and keep what is fetched in `cache_dir`."""
        self._fs, root = fsspec.url_to_fs(url)
        self._root = stringify_path(root).rstrip("/")
        self._cache = cache_dir

    def put(self, directory: Path) -> str:
        """Store all files below `directory`; returns their hash. The same content is stored only once."""
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        if not files:
            raise WeightStoreError(f"There is nothing to store in {directory.name}.")
        digests = {path.relative_to(directory).as_posix(): _digest(path) for path in files}
        if MANIFEST in digests:
            raise WeightStoreError(f"{MANIFEST} is the store's own file; rename the one in {directory.name}.")
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
        """Folder on this machine that holds the files stored under `key`, fetched and checked if need be.

        Raises `WeightStoreError` if the key is none, is not in the store, or what is there was altered.
        """
        target = self._cache / _checked(key)
        if target.is_dir():
            return target
        self._cache.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self._cache))
        try:
            self._fetch(key, partial)
            try:
                partial.rename(target)
            except OSError:
                # Another process was faster; its copy was checked as well.
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def contains(self, key: str) -> bool:
        """Whether the store holds all files of `key`; their content is not read."""
        try:
            manifest: bytes = self._fs.cat_file(self._path(key, MANIFEST))
        except FileNotFoundError:
            return False
        return all(self._fs.exists(self._path(key, name)) for name in json.loads(manifest))

    def can_give(self, key: str) -> bool:
        """Whether `get` would find the files, in this machine's cache or in the store."""
        return (self._cache / _checked(key)).is_dir() or self.contains(key)

    def put_back(self, key: str) -> bool:
        """Store again what this machine's cache holds under `key`; True if the store has it now."""
        cached = self._cache / _checked(key)
        if not cached.is_dir():
            return False
        if self._fs.exists(self._path(key, MANIFEST)):
            # Otherwise `put` would take the damaged folder for a whole one.
            self._fs.rm_file(self._path(key, MANIFEST))
        return self.put(cached) == key

    def delete(self, key: str) -> None:
        """Remove the files stored under `key`, if any, here and in the store."""
        folder = f"{self._root}/{_checked(key)}"
        if self._fs.exists(folder):
            # Without its manifest a half-deleted folder does not exist for readers.
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
            # Object stores show a file only when it is whole; a folder needs a rename for that.
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
        raise WeightStoreError("A hash of weights has 64 hexadecimal digits.")
    return key


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise WeightStoreError("A stored file's name leads out of its folder.")
    return name


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
