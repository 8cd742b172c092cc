"""A network whose labels have changed keeps what it has learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.classes import Classes
from model.inheritance import NEW_CLASS_MARGIN, adopted, carried_over
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.dataset import Example
from model.training.run import train
from model.training.settings import TrainingSettings

FORMER = ("a", "b", "c")
IMAGE = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def network() -> DeeplySupervisedUNet:
    torch.manual_seed(3)
    return DeeplySupervisedUNet(NetworkSettings(classes=4, width=2, levels=3)).eval()


@given(present=st.lists(st.sampled_from("abcxyz"), unique=True, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_remaining_labels_are_predicted_as_before(network: DeeplySupervisedUNet, present: list[str]) -> None:
    classes = Classes.of(present)
    origins = classes.origins(FORMER)
    changed = carried_over(network, origins)
    assert changed.settings.classes == len(present) + 1
    assert not changed.training
    with torch.inference_mode():
        for before, after in zip(network(IMAGE), changed(IMAGE), strict=True):
            torch.testing.assert_close(after[:, 0], before[:, 0])
            for index, origin in enumerate(origins, start=1):
                # A new label's logit is below the larger of background and foreground, so it wins no pixel.
                middle = (before[:, 0] + before[:, 1:].mean(1)) / 2 - NEW_CLASS_MARGIN
                torch.testing.assert_close(after[:, index], middle if origin is None else before[:, origin])


def test_the_same_labels_are_the_same_network(network: DeeplySupervisedUNet) -> None:
    again = carried_over(network, (1, 2, 3))
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_the_network_and_torchs_generator_are_not_changed(network: DeeplySupervisedUNet) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.random.get_rng_state()
    changed = carried_over(network, (None,))
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.zero_()
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_two_new_labels_start_equal_and_separate_quickly(network: DeeplySupervisedUNet) -> None:
    start = carried_over(network, Classes.of(("x", "a", "y")).origins(FORMER))
    assert torch.equal(start.final.weight[1], start.final.weight[3])
    mask = np.zeros((32, 32), np.uint8)
    mask[:8], mask[8:16], mask[16:24] = 1, 2, 3
    image = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    found = train(
        [Example("one", image, mask)],
        [],
        labels=("x", "a", "y"),
        network=start.settings,
        settings=TrainingSettings(steps=2, batch=1, precision="fp32", device="cpu"),
        start=start,
    ).network
    for name in ("lower", "middle", "final"):
        before, after = getattr(start, name), getattr(found, name)
        assert not torch.equal(after.weight[1], after.weight[3])
        assert not torch.equal(after.weight[0], after.weight[1])
        assert not torch.equal(after.weight, before.weight)


def test_single_labels_are_matched_whatever_their_names_and_several_by_name() -> None:
    torch.manual_seed(5)
    one = DeeplySupervisedUNet(NetworkSettings(classes=2, width=2, levels=3)).eval()
    with torch.inference_mode():
        before = one(IMAGE).final
        assert torch.equal(adopted(one, ("bone",), Classes.of(["Knochen"]))(IMAGE).final, before)
        several = adopted(one, ("bone",), Classes.of(["nail", "bone"]))(IMAGE).final
    torch.testing.assert_close(several[:, [0, 2]], before)
    assert not (several.argmax(1) == 1).any()
