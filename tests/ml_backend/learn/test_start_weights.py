"""What a training goes on from, and what a project begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.learn.start_weights import StartingPoint, starting_point
from ml_backend.queue.context import Context, image_reader
from ml_backend.score.initial_weights import initial_weights
from ml_backend.setting_values import SHIPPED_WEIGHTS
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.models import Project, Version, VersionState
from ml_backend.store.weights import WeightStore, WeightStoreError
from ml_backend.web.app import Services
from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, Heads, NetworkSettings, Norm
from model.pretrained import pretrained_version
from model.strategies.mc_dropout import DROPOUT
from model.training.dataset import make_example
from model.training.run import TrainingSettings, train
from model.weights import Card, WeightsError, load_version, save_version

BONE = parse(default_config(["Bone"]))
SHAPE = NetworkSettings(classes=2, width=4, norm="group")
TAUGHT = replace(SHAPE, prompts=True)
"""What a training makes of it: it learns what prompts mean."""
PREPROCESSING = PreprocessingSettings(size=48, crop=False)
"""Neither shape nor size are those of `settings`."""
IMAGE = torch.rand(1, 1, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    return Settings(
        model_dir=tmp_path / "data",
        redis_url=redis_url,
        network_width=2,
        image_size=64,
        engine="torch",
        device="cpu",
    )


@pytest.fixture
def context(services: Services) -> Context:
    settings = services.settings
    label_studio = LabelStudio(settings.label_studio_url, "0" * 40)
    return Context(
        settings,
        label_studio,
        services.database,
        WeightStore(settings.effective_store_url, settings.weights_cache_dir),
        services.queues,
        image_reader(settings, label_studio),
    )


def having(context: Context, **changes: object) -> Context:
    """The same with other settings."""
    return replace(context, settings=context.settings.model_copy(update=changes))


def project(context: Context) -> Project:
    with context.database.write() as session:
        return projects.ensure(session, 3, seed=0)


def saved(folder: Path, network: DeeplySupervisedUNet, labels: tuple[str, ...] = ("Bone",)) -> Path:
    save_version(folder, network, Card("of-a-test", labels, network.settings, PREPROCESSING))
    return folder


def champion(
    context: Context, network: DeeplySupervisedUNet | None, labels: tuple[str, ...] = ("Bone",)
) -> Version:
    """A version of the project with this network; with None one that only orders the tasks at random."""
    key = None
    if network is not None:
        key = context.weights.put(saved(context.settings.model_dir / "version", network, labels))
    owner = project(context)
    with context.database.write() as session:
        number = versions.next_round(session, owner.id)
        return versions.create(
            session, owner, round=number, state=VersionState.PUBLISHED, labels=labels, weights_hash=key
        )


def network_of(shape: NetworkSettings) -> DeeplySupervisedUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return DeeplySupervisedUNet(shape).eval()


def trained(begun: StartingPoint, config: LabelConfig = BONE) -> DeeplySupervisedUNet:
    """What one step of training makes of a starting_point."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 50), dtype=np.uint8)
    mask = np.zeros((60, 50), np.uint8)
    mask[10:30] = 1
    return train(
        [make_example("one", pixels, mask, begun.preprocessing)],
        [],
        labels=config.labels,
        network=begun.network,
        settings=TrainingSettings(steps=1, batch=1, precision="fp32", device="cpu"),
        start=begun.start,
    ).network


def heads(network: DeeplySupervisedUNet | None) -> Heads:
    assert network is not None
    with torch.inference_mode():
        found: Heads = network(IMAGE)
    return found


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_a_training_goes_on_with_all_that_belongs_to_the_champions_weights(
    context: Context, norm: Norm
) -> None:
    network = network_of(replace(SHAPE, norm=norm))
    begun = starting_point(context, champion(context, network), BONE)
    assert begun.network == replace(network.settings, prompts=True)
    assert begun.preprocessing == PREPROCESSING
    for before, after in zip(heads(network), heads(begun.start), strict=True):
        assert torch.equal(before, after)
    assert trained(begun).settings == begun.network


