"""Layers for prompts: masks without prompts stay as they are, and the layers travel with the weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model.imaging.preprocessing import PreprocessingSettings
from model.inheritance import carried_over
from model.network import DeeplySupervisedUNet, NetworkError, NetworkSettings, with_prompts
from model.prompt_layers import CHANNELS, POSITIVE
from model.weights import CARD_FILE, WEIGHTS_FILE, Card, load_version, save_version

SETTINGS = NetworkSettings(classes=4, width=4, levels=4)


def network(settings: NetworkSettings = SETTINGS) -> DeeplySupervisedUNet:
    torch.manual_seed(0)
    made = DeeplySupervisedUNet(settings)
    with torch.no_grad():
        made(torch.rand(4, 1, 64, 64))  # statistics that differ from those of a new norm
    return made.eval()


def test_masks_stay_the_same_to_the_bit() -> None:
    plain = network()
    grown = with_prompts(plain)
    image = torch.rand(2, 1, 64, 48)
    with torch.inference_mode():
        for before, after in zip(plain(image), grown(image), strict=True):
            assert torch.equal(before, after)


def test_without_a_training_prompts_change_nothing_and_foreground_is_found() -> None:
    grown = with_prompts(network())
    image, maps = torch.rand(2, 1, 64, 48), torch.zeros(2, CHANNELS, 64, 48)
    with torch.inference_mode():
        unmarked = grown.prompted(image, maps)
        maps[:, POSITIVE, 10:20, 10:20] = 1
        assert torch.equal(grown.prompted(image, maps), unmarked)
        final = grown(image).final
    assert torch.allclose(unmarked[:, 0], final[:, 0], atol=1e-5)
    assert torch.allclose(unmarked[:, 1], final[:, 1:].mean(1), atol=1e-5)


def test_the_same_seed_gives_the_same_other_weights_with_and_without_prompts() -> None:
    torch.manual_seed(3)
    plain = DeeplySupervisedUNet(SETTINGS).state_dict()
    torch.manual_seed(3)
    prompted = DeeplySupervisedUNet(NetworkSettings(classes=4, width=4, levels=4, prompts=True)).state_dict()
    assert all(torch.equal(values, prompted[name]) for name, values in plain.items())


def test_network_without_layers_says_what_to_do() -> None:
    with pytest.raises(NetworkError, match="with_prompts"):
        network().prompted(torch.zeros(1, 1, 16, 16), torch.zeros(1, CHANNELS, 16, 16))


def test_layers_are_saved_loaded_and_kept_when_labels_change(tmp_path: Path) -> None:
    grown = with_prompts(network())
    assert grown.prompts is not None
    torch.nn.init.normal_(grown.prompts.maps.weight)
    card = Card("v", ("a", "b", "c"), grown.settings, PreprocessingSettings(size=64))
    save_version(tmp_path / "v", grown, card)
    loaded, _ = load_version(tmp_path / "v")
    other = carried_over(loaded, (1, None))
    image, maps = torch.rand(1, 1, 32, 32), torch.rand(1, CHANNELS, 32, 32)
    with torch.inference_mode():
        expected = grown.prompted(image, maps)
        assert torch.equal(loaded.prompted(image, maps), expected)
        assert torch.equal(other.prompted(image, maps), expected)


def test_versions_whose_prompts_shared_the_decoder_answer_as_before(tmp_path: Path) -> None:
    made = with_prompts(network())
    assert made.prompts is not None
    for parameter in made.prompts.parameters():
        torch.nn.init.normal_(parameter, 0.2)
    with torch.no_grad():
        made.train().prompted(torch.rand(4, 1, 32, 32), torch.rand(4, CHANNELS, 32, 32))
        for mine, shared in zip(made.prompts.decoder, made.decoder, strict=True):
            for part in ("first", "second"):
                getattr(mine.block, part).load_state_dict(getattr(shared.block, part).state_dict())
    former = {}
    for name, values in made.eval().state_dict().items():
        if not name.startswith("prompts.decoder."):
            former[name] = values
        elif "norm" in name:
            block, _, part, kind = name.removeprefix("prompts.decoder.").split(".")
            place = 2 * SETTINGS.levels + 2 * int(block) + (part == "second_norm")
            former[f"prompts.norms.{place}.{kind}"] = values
    folder = tmp_path / "v"
    save_version(folder, made, Card("v", ("a", "b", "c"), made.settings, PreprocessingSettings(size=64)))
    save_file(former, folder / WEIGHTS_FILE)
    card = json.loads((folder / CARD_FILE).read_text())
    card["sha256"] = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    (folder / CARD_FILE).write_text(json.dumps(card))
    loaded, _ = load_version(folder)
    image, maps = torch.rand(1, 1, 32, 32), torch.rand(1, CHANNELS, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.prompted(image, maps), made.prompted(image, maps))
        assert torch.equal(loaded(image).final, made(image).final)


def test_card_of_a_network_without_prompts_is_as_before() -> None:
    assert SETTINGS.to_dict() == {"classes": 4, "width": 4, "levels": 4}
    with_layers = NetworkSettings(classes=4, width=4, levels=4, prompts=True)
    assert NetworkSettings.from_dict(with_layers.to_dict()) == with_layers
