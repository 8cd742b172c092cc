"""What annotators get to edit: whole structures, one a region, and neither specks nor shreds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.regions.components import numbered
from ml_backend.label_studio.regions.masks import label_map, results
from ml_backend.label_studio.regions.tidying import Limits, tidied
from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.ml_backend.label_studio.regions.forms import FORMS

REAL = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[4] / "../shared/data"))
NAMES = tuple(f"L{number}" for number in range(1, 20))
SETS = ("hand-bones", "oai-longleg", "dsb2018-nuclei", "dental", "breast-us", "chest")
EXACT = ("BrushLabels", "BitmaskLabels")


def config_of(tag: str) -> LabelConfig:
    labels = "".join(f'<Label value="{name}"/>' for name in NAMES)
    control = f'<{tag} name="mask" toName="image" closable="true">{labels}</{tag}>'
    return parse(f'<View><Image name="image" value="$image"/>{control}</View>')


def components(labels: NDArray[np.uint8]) -> Counter[str]:
    """Number of components of each label."""
    counted = {
        name: cv2.connectedComponents((labels == index).view(np.uint8))[0] - 1
        for index, name in enumerate(NAMES, start=1)
    }
    return Counter({name: count for name, count in counted.items() if count})


def written(
    labels: NDArray[np.uint8], tag: str, points: int | None = None
) -> tuple[Counter[str], Counter[str]]:
    """Number of regions and of points of each label, written in the form of a tag."""
    regions, points_of = Counter[str](), Counter[str]()
    for region in results(labels, config_of(tag), points=points):
        (name,) = region["value"][region["type"]]
        regions[name] += 1
        points_of[name] += len(region["value"].get("points", region["value"].get("vertices", ())))
    return regions, points_of


def shredded(labels: NDArray[np.uint8], seed: int, share: float = 0.02) -> NDArray[np.uint8]:
    """The label map with pixels of any label strewn over it, as a network draws that has hardly learned."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, int(labels.max()) + 1, labels.shape, np.uint8)
    return np.where(random.random(labels.shape) < share, noise, labels)


@pytest.mark.parametrize("tag", FORMS.values())
@pytest.mark.parametrize("age", [2, 9, 16])
def test_a_region_is_one_component_in_every_form(tag: str, age: int) -> None:
    bones = tidied(draw_phantom(age, seed=age, size=(288, 360)).bones, Limits())
    regions, _ = written(bones, tag)
    assert regions == components(bones), "young hands have bones of several parts"
    assert sum(regions.values()) >= 19


@pytest.mark.parametrize("tag", FORMS.values())
@pytest.mark.parametrize("age", [2, 16])
def test_a_shredded_mask_is_drawn_as_the_bones_it_shows(tag: str, age: int) -> None:
    bones = draw_phantom(age, seed=age, size=(288, 360)).bones
    noisy = shredded(bones, seed=1)
    assert sum(components(noisy).values()) > 1000
    tidy = tidied(noisy, Limits())
    regions, _ = written(tidy, tag)
    assert set(regions) == set(components(bones))
    assert sum(regions.values()) <= 1.3 * sum(components(bones).values())
    for index in range(1, 20):
        assert dice(tidy == index, bones == index) > 0.9


@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0, 0.01), st.integers(1, 30))
@settings(deadline=None, max_examples=30)
def test_no_speck_no_small_hole_and_no_surplus_region_is_left(
    seed: int, count: int, smallest: float, most: int
) -> None:
    noise = np.random.default_rng(seed).random((count + 1, 90, 130)).astype(np.float32)
    labels = np.stack([cv2.GaussianBlur(each, (0, 0), 2) for each in noise]).argmax(axis=0).astype(np.uint8)
    tidy = tidied(labels, Limits(smallest, regions=most))
    assert max(components(tidy).values(), default=0) <= most
    for index in range(1, count + 1):
        areas = cv2.connectedComponentsWithStats((tidy == index).view(np.uint8))[2][1:, cv2.CC_STAT_AREA]
        assert (areas >= smallest * labels.size).all()
        others = (labels > 0) & (labels != index)
        assert not (others & (tidy == index) & ~_enclosed(tidy, index)).any(), "no label grows over another"