@pytest.mark.parametrize("said_by", ["the settings", "the labeling config"])
def test_dropout_comes_with_mc_dropout_and_goes_with_it(context: Context, said_by: str) -> None:
    asking, config = context, BONE
    if said_by == "the settings":
        asking = having(context, strategy="mc-dropout")
    else:
        text = default_config(["Bone"]).replace("<BrushLabels", '<BrushLabels model_strategy="mc-dropout"')
        config = parse(text)
    without = champion(context, network_of(SHAPE))
    begun = starting_point(asking, without, config)
    assert begun.network == replace(TAUGHT, dropout=DROPOUT)
    network = trained(begun, config)
    assert network.settings.dropout == DROPOUT

    dropping = champion(context, network)
    begun = starting_point(context, dropping, BONE)
    assert begun.network == TAUGHT
    assert begun.start is not None, "weights stay what they are without dropout"
    assert trained(begun).settings == TAUGHT

    again = starting_point(asking, None, config)
    assert again.network == NetworkSettings(classes=2, width=2, dropout=DROPOUT, prompts=True)


def test_from_scratch_everything_is_as_the_settings_have_it(context: Context) -> None:
    with_weights, without = champion(context, network_of(SHAPE)), champion(context, None)
    scratch = having(context, train_from="scratch")
    for asking, version in ((scratch, with_weights), (context, without), (context, None)):
        begun = starting_point(asking, version, BONE)
        assert begun.start is None
        assert begun.network == NetworkSettings(classes=2, width=2, prompts=True)
        assert begun.preprocessing == PreprocessingSettings(size=64)
        assert trained(begun).settings == begun.network
    labels = parse(default_config(["Bone", "Nail"]))
    assert starting_point(scratch, with_weights, labels).network.classes == 3


def test_labels_that_stay_keep_what_was_learned_wherever_they_stand(context: Context) -> None:
    network = network_of(replace(SHAPE, classes=3))
    version = champion(context, network, ("Bone", "Nail"))
    changed = parse(default_config(["Skin", "Nail", "Bone"]))
    begun = starting_point(context, version, changed)
    assert begun.network == replace(TAUGHT, classes=4)
    assert begun.preprocessing == PREPROCESSING
    for before, after in zip(heads(network), heads(begun.start), strict=True):
        torch.testing.assert_close(after[:, [0, 3, 2]], before)
    assert trained(begun, changed).settings == begun.network

    fewer = starting_point(context, version, parse(default_config(["Nail"])))
    for before, after in zip(heads(network), heads(fewer.start), strict=True):
        torch.testing.assert_close(after, before[:, [0, 2]])


def test_an_alias_is_no_new_label(context: Context) -> None:
    network = network_of(SHAPE)
    renamed = parse(default_config(["Bone"]).replace('value="Bone"', 'value="Bone" alias="os"'))
    assert renamed.labels == ("os",)
    begun = starting_point(context, champion(context, network), renamed)
    for before, after in zip(heads(network), heads(begun.start), strict=True):
        torch.testing.assert_close(after, before)


def test_weights_that_are_gone_are_told(context: Context) -> None:
    version = champion(context, network_of(SHAPE))
    assert version.weights_hash is not None
    context.weights.delete(version.weights_hash)
    with pytest.raises(WeightStoreError, match="No weights"):
        starting_point(context, version, BONE)


def test_shipped_weights_are_for_bones_and_others_for_all(context: Context, tmp_path: Path) -> None:
    owner, nuclei = project(context), parse(default_config(["Nucleus"]))
    shipped = having(context, initial_weights=SHIPPED_WEIGHTS)
    assert initial_weights(shipped, owner, nuclei) is None
    key = initial_weights(shipped, owner, parse(default_config(["Finger bone"])))
    assert key is not None
    _, card = load_version(context.weights.get(key))
    _, source = load_version(pretrained_version())
    assert (card.labels, card.parent) == (("Finger bone",), source.name)
    assert (card.network, card.preprocessing) == (source.network, source.preprocessing)

    network = network_of(SHAPE)
    own = having(context, initial_weights=str(saved(tmp_path / "own", network, ("Thing",))))
    key = initial_weights(own, owner, nuclei)
    assert key is not None
    found, card = load_version(context.weights.get(key))
    assert (card.labels, card.network, card.preprocessing) == (("Nucleus",), SHAPE, PREPROCESSING)
    for before, after in zip(heads(network), heads(found), strict=True):
        assert torch.equal(before, after)

    assert initial_weights(having(context, initial_weights=None), owner, BONE) is None
    assert not list(context.settings.model_dir.glob(".initial-*"))


def test_a_folder_without_a_version_is_told(context: Context, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    asking = having(context, initial_weights=str(tmp_path / "empty"))
    with pytest.raises(WeightsError, match="empty is not a version"):
        initial_weights(asking, project(context), BONE)
