"""Rounds side by side: as many processes as asked for, each with one thread."""

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
from model.research.experiment.trial import Laboratory, Round

Open = Callable[[], Laboratory]
Chain = Sequence[Round]
"""Rounds of one arm and seed: each needs the one before."""


def carry_out(
    chains: Sequence[Chain], open_laboratory: Open, processes: int, done: Callable[[Round], None]
) -> None:
    """Carry out every round of every chain; `done` is called after each, in this process.

    Args:
        chains: are begun in this order.
        open_laboratory: makes a laboratory; it is called in each process, so it must be picklable.
        processes: how many; with one the work is done here.
        done: whatever it raises ends the work.

    Raises:
        ExperimentError: a process ended without an answer.
    """
    waiting = deque(deque(chain) for chain in chains if chain)
    if processes == 1 or len(waiting) <= 1:
        with one_thread():
            laboratory = open_laboratory()
            for chain in waiting:
                for asked in chain:
                    laboratory.carry_out(asked)
                    done(asked)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(open_laboratory)) for _ in range(min(processes, len(waiting)))]
        _distribute(waiting, workers, done)


def _distribute(
    waiting: deque[deque[Round]], workers: Sequence[Connection], done: Callable[[Round], None]
) -> None:
    chains: dict[Connection, deque[Round]] = {}
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


def _answer(worker: Connection) -> Round:
    try:
        answer = worker.recv()
    except (EOFError, ConnectionError) as error:
        raise ExperimentError(
            "A process of the experiment was killed, perhaps for want of memory; go on with the same command "
            "and fewer --processes."
        ) from error
    if isinstance(answer, BaseException):
        raise answer
    assert isinstance(answer, Round)
    return answer


@contextmanager
def _worker(open_laboratory: Open) -> Iterator[Connection]:
    """A process that carries out rounds, and the end of the pipe to it; it ends with the context."""
    # A new interpreter: a fork would copy the thread pools of torch and OpenCV without their threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(open_laboratory, theirs), daemon=True)
    # The tracker's start unblocks Ctrl-C in this process.
    resource_tracker.ensure_running()
    # Ctrl-C reaches all processes of a terminal; the others inherit this mask, and the parent ends them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        # Nothing is lost: a round that is not written is carried out again.
        process.terminate()
        process.join()


def _work(open_laboratory: Open, asked: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        laboratory = open_laboratory()
        while True:
            order = asked.recv()
            laboratory.carry_out(order)
            asked.send(order)
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - told to the parent, who raises it
        error.add_note(traceback.format_exc())
        asked.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """torch with one thread in this process, as in the others: the number changes results a little."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
