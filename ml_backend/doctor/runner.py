"""How checks are run: in order, each within its time, and none that stands on a failed one."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ml_backend.doctor.finding import Finding, State, Verdict, fault, one_line

logger = logging.getLogger(__name__)

Subject = TypeVar("Subject")

SECONDS = 20.0


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """One thing to look at.

    Attributes:
        name: what it is called in findings.
        look: examines a subject and yields one verdict or more.
        needs: names of the checks without whose success this one can tell nothing.
        seconds: the time after which it is given up.
    """

    name: str
    look: Callable[[Subject], Iterable[Verdict]]
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS


@dataclass
class CheckRun(Generic[Subject]):
    """Checks of one subject; each is run once, when its turn comes or when another one needs it.

    Attributes:
        subject: what is examined.
        checks: the checks in the order in which they are reported.
        project: number that the findings bear.
        stands_elsewhere: tells whether a check stands that is none of these, and is needed by them.
    """

    subject: Subject
    checks: Sequence[Check[Subject]]
    project: int | None = None
    stands_elsewhere: Callable[[str], bool] | None = None
    _found: dict[str, list[Finding]] = field(default_factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Run all checks and yield what they find, in their order."""
        for check in self.checks:
            yield from self.of(check)

    def of(self, check: Check[Subject]) -> list[Finding]:
        """What a check finds; it is run if it has not been."""
        if check.name not in self._found:
            self._found[check.name] = self._run(check)
        return self._found[check.name]

    def stands(self, name: str) -> bool:
        """Whether the check called `name` was run and found no fault."""
        check = next((each for each in self.checks if each.name == name), None)
        if check is None:
            assert self.stands_elsewhere is not None, f"There is no check called {name}."
            return self.stands_elsewhere(name)
        return all(one.state in (State.OK, State.WARNING) for one in self.of(check))

    def _run(self, check: Check[Subject]) -> list[Finding]:
        for name in check.needs:
            if not self.stands(name):
                sentence = f"Not looked at because of a fault: {name}."
                return [Finding(check.name, State.SKIPPED, sentence, project=self.project)]
        verdicts = _in_time(lambda: list(check.look(self.subject)), check)
        return [
            Finding(check.name, verdict.state, verdict.sentence, verdict.cure, self.project)
            for verdict in verdicts
        ]


def _in_time(look: Callable[[], list[Verdict]], check: Check[Subject]) -> list[Verdict]:
    """What a check finds, or that it took too long; its thread is left behind then."""
    outcome: queue.SimpleQueue[list[Verdict]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(look())
        except Exception as error:
            # Whatever is wrong with a set-up must be told as a finding, not end the check.
            logger.debug("The check of %s failed.", check.name, exc_info=True)
            said = f"{type(error).__name__}: {one_line(error)}"
            outcome.put(
                [
                    fault(
                        f"It cannot be examined ({said}).",
                        "Set LOG_LEVEL=DEBUG to see where that comes from.",
                    )
                ]
            )

    threading.Thread(target=run, daemon=True).start()
    try:
        return outcome.get(timeout=check.seconds)
    except queue.Empty:
        return [
            fault(
                f"There was no answer within {check.seconds:.0f} seconds.",
                "See whether the machine it is on is up, and whether a firewall lies between.",
            )
        ]
