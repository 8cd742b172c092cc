"""Paired timings of contestants that each live in a fresh process.

Settings such as glibc's malloc options belong to a whole process, so an untuned contestant must not share
one with a tuned one; and a peak of memory means something only in a process of its own. Each round runs
every contestant once, one after the other, so what else the machine does weighs on all alike; ratios are
taken within rounds, and their median is reported.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

Work = Callable[[], dict[str, float] | None]
"""One run; it may return the seconds of its stages."""

Contestant = tuple[Callable[..., Work], tuple[Any, ...]]
"""A function of a module, which prepares the work in a fresh process, and its arguments."""


@dataclass
class Result:
    """What was seen of one contestant: seconds of each round, and of each stage."""

    name: str
    seconds: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def milliseconds(self) -> float:
        """Median of a run."""
        return median(self.seconds) * 1e3

    def stage(self, name: str) -> list[float]:
        """Seconds of one stage in each round."""
        return [round_[name] for round_ in self.stages]


def ratio(slow: list[float], fast: list[float]) -> float:
    """Median over rounds of how many times longer `slow` took."""
    return median(one / other for one, other in zip(slow, fast, strict=True))


def compare(contestants: dict[str, Contestant], *, rounds: int, warm_up: int = 2) -> dict[str, Result]:
    """Run every contestant once a round.

    Args:
        contestants: each under its name.
        rounds: timed rounds, after `warm_up` untimed ones.
    """
    results = {name: Result(name) for name in contestants}
    with _processes(contestants) as connections:
        for number in range(warm_up + rounds):
            for name, connection in connections.items():
                seconds, stages, results[name].peak_mb = _ask(connection, name)
                if number >= warm_up:
                    results[name].seconds.append(seconds)
                    results[name].stages.append(stages or {})
    return results


@contextmanager
def _processes(contestants: dict[str, Contestant]) -> Iterator[dict[str, Connection]]:
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    try:
        for name, (prepare, arguments) in contestants.items():
            connections[name], theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, prepare, arguments), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            _ask(connections[name], name)
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for process in processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


def _ask(connection: Connection, name: str) -> tuple[float, dict[str, float] | None, float]:
    try:
        connection.send(None)
        answer: tuple[float, dict[str, float] | None, float] = connection.recv()
    except (EOFError, BrokenPipeError) as error:
        raise SystemExit(f"The process of {name!r} has ended; see its error above.") from error
    return answer


def _serve(connection: Connection, prepare: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    """Prepare on the first request; run once on each later one; end when the other side hangs up."""
    work: Work | None = None
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        start = time.perf_counter()
        stages = None
        if work is None:
            work = prepare(*arguments)
        else:
            stages = work()
        seconds = time.perf_counter() - start
        connection.send((seconds, stages, _peak_mb()))


def _peak_mb() -> float:
    """Largest resident memory of this process; `getrusage` would also count its parent's before the start."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")
