"""A real S3 server on the loopback interface: buckets are folders, signatures are checked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from ml_backend.demo.processes import free_port

ACCESS_KEY, SECRET_KEY = "hospital", "a long secret"
START_SECONDS = 60.0


class ObjectStore:
    """Runs the server while the block lasts; `url` is its endpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Store an object, in a bucket that is made where there is none; returns its s3:// address."""
        path = self.folder / "data" / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return f"s3://{bucket}/{key}"

    def __enter__(self) -> Self:
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.folder / "data")],
                env={"NANIO_ACCESS_KEY": ACCESS_KEY, "NANIO_SECRET_KEY": SECRET_KEY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "The S3 server did not start."
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    def _answers(self) -> bool:
        try:
            # Without a signature it refuses, and so is there.
            return requests.get(self.url, timeout=2).status_code == 403
        except requests.ConnectionError:
            return False
