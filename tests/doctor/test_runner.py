"""How checks are run: one that needs a faulty one is skipped, none runs for ever or ends in a traceback."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from ml_backend.doctor import State
from ml_backend.doctor.finding import Verdict, fault, ok, warning
from ml_backend.doctor.runner import Check, CheckRun


def well(_: list[str]) -> Iterator[Verdict]:
    yield ok("Well.")


def odd(_: list[str]) -> Iterator[Verdict]:
    yield warning("Odd.")


def broken(_: list[str]) -> Iterator[Verdict]:
    yield fault("Broken.", "Fix it.")


def failing(_: list[str]) -> Iterator[Verdict]:
    raise ValueError("of no\nuse")


def test_a_check_that_needs_a_faulty_one_is_skipped_and_says_so() -> None:
    checks = (
        Check("a", broken),
        Check("b", well, needs=("a",)),
        Check("c", well, needs=("b",)),
        Check("d", odd),
        Check("e", well, needs=("d",)),
    )
    found = list(CheckRun([], checks).findings())
    assert [one.state for one in found] == ["fault", "skipped", "skipped", "warning", "ok"]
    assert found[1].sentence.endswith("fault: a.")


def test_a_check_that_an_earlier_one_needs_is_run_once_and_reported_in_its_place() -> None:
    runs: list[str] = []

    def counted(subject: list[str]) -> Iterator[Verdict]:
        subject.append("run")
        yield ok("Run.")

    checks = (Check("first", well, needs=("last",)), Check("last", counted))
    assert [one.name for one in CheckRun(runs, checks).findings()] == ["first", "last"]
    assert runs == ["run"]


def test_a_check_that_never_ends_is_given_up() -> None:
    never = threading.Event()

    def hanging(_: list[str]) -> Iterator[Verdict]:
        never.wait()
        yield ok("Ended.")

    (found,) = CheckRun([], (Check("hanging", hanging, seconds=0.05),)).findings()
    never.set()
    assert found.state is State.FAULT
    assert "no answer within" in found.sentence


def test_an_error_in_a_check_is_a_finding() -> None:
    (found,) = CheckRun([], (Check("failing", failing),)).findings()
    assert found.state is State.FAULT
    assert "ValueError: of no use" in found.sentence