def _enclosed(labels: NDArray[np.uint8], index: int) -> NDArray[np.bool_]:
    """What one label surrounds, itself included."""
    outside = np.pad((labels != index).view(np.uint8), 1, constant_values=1)
    parts = cv2.connectedComponents(outside, connectivity=4)[1]
    return np.asarray(parts != parts[0, 0])[1:-1, 1:-1]


def test_holes_are_filled_only_if_they_are_small_and_enclosed_by_one_label() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[10:50, 10:90] = 1
    labels[15:17, 15:17] = 0
    labels[30:40, 30:40] = 0
    labels[20, 20] = 2
    labels[50:90, 10:90] = 2
    labels[49:51, 60:62] = 0
    labels[0:3, 0:1] = 0
    tidy = tidied(labels, Limits(smallest=0.001))
    assert (tidy[15:17, 15:17] == 1).all(), "a small hole"
    assert tidy[20, 20] == 1, "a speck within another label"
    assert (tidy[30:40, 30:40] == 0).all(), "a large hole"
    assert (tidy[49:51, 60:62] == 0).all(), "a gap between two labels"


def test_components_are_numbered_by_size_and_the_surplus_shares_the_last_number() -> None:
    mask = np.zeros((60, 90), np.bool_)
    mask[::3, ::3] = True
    mask[30:40, 30:50] = True
    numbers, count = numbered(mask)
    assert count == 200
    assert numbers[35, 40] == 1
    np.testing.assert_array_equal(numbers > 0, mask)
    assert numbered(np.zeros((4, 5), np.bool_))[1] == 0


def test_a_mask_that_is_fit_already_is_not_changed() -> None:
    bones = draw_phantom(10, seed=3, size=(576, 720)).bones
    np.testing.assert_array_equal(tidied(bones, Limits()), bones)
    np.testing.assert_array_equal(tidied(np.zeros((5, 7), np.uint8), Limits()), np.zeros((5, 7)))
    np.testing.assert_array_equal(tidied(np.ones((5, 7), np.uint8), Limits()), np.ones((5, 7)))


@pytest.mark.parametrize("tag", ["PolygonLabels", "VectorLabels"])
@pytest.mark.parametrize("most", [4, 50, 300])
def test_no_label_has_more_points_than_allowed(tag: str, most: int) -> None:
    mask = (draw_phantom(4, seed=4, size=(288, 360)).mask > 0).astype(np.uint8)
    regions, points = written(mask, tag, most)
    assert points["L1"] <= most < written(mask, tag)[1]["L1"]
    assert regions["L1"] == min(components(mask)["L1"], most // 4), "the largest are kept"
    found = label_map(results(mask, config_of(tag), points=most), config_of(tag), (360, 288)).label_map
    assert found is not None
    if most == 300:
        assert dice(found == 1, mask == 1) > 0.9, "coarser, but still the same bones"


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="real masks are only in some checkouts")
@pytest.mark.parametrize(
    "name", ["hand-bones", "oai-longleg", "dsb2018-nuclei", "dental", "breast-us", "chest"]
)
def test_real_masks_keep_their_structures_and_stay_within_the_limits(name: str) -> None:
    limits = Limits()
    files = sorted((REAL / name / "masks").glob("*.png"))
    for file in files[:: max(len(files) // 6, 1)]:
        truth = np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
        labels = (truth if truth.max() < len(NAMES) else truth > 0).astype(np.uint8)
        tidy = tidied(labels, limits)
        for index in np.unique(labels[labels > 0]):
            if np.count_nonzero(labels == index) >= 2 * limits.smallest * labels.size:
                assert dice(tidy == index, labels == index) > 0.99
        for tag in FORMS.values():
            regions, points = written(tidy, tag, limits.points)
            counted = components(tidy)
            assert max(regions.values(), default=0) <= limits.regions
            assert max(points.values(), default=0) <= limits.points
            if tag in EXACT:
                assert regions == counted
            else:
                assert all(0 < regions[label] <= count for label, count in counted.items())
