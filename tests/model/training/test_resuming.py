"""A training that is cancelled or killed resumes where it was and ends as if it had not been interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model.network import DeeplySupervisedUNet
from model.training.checkpoint import FILE
from model.training.dataset import Example
from model.training.run import Progress
from model.training.settings import TrainingStopped
from tests.model.squares import NETWORK, SETTINGS, TRAINING, VALIDATION, run, same

pytestmark = pytest.mark.usefixtures("one_thread")


class _CancelledError(Exception):
    pass


def _cancel_at(step: int, error: type[Exception] = _CancelledError) -> Callable[[Progress], None]:
    def progress(entry: Progress) -> None:
        if entry.step == step:
            raise error

    return progress


def test_a_cancelled_run_resumes_where_it_was(tmp_path: Path) -> None:
    whole = run()
    with pytest.raises(_CancelledError):
        run(checkpoints=tmp_path, progress=_cancel_at(4))
    later: list[int] = []
    resumed = run(checkpoints=tmp_path, progress=lambda entry: later.append(entry.step))
    assert later == [5, 6]
    assert same(resumed.network, whole.network)
    assert [entry.loss for entry in resumed.history] == [entry.loss for entry in whole.history]
    again: list[Progress] = []
    assert same(run(checkpoints=tmp_path, progress=again.append).network, whole.network)
    assert not again, "a finished run has nothing left to do"


def test_a_run_that_is_stopped_loses_no_step(tmp_path: Path) -> None:
    settings = replace(SETTINGS, checkpoint_every=100)
    whole = run(settings=settings)
    with pytest.raises(TrainingStopped):
        run(settings=settings, checkpoints=tmp_path, progress=_cancel_at(3, TrainingStopped))
    later: list[int] = []
    resumed = run(settings=settings, checkpoints=tmp_path, progress=lambda entry: later.append(entry.step))
    assert later == [4, 5, 6]
    assert same(resumed.network, whole.network)


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": replace(SETTINGS, seed=9)},
        {"training": TRAINING[:4]},
        {"validation": VALIDATION[:1]},
        {"labels": ("tibia",)},
        {"training": [Example(e.key, e.image, 1 - e.mask) for e in TRAINING]},
        {"start": DeeplySupervisedUNet(NETWORK)},
    ],
)
def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(_CancelledError):
        run(checkpoints=tmp_path, progress=_cancel_at(4))
    steps: list[int] = []
    run(**changes, checkpoints=tmp_path, progress=lambda entry: steps.append(entry.step))
    assert steps[0] in (0, 1)
    assert steps[-1] == 6


VICTIM = """
import sys
from pathlib import Path
import torch
from tests.model.squares import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION
from dataclasses import replace
from model.training.run import train

torch.set_num_threads(1)
settings = replace(SETTINGS, steps=24, checkpoint_every=4)
train(TRAINING, VALIDATION, labels=LABELS, network=NETWORK, settings=settings,
      checkpoints=Path(sys.argv[1]), progress=lambda entry: print(entry.step, flush=True))
"""


@pytest.mark.slow
def test_a_killed_run_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    for line in victim.stdout:
        if int(line) >= 7:
            break
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    settings = replace(SETTINGS, steps=24, checkpoint_every=4)
    steps: list[int] = []
    resumed = run(settings, checkpoints=tmp_path, progress=lambda entry: steps.append(entry.step))
    assert steps[0] >= 5, "the steps before the kill are not done twice"
    whole = run(settings)
    assert resumed.steps == whole.steps == 24
    assert same(resumed.network, whole.network)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [FILE]
