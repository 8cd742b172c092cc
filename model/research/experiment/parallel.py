"""Parallel execution of rounds in several processes, each with one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

import torch

from model.research.experiment.settings import ExperimentError
from model.research.experiment.trial import RoundRunner, TrialRound

MakeRunner = Callable[[], RoundRunner]
Chain = Sequence[TrialRound]
"""Rounds of one arm and seed; each needs the results of the previous one."""


def run_chains(
    chains: Sequence[Chain], make_runner: MakeRunner, processes: int, done: Callable[[TrialRound], None]
) -> None:
    """Run all rounds of all chains.

    Args:
        chains: chains of rounds, which are started in this order.
        make_runner: makes the runner of a process; called in each process, so it must be picklable.
        processes: number of processes; with 1, the rounds run in this process.
        done: called in this process after each round; an exception from it ends the run.

    Raises:
        ExperimentError: a process died.
    """
    waiting = deque(deque(chain) for chain in chains if chain)
    if processes == 1 or len(waiting) <= 1:
        with one_thread():
            runner = make_runner()
            for chain in waiting:
                for current in chain:
                    runner.run(current)
                    done(current)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(make_runner)) for _ in range(min(processes, len(waiting)))]
        _distribute(waiting, workers, done)


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread, as in the worker processes, since the number of threads affects results."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _distribute(
    waiting: deque[deque[TrialRound]], workers: Sequence[Connection], done: Callable[[TrialRound], None]
) -> None:
    chains: dict[Connection, deque[TrialRound]] = {}
    for worker in workers:
        chains[worker] = waiting.popleft()
        worker.send(chains[worker].popleft())
    while chains:
        for ready in wait(list(chains)):
            assert isinstance(ready, Connection)
            done(_answer(ready))
            if not chains[ready] and waiting:
                chains[ready] = waiting.popleft()
            if chains[ready]:
                ready.send(chains[ready].popleft())
            else:
                del chains[ready]


def _answer(worker: Connection) -> TrialRound:
    try:
        answer = worker.recv()
    except (EOFError, ConnectionError) as error:
        raise ExperimentError(
            "A process of the experiment was killed, possibly because memory ran out; give the same command "
            "with fewer --processes."
        ) from error
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, TrialRound)
    return answer


@contextmanager
def _worker(make_runner: MakeRunner) -> Iterator[Connection]:
    """Start a process that runs rounds and yield the connection to it; the context ends the process."""
    # Not fork, which would copy the thread pools of torch and OpenCV without their threads.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(make_runner, there), daemon=True)
    # Starting the tracker later would unblock SIGINT in this process.
    resource_tracker.ensure_running()
    # Ctrl-C goes to all processes of the terminal; workers inherit this mask and are ended by the parent.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    try:
        yield here
    finally:
        here.close()
        # Nothing is lost: a round without a record runs again.
        process.terminate()
        process.join()


def _work(make_runner: MakeRunner, parent: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        runner = make_runner()
        while True:
            current = parent.recv()
            runner.run(current)
            parent.send(current)
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
        error.add_note(traceback.format_exc())
        parent.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
