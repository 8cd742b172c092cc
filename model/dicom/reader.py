"""Reads DICOM files in a process of its own, which a hostile file may end without ending ours.

With pydicom's test files, of which a few bytes were changed at random, the decoders of JPEG Lossless, JPEG-LS
and JPEG 2000 each ended the process (segmentation fault, abort) within the first 90 files. The process also
has a limit on its memory, so that a small file that unpacks to many gigabytes fails alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from model.dicom import DicomError, require
from model.dicom.reading import DicomImage, read_dicom, read_uid
from model.imaging.decoding import MAX_PIXELS

SECONDS = 120.0
"""Longest time for one file; a radiograph takes less than one second."""
MEMORY = 4 * 2**30
"""Address space of the process in bytes: the libraries, and an image of MAX_PIXELS several times."""
STARTING = 120.0
"""Seconds for the start of the process, which imports what it needs."""
READY = "ready"


class DicomReader:
    """Reads one file after the other; a context manager, which ends the process."""

    def __init__(self, *, max_pixels: int = MAX_PIXELS) -> None:
        """Raises DicomMissingError if the extra `dicom` is not installed."""
        require()
        self._max_pixels = max_pixels
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, path: Path) -> DicomImage:
        """Read a file as `read_dicom` does.

        Raises:
            DicomError, OSError: as `read_dicom`; DicomError also if the file ends the process, needs more
                than `MEMORY` or takes longer than `SECONDS`.
        """
        answer = self._ask("read", path)
        assert isinstance(answer, DicomImage)
        return answer

    def uid(self, path: Path) -> str:
        """The SOP Instance UID of a file with a usable image, whose pixels are not decoded.

        Raises:
            DicomError, OSError: as `read`, except for damaged pixels.
        """
        answer = self._ask("uid", path)
        assert isinstance(answer, str)
        return answer

    def _ask(self, what: str, path: Path) -> DicomImage | str:
        pipe = self._pipe or self._start()
        try:
            pipe.send((what, path, self._max_pixels))
            if not pipe.poll(SECONDS):
                self.close()
                raise DicomError(f"It cannot be read within {SECONDS:g} seconds, so it is probably damaged.")
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise DicomError("It is damaged: reading it ended the decoder.") from error
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, DicomImage | str)
        return answer

    def close(self) -> None:
        """End the process; a later `read` starts another."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self) -> Connection:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), name="dicom", daemon=True)
        self._process.start()
        theirs.close()
        with contextlib.suppress(EOFError, OSError):
            if self._pipe.poll(STARTING) and self._pipe.recv() == READY:
                return self._pipe
        self.close()
        raise RuntimeError("The process that reads DICOM files did not start.")


def serve(pipe: Connection) -> None:
    """Read the files that are asked for, until nobody asks any more."""
    _be_silent()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    pipe.send(READY)
    while True:
        try:
            what, path, max_pixels = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: DicomImage | str | Exception = (
                read_dicom(path, max_pixels=max_pixels)
                if what == "read"
                else read_uid(path, max_pixels=max_pixels)
            )
        except DicomError as error:
            answer = DicomError(str(error))
        except OSError as error:
            answer = OSError(error.errno, error.strerror)
        except MemoryError:
            answer = DicomError("It needs more memory than a single image may, so it is probably damaged.")
        pipe.send(answer)


def _be_silent() -> None:
    """Print and log nothing: pydicom's warnings quote values of the attributes that they are about."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
