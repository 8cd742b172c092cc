"""A process with all imports done, from which children are forked on request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class ForkingProcess:
    """The process; it ends with the process that started it, or when it is closed."""

    def __init__(self, module: str) -> None:
        """Start a module that answers each line of JSON on its standard input with one on its output."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def ask(self, request: Any) -> Any:
        """Send a request and wait for its answer."""
        self._requests.write(json.dumps(request).encode() + b"\n")
        self._requests.flush()
        return json.loads(self._answers.readline())

    def close(self) -> None:
        """End the process; children that it has not waited for keep running."""
        self._requests.close()
        self._answers.close()
        self._process.wait()
