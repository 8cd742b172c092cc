"""A process that forks children, each of which does a version's next steps and kills itself at a given line.

All imports are done once, as by `tests.loop.fork_server`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tests.forking import ROOT, ForkingProcess

SENDING, PUBLICATION = "ml_backend/score/sending.py", "ml_backend/score/publication.py"
TRACED = (SENDING, PUBLICATION)


@dataclass(frozen=True)
class Line:
    """One line of `TRACED` that a version passes on its way to publication."""

    file: str
    number: int

    @property
    def text(self) -> str:
        """What is written there."""
        return (ROOT / self.file).read_text().splitlines()[self.number - 1].strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.number} {self.text}"


class Killer(ForkingProcess):
    """The process that forks the children."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__("tests.faults.killer")
        self._environment = dict(environment)

    def run(self, version: int, line: Line | None = None) -> list[Line] | None:
        """Send and publish a version; returns the lines that were passed, None if it was killed at `line`."""
        place = None if line is None else (line.file, line.number)
        answer = self.ask({"environment": self._environment, "version": version, "line": place})
        if answer["signal"] == signal.SIGKILL:
            return None
        assert answer["signal"] == 0, answer
        return [Line(*each) for each in answer["lines"]]


class _Tracer:
    def __init__(self, line: tuple[str, int] | None) -> None:
        self._line = line
        self.passed: dict[tuple[str, int], None] = {}

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        return self._step if any(name.endswith(each) for each in TRACED) else None

    def _step(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            name = str(Path(frame.f_code.co_filename).relative_to(ROOT))
            place = (name, frame.f_lineno)
            if place == self._line:
                os.kill(os.getpid(), signal.SIGKILL)
            self.passed[place] = None
        return self._step


def _work(environment: Mapping[str, str], version: int, line: tuple[str, int] | None) -> list[Any]:
    """What `reconcile.resume` would request for a version, and the job that follows."""
    from ml_backend.score.publication import publish_version
    from ml_backend.score.sending import send_version

    os.environ.clear()
    os.environ.update(environment)
    tracer = _Tracer(line)
    sys.settrace(tracer)
    send_version(version_id=version)
    publish_version(version_id=version)
    sys.settrace(None)
    return list(tracer.passed)


def main() -> None:
    """Fork a child for each request on standard input, until it is closed."""
    from ml_backend.work.worker import JOB_PACKAGES, load_jobs

    load_jobs(JOB_PACKAGES)
    while text := sys.stdin.readline():
        request = json.loads(text)
        line = None if request["line"] is None else (request["line"][0], request["line"][1])
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            passed = _work({**os.environ, **request["environment"]}, request["version"], line)
            os.write(writing, json.dumps(passed).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            passed_text = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        answer = {"signal": max(-code, 0) if code <= 0 else -code, "lines": json.loads(passed_text or b"[]")}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
