"""A cache of task images: a bounded folder that several processes may share."""

import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from filelock import FileLock, Timeout

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cached import path_of
from ml_backend.label_studio.images.downloads import DownloadError
from ml_backend.label_studio.images.sources import AddressError, Kind, Source, resolve

Download = Callable[[Source], Generator[bytes, None, None]]

_PARTIAL = ".part-"
_ABANDONED_SECONDS = 3600
_LOCK_SECONDS = 60
_CHECK_SECONDS = 60
"""A process that has just started relies on a check of the folder that is younger than this."""


class ImageUnavailable(Exception):  # noqa: N818 (a condition of the task, as its name says)
    """A task's image cannot be fetched; the message is one sentence that names task and reason."""

    def __init__(self, task_id: int, reason: str, *, transient: bool = False) -> None:
        super().__init__(f"The image of task {task_id} cannot be fetched: {reason}.")
        self.task_id = task_id
        self.transient = transient
        """Whether trying again later may help."""


class _Entry(NamedTuple):
    used: int
    size: int
    path: Path


class CacheBound:
    """Keeps the folder of a cache within its bytes; safe for several threads and processes.

    Checking reads the whole folder, 12 000 files in 0.1 s, so one object must live as long as its process
    uses the folder. Each process checks after writing 5 % of the bytes and evicts down to 90 %, the least
    recently used files first. It also checks with its first file if no process has done so within a minute:
    many short processes, as those of jobs are, never write 5 %.
    """

    def __init__(self, root: Path, cache_bytes: int) -> None:
        """Take the folder, and the maximum size of all its files together."""
        self._root = root
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._unchecked_bytes: int | None = None

    def account(self, written: int) -> None:
        """Count a file of `written` bytes that was added, and evict others if it is time to check."""
        with self._lock:
            if self._unchecked_bytes is None:
                self._unchecked_bytes = 0 if self._is_checked() else self._cache_bytes
            self._unchecked_bytes += written
            if self._unchecked_bytes < self._cache_bytes // 20:
                return
            self._unchecked_bytes = 0
        self._evict()

    def _is_checked(self) -> bool:
        try:
            # A check in the future was made before the clock was set back.
            return 0 <= time.time() - self._stamp.stat().st_mtime < _CHECK_SECONDS
        except FileNotFoundError:
            return False

    @property
    def _stamp(self) -> Path:
        """A file whose time is that of the last check."""
        return self._root / "checked"

    def _evict(self) -> None:
        self._stamp.touch()
        entries = sorted(self._entries())
        total = sum(entry.size for entry in entries)
        for entry in entries:
            if total <= self._cache_bytes * 9 // 10:
                return
            entry.path.unlink(missing_ok=True)
            total -= entry.size

    def _entries(self) -> Iterator[_Entry]:
        """Every finished file; also deletes files that a killed process left partially written."""
        for path in self._root.glob("[0-9]*/[0-9a-f][0-9a-f]/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if not path.name.startswith(_PARTIAL):
                    yield _Entry(status.st_mtime_ns, status.st_size, path)
                elif time.time() - status.st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


class ImageCache:
    """The images of one project by address, as a folder of files; safe for several threads and processes.

    An address is fetched once while it stays in the cache, also under concurrent requests; a file changed
    at the same address is not noticed. Files are written atomically.
    """

    def __init__(
        self,
        root: Path,
        download: Download,
        *,
        base_url: str,
        project: int,
        bound: CacheBound | None = None,
        before_reading: Callable[[], None] = lambda: None,
    ) -> None:
        """Use ``root``, which is created with the first image; projects may share it.

        Args:
            root: folder of the cache.
            download: yields the body of a source in chunks, size-limited, e.g. ``downloads.Downloader``.
            base_url: address of Label Studio.
            project: part of the key, so that one project never reads an image fetched with another's token.
            bound: of the folder, shared by all caches of the process; None keeps all files.
            before_reading: called when an image is there, before it is read into memory.
        """
        self._root = root
        self._download = download
        self._base_url = base_url
        self._project = project
        self._bound = bound
        self._before_reading = before_reading

    def fetch(self, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> bytes:
        """Return the encoded image of a task.

        Raises:
            ImageUnavailable: the task has no usable address (see :func:`sources.resolve`), or it cannot be
                fetched. Failures are not cached.
        """
        try:
            source = resolve(task_id, data, config, self._base_url)
            return self._content(source)
        except AddressError as error:
            raise ImageUnavailable(task_id, str(error)) from error
        except DownloadError as error:
            raise ImageUnavailable(task_id, str(error), transient=error.transient) from error

    def forget(self, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> None:
        """Delete the cached image of a task, for instance because it cannot be decoded."""
        self._path(resolve(task_id, data, config, self._base_url)).unlink(missing_ok=True)

    def _content(self, source: Source) -> bytes:
        if source.kind is Kind.INLINE:
            self._before_reading()
            return b"".join(self._download(source))
        path = self._path(source)
        # Held open, as it may be evicted while its reader waits.
        with _opened(path) or self._fetched(source, path) as file:
            self._before_reading()
            return file.read()

    def _fetched(self, source: Source, path: Path) -> BinaryIO:
        with self._fetching(path):
            file = _opened(path)
            if file is not None:
                return file
            file = self._store(source, path)
        if self._bound is not None:
            self._bound.account(os.fstat(file.fileno()).st_size)
        return file

    @staticmethod
    def purge(root: Path, project: int) -> None:
        """Delete all cached images of a project."""
        shutil.rmtree(root / str(project), ignore_errors=True)

    def name_of(self, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> str | None:
        """Name by which `read_cached` finds a task's image; None for one that is never cached."""
        try:
            source = resolve(task_id, data, config, self._base_url)
        except AddressError:
            return None
        return None if source.kind is Kind.INLINE else self._name(source)

    def _name(self, source: Source) -> str:
        return hashlib.sha256(f"{self._project}\n{source.cache_key}".encode()).hexdigest()

    def _path(self, source: Source) -> Path:
        return path_of(self._root, self._project, self._name(source))

    @contextmanager
    def _fetching(self, path: Path) -> Iterator[None]:
        """Hold the lock for fetching an address; callers that wait too long go on without it."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        # One lock per 1/256 of all addresses, because lock files per address would never be deleted.
        lock = FileLock(locks / f"{path.name[:2]}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=_LOCK_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _store(self, source: Source, path: Path) -> BinaryIO:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file, closing(self._download(source)) as body:
                for chunk in body:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            finished = partial.open("rb")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return finished


def _opened(path: Path) -> BinaryIO | None:
    """A cached file, or None; sets its mtime as time of use, as many mounts lack atime."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with suppress(FileNotFoundError):
        os.utime(path)
    return file
