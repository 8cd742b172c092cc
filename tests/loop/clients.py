"""A lightweight client that posts at a steady rate and measures response times."""

from __future__ import annotations

import base64
import http.client
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.loop.service import AUTH

HEADERS = {
    "Authorization": "Basic " + base64.b64encode(":".join(AUTH).encode()).decode(),
    "Content-Type": "application/json",
}


@dataclass
class Answers:
    """Statuses and response times.

    Attributes:
        statuses: HTTP status of each response.
        seconds: time from when each request was due to the end of its response.
        late: delay in seconds with which each sleeping caller woke up, for lack of a processor.
    """

    statuses: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The quantile of the response times, in seconds."""
        return _quantile(self.seconds, share)

    def lateness(self, share: float) -> float:
        """The quantile of the wake-up delays, in seconds."""
        return _quantile(self.late, share) if self.late else 0.0

    def __str__(self) -> str:
        figures = [(name, self.quantile(share) * 1000) for name, share in (("median", 0.5), ("p99", 0.99))]
        if self.late:
            figures.append(("wake-up delay p99", self.lateness(0.99) * 1000))
        text = ", ".join(f"{name} {value:.0f} ms" for name, value in figures)
        return f"{len(self.seconds)} responses, {text}, worst {max(self.seconds) * 1000:.0f} ms"


def _quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Caller:
    """One thread with one persistent connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def call(self, method: str, path: str, body: bytes | None) -> int:
        """Send one request and read the whole response; returns its status."""
        self._connection.request(method, path, body, HEADERS)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def burst(url: str, path: str, bodies: Sequence[bytes], seconds: float, threads: int) -> Answers:
    """Post the bodies, spread evenly over `seconds` and over the threads."""
    answers = Answers()
    began = time.monotonic() + 0.1

    def work(first: int) -> None:
        caller = Caller(url)
        for number in range(first, len(bodies), threads):
            due = began + seconds * number / len(bodies)
            if (ahead := due - time.monotonic()) > 0:
                time.sleep(ahead)
                answers.late.append(time.monotonic() - due)
            answers.statuses.append(caller.call("POST", path, bodies[number]))
            answers.seconds.append(time.monotonic() - due)
        caller.close()

    running = [threading.Thread(target=work, args=(first,)) for first in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return answers


class Watch:
    """Calls one route repeatedly until the block ends."""

    def __init__(self, url: str, method: str, path: str, body: bytes | None, pause: float) -> None:
        self.answers = Answers()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(Caller(url), method, path, body, pause))

    def __enter__(self) -> Answers:
        self._thread.start()
        return self.answers

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self, caller: Caller, method: str, path: str, body: bytes | None, pause: float) -> None:
        while not self._ended.wait(pause):
            began = time.monotonic()
            self.answers.statuses.append(caller.call(method, path, body))
            self.answers.seconds.append(time.monotonic() - began)
        caller.close()
