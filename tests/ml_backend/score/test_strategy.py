"""Configured strategies, and which changes make published predictions outdated."""

from __future__ import annotations

import pytest

from ml_backend.label_studio.config import parse
from ml_backend.score.strategy import advice, prediction_fingerprint, wanted
from ml_backend.settings import Settings
from ml_backend.store.models import Version
from model.strategies import DEFAULT

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="mask" toName="image"{knobs}>
<Label value="Femur"/><Label value="Tibia"/>
</BrushLabels></View>"""
TRAINED = Version(weights_hash="1", labels=["Femur", "Tibia"])
UNTRAINED = Version(weights_hash=None, labels=["Femur", "Tibia"])


def fingerprint(
    knobs: str = "", version: Version = TRAINED, edit: tuple[str, str] = ("", ""), **settings: str
) -> str:
    config = parse(CONFIG.format(knobs=knobs).replace(*edit))
    return prediction_fingerprint(Settings.model_validate(settings), config, version)


def test_the_labeling_config_overrides_the_setting() -> None:
    settings = Settings.model_validate({"strategy": "entropy"})
    assert wanted(settings, parse(CONFIG.format(knobs=""))).name == "entropy"
    knob = ' model_strategy="Disagreement"'
    assert wanted(settings, parse(CONFIG.format(knobs=knob))).name == "disagreement"


def test_an_invalid_strategy_is_reported_and_the_setting_applies() -> None:
    config = parse(CONFIG.format(knobs=' model_strategy="cleverest"'))
    assert wanted(Settings.model_validate({"strategy": "entropy"}), config).name == "entropy"
    (fault,) = config.faults
    assert 'model_strategy="cleverest"' in fault
    assert "disagreement" in fault
    with pytest.raises(ValueError, match="disagreement"):
        Settings.model_validate({"strategy": "cleverest"})


@pytest.mark.parametrize(
    ("strategy", "knob", "advised"),
    [
        ("consistency", "", True),
        ("consistency+clusters", "", True),
        ("consistency", DEFAULT, False),
        (DEFAULT, "", False),
        (DEFAULT, "consistency", True),
        ("random", "", False),
    ],
)
def test_only_labelling_the_most_consistent_first_is_advised_against(
    strategy: str, knob: str, advised: bool
) -> None:
    knobs = f' model_strategy="{knob}"' if knob else ""
    text = advice(Settings.model_validate({"strategy": strategy}), parse(CONFIG.format(knobs=knobs)))
    assert (text is not None) == advised
    assert text is None or DEFAULT in text


@pytest.mark.parametrize(
    "changed",
    [
        fingerprint(strategy="entropy"),
        fingerprint(' model_threshold="0.4"'),
        fingerprint(' model_tolerance="2"'),
        fingerprint(edit=('value="Tibia"', 'value="Fibula"')),
        fingerprint(edit=("BrushLabels", "PolygonLabels")),
        fingerprint(edit=("$image", "$picture")),
        fingerprint(' model_mask_floor="0.4"'),
        fingerprint(mask_floor="0.4"),
        fingerprint(smallest_region="0"),
        fingerprint(max_regions="50"),
        fingerprint(max_points="50"),
    ],
    ids=[
        *("strategy", "threshold", "tolerance", "renamed label", "form", "image"),
        *("floor", "floor in the settings", "smallest region", "most regions", "most points"),
    ],
)
def test_what_shapes_predictions_changes_the_fingerprint(changed: str) -> None:
    assert changed != fingerprint()


@pytest.mark.parametrize(
    "same",
    [
        fingerprint(' model_annotations="all"'),
        fingerprint(edit=("<Label", '<Label hotkey="f"')),
        fingerprint(edit=('<Label value="Tibia"/>', '<Label value="Tibia"/><Label value="Fibula"/>')),
        fingerprint(f' model_strategy="{DEFAULT}"'),
        fingerprint(' model_mask_floor="0.5"', mask_floor="0.7"),
    ],
    ids=["annotations", "hotkey", "new label", "explicit default", "same floor"],
)
def test_other_changes_do_not_change_the_fingerprint(same: str) -> None:
    assert same == fingerprint()


def test_the_batch_size_matters_to_strategies_that_choose_batches() -> None:
    batches = {fingerprint(strategy="consistency+clusters", query_size=size) for size in ("7", "8")}
    assert len(batches) == 2
    assert fingerprint(strategy="entropy") == fingerprint(strategy="entropy", query_size="7")


def test_before_the_first_training_only_the_strategy_matters() -> None:
    assert fingerprint(version=UNTRAINED) == fingerprint(' model_threshold="0.4"', version=UNTRAINED)
    assert fingerprint(version=UNTRAINED) != fingerprint(version=UNTRAINED, strategy="entropy")
