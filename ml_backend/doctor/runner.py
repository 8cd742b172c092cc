"""Runs checks in their order, each with a time limit; skips those that need one with a fault."""

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
    """One check.

    Attributes:
        name: its name in findings.
        function: checks a subject and yields one or more verdicts.
        needs: names of checks that must find no fault; otherwise this one is skipped.
        seconds: its time limit.
    """

    name: str
    function: Callable[[Subject], Iterable[Verdict]]
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS


@dataclass
class CheckRun(Generic[Subject]):
    """Runs the checks of one subject, each once: in their order, or earlier when another one needs it.

    Attributes:
        subject: what is checked.
        checks: the checks in the order in which they are reported.
        project: Label Studio's id of the project, for the findings; None for what all projects share.
        passed_elsewhere: whether a check that is not one of these, but that they need, found no fault.
    """

    subject: Subject
    checks: Sequence[Check[Subject]]
    project: int | None = None
    passed_elsewhere: Callable[[str], bool] | None = None
    _found: dict[str, list[Finding]] = field(default_factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Run all checks and yield their findings, in their order."""
        for check in self.checks:
            yield from self.of(check)

    def of(self, check: Check[Subject]) -> list[Finding]:
        """The findings of one check; runs it on the first call."""
        if check.name not in self._found:
            self._found[check.name] = self._run(check)
        return self._found[check.name]

    def passed(self, name: str) -> bool:
        """Whether the check called `name` was not skipped and found no fault; runs it if needed."""
        check = next((each for each in self.checks if each.name == name), None)
        if check is None:
            assert self.passed_elsewhere is not None, f"There is no check called {name}."
            return self.passed_elsewhere(name)
        return all(one.state in (State.OK, State.WARNING) for one in self.of(check))

    def _run(self, check: Check[Subject]) -> list[Finding]:
        for name in check.needs:
            if not self.passed(name):
                sentence = f"Skipped because of a fault: {name}."
                return [Finding(check.name, State.SKIPPED, sentence, project=self.project)]
        verdicts = _in_time(lambda: list(check.function(self.subject)), check)
        return [
            Finding(check.name, verdict.state, verdict.sentence, verdict.cure, self.project)
            for verdict in verdicts
        ]


def _in_time(function: Callable[[], list[Verdict]], check: Check[Subject]) -> list[Verdict]:
    """The verdicts of a check, or a fault if it exceeds its time limit; its thread is then abandoned."""
    outcome: queue.SimpleQueue[list[Verdict]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put(function())
        except Exception as error:
            # An error must be reported as a finding, and the other checks must still run.
            logger.debug("The check of %s failed.", check.name, exc_info=True)
            reason = f"{type(error).__name__}: {one_line(error)}"
            outcome.put(
                [
                    fault(
                        f"The check itself failed ({reason}).",
                        "Fix what the error names, or report it as a bug in dsal.",
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
                "Check that its machine is up and that no firewall blocks the connection.",
            )
        ]
