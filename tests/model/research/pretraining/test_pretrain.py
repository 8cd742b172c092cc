"""Pre-training from random weights gives a version, and the same one after a kill."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.pretraining import PretrainingSettings, pretrain
from model.research.pretraining.pretrain import settle_statistics
from model.training.run import Progress, TrainingError
from model.weights import WEIGHTS_FILE, load_version

SETTINGS = PretrainingSettings(
    steps=6, size=128, width=4, batch=2, window=3, uses=6, checkpoint_every=2, settling=3
)


@pytest.fixture
def unseen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is evaluated on the same phantoms, so they are drawn once."""
    # The package exports a function of the module's name.
    module = import_module("model.research.pretraining.pretrain")
    monkeypatch.setattr(module, "unseen_phantoms", cache(module.unseen_phantoms))


class Killed(BaseException):
    """Raised within a run to end it, as a signal would."""


@pytest.mark.slow
@pytest.mark.usefixtures("unseen_once", "one_thread")
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    def kill(now: Progress) -> None:
        if now.step == 4:
            raise Killed

    with pytest.raises(Killed):
        pretrain(tmp_path / "killed", SETTINGS, progress=kill)
    assert not (tmp_path / "killed").exists()
    steps: list[int] = []
    pretrain(tmp_path / "killed", SETTINGS, progress=lambda now: steps.append(now.step))
    card = pretrain(tmp_path / "whole", SETTINGS)
    assert steps == [5, 6]
    resumed, whole = (load_version(tmp_path / name)[0].state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert card.labels == ("bone",)
    assert card.stored == "float16"
    assert card.preprocessing.size == 128
    assert 0 <= card.metrics["phantom_dsc"] <= 1
    assert (tmp_path / "whole" / WEIGHTS_FILE).stat().st_size < 2.6 * sum(t.numel() for t in whole.values())
    further = pretrain(tmp_path / "further", replace(SETTINGS, steps=1, width=9), start=tmp_path / "whole")
    assert further.parent == "whole"
    assert further.network == card.network


def test_a_run_without_a_budget_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no end"):
        pretrain(tmp_path / "never", replace(SETTINGS, steps=None))


def test_norms_without_running_statistics_are_not_changed() -> None:
    network = DeeplySupervisedUNet(NetworkSettings(classes=2, width=4, norm="group")).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle_statistics(network, SETTINGS.source, 6, batch=2, steps=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert not network.training
