"""The store of versions' files, at a URL: written once under a content hash, verified when read."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import stringify_path

from ml_backend.items import OutsideFault
from model.durability import sync

logger = logging.getLogger(__name__)

MANIFEST = "MANIFEST.json"
HASH = re.compile(r"[0-9a-f]{64}")
PARTIAL = ".partial-"
"""How the names of unfinished files and folders begin."""
ADDED = ("openvino.",)
"""How the names of files begin that an engine adds to a cached version."""
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
        key = _key_of(digests)
        if not (self._fs.exists(self._path(key, MANIFEST)) and self.is_whole(key)):
            self._put(key, directory, digests)
        return key

    def _put(self, key: str, directory: Path, digests: Mapping[str, str]) -> None:
        for name in digests:
            self._write(self._path(key, name), directory / name)
        with tempfile.NamedTemporaryFile() as handle:
            handle.write(_manifest_of(digests))
            handle.flush()
            self._write(self._path(key, MANIFEST), Path(handle.name))

    def get(self, key: str) -> Path:
        """Local folder with the files stored under `key`; they are fetched if they are not in the cache.

        Either way their digests are checked: a cached copy that is damaged is dropped and fetched again.

        Raises:
            WeightStoreError: `key` is not a hash, is not in the store, or its files there are damaged.
        """
        target = self._cache / _checked(key)
        if self._cached(key) is not None:
            # The versions used last are kept; another process may have deleted this one.
            with suppress(FileNotFoundError):
                os.utime(target)
            return target
        self._cache.mkdir(parents=True, exist_ok=True)
        self._drop(target)
        self._make_room()
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._cache))
        try:
            self._fetch(key, partial)
            sync(*partial.rglob("*"), partial)
            try:
                partial.rename(target)
            except OSError:
                # Another process was faster; its copy has been verified as well.
                if not target.is_dir():
                    raise
            sync(self._cache)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def _cached(self, key: str) -> dict[str, str] | None:
        """The digests of the files that the cache has of `key`; None if it has none or they are damaged."""
        folder = self._cache / _checked(key)
        try:
            found = {
                path.relative_to(folder).as_posix(): _digest(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and not path.relative_to(folder).parts[0].startswith(".")
            }
        except OSError:  # another process is replacing it
            return None
        stored = {name: digest for name, digest in found.items() if not name.startswith(ADDED)}
        return next((digests for digests in (found, stored) if _key_of(digests) == key), None)

    def _drop(self, folder: Path) -> None:
        """Remove a damaged copy from the cache, at once for all readers."""
        aside = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._cache))
        with suppress(FileNotFoundError):
            folder.rename(aside / folder.name)
            logger.warning("The cached weights %s are damaged: they are fetched again.", folder.name)
        shutil.rmtree(aside, ignore_errors=True)

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
            return all(self._fs.exists(self._path(key, name)) for name in self._manifest(key))
        except WeightStoreError:
            return False

    def is_whole(self, key: str) -> bool:
        """Whether the store has all files of `key` undamaged; reads all of them."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                self._fetch(key, Path(folder))
        except WeightStoreError:
            return False
        return True

    @property
    def is_local(self) -> bool:
        """Whether the store is a folder, which is read quickly."""
        return isinstance(self._fs, LocalFileSystem)

    def can_give(self, key: str) -> bool:
        """Whether `get` gives the files, which are in the local cache afterwards."""
        try:
            self.get(key)
        except WeightStoreError:
            return False
        return True

    def restore(self, key: str) -> bool:
        """Store the files of `key` again from the local cache; False if it has no undamaged copy."""
        digests = self._cached(key)
        if digests is None:
            return False
        self._put(key, self._cache / key, digests)
        return True

    def sweep(self, seconds: float) -> int:
        """Delete what interrupted processes left at least so long ago; returns the number of deletions."""
        folders = [self._cache, *([Path(self._root)] if self.is_local else [])]
        patterns = (f"{PARTIAL}*", f"*/{PARTIAL}*")
        found = [path for folder in folders for pattern in patterns for path in folder.glob(pattern)]
        return sum(remove_if_older(path, seconds) for path in found)

    def delete(self, key: str) -> None:
        """Delete the files stored under `key`, if any, from the store and the local cache."""
        folder = f"{self._root}/{_checked(key)}"
        if self._fs.exists(folder):
            # Without a manifest, readers ignore a half-deleted folder.
            if self._fs.exists(self._path(key, MANIFEST)):
                self._fs.rm_file(self._path(key, MANIFEST))
            self._fs.rm(folder, recursive=True)
        shutil.rmtree(self._cache / key, ignore_errors=True)

    def _manifest(self, key: str) -> dict[str, str]:
        """The digests of the files stored under `key`, by name."""
        try:
            manifest: bytes = self._fs.cat_file(self._path(key, MANIFEST))
        except FileNotFoundError as error:
            raise WeightStoreError(f"No weights are stored under {key}.") from error
        if hashlib.sha256(manifest).hexdigest() != key:
            raise WeightStoreError(_altered(MANIFEST, key))
        try:
            digests = json.loads(manifest)
        except (ValueError, RecursionError) as error:
            raise WeightStoreError(f"The manifest of the weights {key} cannot be read.") from error
        if not isinstance(digests, dict) or not all(isinstance(one, str) for one in digests.values()):
            raise WeightStoreError(f"The manifest of the weights {key} is no list of digests.")
        return digests

    def _fetch(self, key: str, directory: Path) -> None:
        for name, digest in self._manifest(key).items():
            local = directory / _inside(name)
            local.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._fs.get_file(self._path(key, name), str(local))
            except FileNotFoundError as error:
                raise WeightStoreError(f"{name} of the weights {key} is missing from the store.") from error
            if _digest(local) != digest:
                raise WeightStoreError(_altered(name, key))

    def _write(self, path: str, source: Path) -> None:
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        if isinstance(self._fs, LocalFileSystem):
            # Object stores show a file only once it is complete; a local folder needs a rename for that.
            number, name = tempfile.mkstemp(dir=Path(path).parent, prefix=PARTIAL)
            partial = Path(name)
            try:
                with os.fdopen(number, "wb") as handle:
                    handle.write(source.read_bytes())
                # Without this, a power failure may leave a file under its final name that was never written.
                sync(partial)
                partial.replace(path)
            finally:
                # On a disk that is full it would keep the last bytes.
                partial.unlink(missing_ok=True)
            sync(partial.parent)
        else:
            self._fs.put_file(str(source), path)

    def _path(self, key: str, name: str) -> str:
        return f"{self._root}/{_checked(key)}/{_inside(name)}"


def remove_if_older(path: Path, seconds: float) -> bool:
    """Delete a file or folder if it and everything in it is unchanged for so long; whether it was deleted."""
    with suppress(FileNotFoundError):
        if max(one.stat().st_mtime for one in (path, *path.rglob("*"))) > time.time() - seconds:
            return False
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
        return True
    return False


def _key_of(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(_manifest_of(digests)).hexdigest()


def _manifest_of(digests: Mapping[str, str]) -> bytes:
    return json.dumps(digests, sort_keys=True).encode()


def _altered(name: str, key: str) -> str:
    return f"{name} of the weights {key} was altered; restore it from a backup, or train again."


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
