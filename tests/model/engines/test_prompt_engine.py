"""The engine for prompts computes what the network computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.engines.prompt_engine import PromptEngine
from model.network import DeeplySupervisedUNet, NetworkError, NetworkSettings
from model.network import with_prompts as grown
from model.prompt_layers import CHANNELS


def trained(norm: str = "batch") -> DeeplySupervisedUNet:
    """A network whose prompt layers differ from its own in every weight and statistic."""
    torch.manual_seed(1)
    settings = NetworkSettings(classes=3, width=8, levels=4, norm=norm, prompts=True)  # type: ignore[arg-type]
    network = DeeplySupervisedUNet(settings)
    assert network.prompts is not None
    for parameter in network.prompts.parameters():
        torch.nn.init.normal_(parameter, 0.2, 1.0)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(4, 1, 64, 64))
            network.prompted(torch.rand(4, 1, 64, 64), (torch.rand(4, CHANNELS, 64, 64) > 0.8).float())
    return network.eval()


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_probabilities_equal_those_of_the_network(norm: str) -> None:
    network = trained(norm)
    draws = np.random.default_rng(0)
    image = draws.random((1, 96, 96), np.float32)
    maps = (draws.random((CHANNELS, 96, 96)) > 0.9).astype(np.float32)
    with torch.inference_mode():
        logits = network.prompted(torch.from_numpy(image)[None], torch.from_numpy(maps)[None])
    expected = logits.softmax(1)[0, 1].numpy()
    found = PromptEngine(network, precision="fp32")(image, maps)
    assert expected.std() > 0.01
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(PromptEngine(network, precision="bf16")(image, maps) - expected).max() < 0.1


def test_network_without_layers_for_prompts_is_refused() -> None:
    with pytest.raises(NetworkError, match="no layers for prompts"):
        PromptEngine(DeeplySupervisedUNet(NetworkSettings(classes=2, width=4)))


def test_engine_leaves_the_network_as_it_is() -> None:
    network = grown(DeeplySupervisedUNet(NetworkSettings(classes=2, width=4)).eval())
    before = {name: values.clone() for name, values in network.state_dict().items()}
    PromptEngine(network)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(values, after[name]) for name, values in before.items())
