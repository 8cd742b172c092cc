"""When published predictions are still what is asked for."""

from __future__ import annotations

import pytest

from ml_backend.label_studio.config import parse
from ml_backend.score.strategy import advice, prediction_fingerprint, wanted
from ml_backend.settings import Settings
from ml_backend.store.models import Version
from model.strategies import RECOMMENDED

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="mask" toName="image"{knobs}>
<Label value="Femur"/><Label value="Tibia"/>
</BrushLabels></View>"""
TRAINED = Version(weights_hash="1", labels=["Femur", "Tibia"])
UNTRAINED = Version(weights_hash=None, labels=["Femur", "Tibia"])


def made(
    knobs: str = "", version: Version = TRAINED, edit: tuple[str, str] = ("", ""), **settings: str
) -> str:
    config = parse(CONFIG.format(knobs=knobs).replace(*edit))
    return prediction_fingerprint(Settings.model_validate(settings), config, version)


def test_the_labeling_config_has_the_last_word() -> None:
    settings = Settings.model_validate({"strategy": "entropy"})
    assert wanted(settings, parse(CONFIG.format(knobs=""))).name == "entropy"
    knob = ' model_strategy="Disagreement"'
    assert wanted(settings, parse(CONFIG.format(knobs=knob))).name == "disagreement"


def test_a_wrong_strategy_is_told_and_the_setting_stands() -> None:
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
        ("consistency", RECOMMENDED, False),
        (RECOMMENDED, "", False),
        (RECOMMENDED, "consistency", True),
        ("random", "", False),
    ],
)
def test_only_an_order_from_the_most_consistent_down_is_advised_against(
    strategy: str, knob: str, advised: bool
) -> None:
    knobs = f' model_strategy="{knob}"' if knob else ""
    said = advice(Settings.model_validate({"strategy": strategy}), parse(CONFIG.format(knobs=knobs)))
    assert (said is not None) == advised
    assert said is None or RECOMMENDED in said


@pytest.mark.parametrize(
    "changed",
    [
        made(strategy="entropy"),
        made(' model_threshold="0.4"'),
        made(' model_tolerance="2"'),
        made(edit=('value="Tibia"', 'value="Fibula"')),
        made(edit=("BrushLabels", "PolygonLabels")),
        made(edit=("$image", "$picture")),
    ],
    ids=["strategy", "threshold", "tolerance", "renamed label", "form", "image"],
)
def test_what_shapes_predictions_changes_the_recipe(changed: str) -> None:
    assert changed != made()


@pytest.mark.parametrize(
    "same",
    [
        made(' model_annotations="all"'),
        made(edit=("<Label", '<Label hotkey="f"')),
        made(edit=('<Label value="Tibia"/>', '<Label value="Tibia"/><Label value="Fibula"/>')),
        made(query_size="7"),
        made(' model_strategy="consistency"'),
    ],
    ids=["annotations", "hotkey", "new label", "size of no batch", "the default, said"],
)
def test_what_shapes_no_prediction_does_not(same: str) -> None:
    assert same == made()


def test_the_size_of_a_batch_matters_to_those_that_choose_one() -> None:
    batches = {made(strategy="consistency+clusters", query_size=size) for size in ("7", "8")}
    assert len(batches) == 2


def test_before_the_first_training_only_the_strategy_matters() -> None:
    assert made(version=UNTRAINED) == made(' model_threshold="0.4"', version=UNTRAINED)
    assert made(version=UNTRAINED) != made(version=UNTRAINED, strategy="disagreement")
