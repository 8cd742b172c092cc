from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.weights import (
    CARD_FILE,
    WEIGHTS_FILE,
    Card,
    WeightsError,
    load_version,
    note_labels,
    read_card,
    save_version,
)


def network(width: int = 2) -> DeeplySupervisedUNet:
    return DeeplySupervisedUNet(NetworkSettings(classes=3, width=width))


def card(width: int = 2, name: str = "p3-r002-brave-otter") -> Card:
    return Card(
        name=name,
        labels=("radius", "Elle / ulna"),
        network=NetworkSettings(classes=3, width=width),
        preprocessing=PreprocessingSettings(size=320),
        loss=LossWeights(0.2, 0.2, 0.6),
        metrics={"validation_dsc": 0.91},
        parent="p3-r001-calm-heron",
        training={"seed": 7, "steps": 120},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_version(tmp_path / "store" / "v", network(), card())
    return tmp_path / "store" / "v"


def test_a_version_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    original = network()
    save_version(tmp_path / "v", original, card())
    loaded, found = load_version(tmp_path / "v")
    assert not loaded.training
    assert found == card() or replace(found, created=card().created) == card()
    assert read_card(tmp_path / "v") == found
    before, after = original.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_card_names_the_libraries_and_the_time(saved: Path) -> None:
    found = read_card(saved)
    assert {"python", "torch", "numpy"} <= found.libraries.keys()
    assert found.created.endswith("+00:00")


def test_the_card_gets_the_figures_of_each_label_and_the_weights_stay(saved: Path) -> None:
    before = read_card(saved)
    assert before.labels_dsc == {}
    note_labels(saved, {"radius": 0.9, "Elle / ulna": 0.0}, {"radius": 12, "Elle / ulna": 5})
    after = load_version(saved)[1]
    assert after == replace(before, labels_dsc=after.labels_dsc, labels_images=after.labels_images)
    assert after.labels_dsc == {"radius": 0.9, "Elle / ulna": 0.0}
    assert after.labels_images == {"radius": 12, "Elle / ulna": 5}
    assert sorted(path.name for path in saved.iterdir()) == [CARD_FILE, WEIGHTS_FILE]


def test_a_card_of_a_former_release_has_no_figures_of_labels(saved: Path) -> None:
    data = json.loads((saved / CARD_FILE).read_text())
    del data["labels_dsc"], data["labels_images"]
    (saved / CARD_FILE).write_text(json.dumps(data))
    assert read_card(saved).labels_dsc == {}


def test_saving_again_replaces_the_version_and_leaves_nothing_behind(saved: Path) -> None:
    save_version(saved, network(), card(name="second"))
    assert read_card(saved).name == "second"
    assert [entry.name for entry in saved.parent.iterdir()] == ["v"]
    assert sorted(entry.name for entry in saved.iterdir()) == [CARD_FILE, WEIGHTS_FILE]


def test_a_writer_that_fails_leaves_the_old_version(saved: Path) -> None:
    unserialisable = replace(card(name="second"), training={"when": object()})
    with pytest.raises(TypeError):
        save_version(saved, network(), unserialisable)
    assert read_card(saved).name == card().name
    assert [entry.name for entry in saved.parent.iterdir()] == ["v"]


def test_card_and_network_must_match(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="card describes"):
        save_version(tmp_path / "v", network(width=4), card(width=2))
    with pytest.raises(WeightsError, match="2 labels need a network of 3 classes"):
        replace(card(), network=NetworkSettings(classes=2))


def test_weights_of_another_shape_are_refused(saved: Path, tmp_path: Path) -> None:
    save_version(tmp_path / "wide", network(width=4), card(width=4))
    data = json.loads((tmp_path / "wide" / CARD_FILE).read_text())
    data["network"]["width"] = 2
    (tmp_path / "wide" / CARD_FILE).write_text(json.dumps(data))
    with pytest.raises(WeightsError, match="do not fit its card") as error:
        load_version(tmp_path / "wide")
    assert str(error.value).count(".") >= 1
    assert "\n" not in str(error.value)


def test_exchanged_weights_are_noticed(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS_FILE)
    tensors["final.bias"] += 1
    save_file(tensors, saved / WEIGHTS_FILE)
    with pytest.raises(WeightsError, match="do not match the checksum on its card"):
        load_version(saved)


def test_cut_off_weights_are_noticed(saved: Path) -> None:
    path = saved / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError):
        load_version(saved)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "name": "v"}', "\x00"],
)
def test_a_broken_card_is_reported_in_one_sentence(saved: Path, text: str) -> None:
    (saved / CARD_FILE).write_text(text)
    for read in (read_card, load_version):
        with pytest.raises(WeightsError) as error:
            read(saved)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("network", {"classes": 3, "depth": 1}),
        ("network", {"classes": 1}),
        ("preprocessing", {"size": 600, "unknown": 1}),
        ("loss", {"upper": 1}),
        ("labels", ["one"]),
        ("metrics", None),
    ],
)
def test_a_wrong_field_is_refused(saved: Path, field: str, value: object) -> None:
    data = json.loads((saved / CARD_FILE).read_text())
    data[field] = value
    (saved / CARD_FILE).write_text(json.dumps(data))
    with pytest.raises(WeightsError):
        read_card(saved)


def test_missing_files_are_named(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(WeightsError, match=CARD_FILE):
        read_card(tmp_path / "nowhere")
    (saved / WEIGHTS_FILE).unlink()
    with pytest.raises(WeightsError, match=WEIGHTS_FILE):
        load_version(saved)


def test_weights_in_half_precision_have_half_the_size_and_load_in_single_precision(
    tmp_path: Path, saved: Path
) -> None:
    original = network()
    save_version(tmp_path / "half", original, replace(card(), stored="float16"))
    loaded, found = load_version(tmp_path / "half")
    assert found.stored == read_card(tmp_path / "half").stored == "float16"
    before, after = original.state_dict(), loaded.state_dict()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        torch.testing.assert_close(after[name], tensor, rtol=2**-10, atol=2**-24)
    small, large = ((folder / WEIGHTS_FILE).stat().st_size for folder in (tmp_path / "half", saved))
    assert small < 0.8 * large


def test_weights_too_large_for_half_precision_are_refused(tmp_path: Path) -> None:
    large = network()
    assert large.final.bias is not None
    with torch.no_grad():
        large.final.bias.fill_(1e6)
    with pytest.raises(WeightsError, match="float32"):
        save_version(tmp_path / "half", large, replace(card(), stored="float16"))
    assert list(tmp_path.iterdir()) == []


def test_a_card_without_a_number_format_means_single_precision(saved: Path) -> None:
    data = json.loads((saved / CARD_FILE).read_text())
    del data["stored"]
    (saved / CARD_FILE).write_text(json.dumps(data))
    assert load_version(saved)[1].stored == "float32"
