"""Decoding of large images in a process of their own, which may fail or be killed without harm to the caller.

A file of half a megabyte may decode to gigabytes, and what a codec has allocated is rarely returned to the
system. So images that take much are decoded one at a time in a helper process. Its memory is limited, it is
the first to go if the system runs out of memory, and it ends after an image that took very much.
"""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from model.imaging.decoding import MAX_PIXELS, Grey, ImageError, decode_image, decoding_bytes

INLINE_BYTES = 64 * 2**20
"""Bytes up to which an image is decoded by its caller, two at a time: a helper adds 1 ms per megapixel."""
KEPT_BYTES = 512 * 2**20
"""Bytes up to which the helper goes on with another image."""
MOST_BYTES = 3 * 2**30
"""Memory of the helper: a colour image with transparency, 16 bits and 100 megapixels takes 2.3 GiB."""
SECONDS = 90.0
"""Time for one image; the one above takes 40 s on a slow core."""

_REQUEST = struct.Struct("<QQ")
_ANSWER = struct.Struct("<BQQ")
_FAILED = 0


class IsolatedDecoder:
    """Decodes images, the large ones in a helper process; safe to share between threads.

    Args:
        max_pixels: largest allowed H · W.
        inline_bytes: memory up to which an image is decoded without the helper.
        seconds: time limit of one image in the helper.
    """

    def __init__(
        self,
        max_pixels: int = MAX_PIXELS,
        *,
        inline_bytes: int = INLINE_BYTES,
        seconds: float = SECONDS,
    ) -> None:
        self._max_pixels, self._inline_bytes, self._seconds = max_pixels, inline_bytes, seconds
        self._inline = threading.BoundedSemaphore(2)
        self._turn = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(self, data: bytes) -> Grey:
        """The grey image (H, W), as `decode_image` returns it.

        Raises:
            ImageError: as `decode_image`; also if the image takes too much memory or time.
        """
        needed = decoding_bytes(data, max_pixels=self._max_pixels)
        if needed <= self._inline_bytes:
            with self._inline:
                return decode_image(data, max_pixels=self._max_pixels)
        with self._turn:
            try:
                return self._ask(data)
            finally:
                if needed > KEPT_BYTES:
                    self.close()

    def close(self) -> None:
        """End the helper; the next large image starts another."""
        helper, self._helper = self._helper, None
        if helper is None or self._owner != os.getpid():
            return
        for pipe in (helper.stdin, helper.stdout):
            with suppress(OSError):
                _pipe(pipe).close()
        helper.kill()
        helper.wait()

    def __del__(self) -> None:
        self.close()

    def _ask(self, data: bytes) -> Grey:
        helper = self._started()
        late = threading.Event()

        def give_up() -> None:
            late.set()
            helper.kill()

        timer = threading.Timer(self._seconds, give_up)
        timer.start()
        try:
            source, target = _pipe(helper.stdin), _pipe(helper.stdout)
            source.write(_REQUEST.pack(len(data), self._max_pixels))
            source.write(data)
            source.flush()
            return _answer(target)
        except (OSError, EOFError) as error:
            self.close()
            if late.is_set():
                reason = f"takes more than {self._seconds:g} seconds to decode"
            else:
                reason = "ended the process that decoded it, probably for lack of memory"
            raise ImageError(f"The image {reason}: upload a smaller one, or one in grey.") from error
        finally:
            timer.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._helper is not None and self._owner == os.getpid() and self._helper.poll() is None:
            return self._helper
        self.close()
        # -P: a file called model.py in the current folder must not hide our package.
        command = [sys.executable, "-P", "-m", "model.imaging.isolated"]
        self._helper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_one_thread(os.environ)
        )
        self._owner = os.getpid()
        return self._helper


def _one_thread(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the helper: the stacks of further threads would count as its memory."""
    return {**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("The helper has no pipe.")
    return pipe


def _answer(source: IO[bytes]) -> Grey:
    kind, height, width = _ANSWER.unpack(_exactly(source, _ANSWER.size))
    if kind == _FAILED:
        raise ImageError(_exactly(source, height).decode())
    pixels: Grey = np.empty((height, width), np.uint8 if kind == 1 else np.uint16)
    view = memoryview(pixels.data).cast("B")
    while view:
        count = source.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
    return pixels


def _exactly(source: IO[bytes], count: int) -> bytes:
    found = source.read(count)
    if len(found) < count:
        raise EOFError
    return found


def main() -> None:
    """Decode what comes on standard input until it ends."""
    # Such images are what this process is for; the caller's log must not get a line for each.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while header := source.read(_REQUEST.size):
        size, max_pixels = _REQUEST.unpack(header)
        try:
            pixels = decode_image(source.read(size), max_pixels=max_pixels)
        except (ImageError, MemoryError) as error:
            sentence = "The image takes too much memory to decode: upload a smaller one, or one in grey."
            told = (str(error) if isinstance(error, ImageError) else sentence).encode()
            target.write(_ANSWER.pack(_FAILED, len(told), 0) + told)
        else:
            target.write(_ANSWER.pack(pixels.itemsize, *pixels.shape))
            target.write(memoryview(pixels.data).cast("B"))
            del pixels
        target.flush()


if __name__ == "__main__":
    main()
