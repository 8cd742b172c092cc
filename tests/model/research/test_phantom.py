import csv
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.research.phantom import Phantom, PhantomError, draw_phantom, natural_size, write_phantoms
from model.research.phantom.bones import BoneKind
from model.research.phantom.growth import AGES, Growth

SIZE = (300, 375)
DATA = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[3] / "../shared/data"))
RAYS = ((1, 6, 15), (2, 7, 11, 16), (3, 8, 12, 17), (4, 9, 13, 18), (5, 10, 14, 19))


Hands = list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


def centre(bones: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
    rows, columns = np.nonzero(bones == number)
    return np.array([columns.mean(), rows.mean()])


@settings(max_examples=20, deadline=None)
@given(age=st.integers(0, 18), seed=st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_every_phantom_is_a_whole_hand_in_its_order_with_exact_masks(age: int, seed: int) -> None:
    phantom = draw_phantom(age, seed, size=SIZE)
    assert phantom.image.shape == phantom.mask.shape == phantom.bones.shape == (375, 300)
    assert phantom.image.dtype == phantom.mask.dtype == phantom.bones.dtype == np.uint8
    assert set(np.unique(phantom.bones)) == set(range(20))
    assert np.array_equal(phantom.mask, np.where(phantom.bones > 0, 255, 0))
    assert not phantom.mask[[0, -1]].any(), "a labelled bone is cut by the image's edge"
    assert not phantom.mask[:, [0, -1]].any()
    assert_fingers_keep_their_order(phantom.bones)


def assert_fingers_keep_their_order(bones: NDArray[np.uint8]) -> None:
    """The bones of a finger follow one another, and so do the fingers."""
    for ray in RAYS:
        steps = np.diff([centre(bones, number) for number in ray], axis=0)
        turns = np.sum(steps[1:] * steps[:-1], axis=1)
        assert (turns > 0).all(), "a finger folds back on itself"
    across = centre(bones, 2) - centre(bones, 5)
    order = [float(centre(bones, number) @ across) for number in (2, 3, 4, 5)]
    assert order == sorted(order, reverse=True)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_hand() -> None:
    first, again, other = (draw_phantom(7, seed, size=SIZE) for seed in (3, 3, 4))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.bones.tobytes() == again.bones.tobytes()
    assert first.image.tobytes() != other.image.tobytes()


@pytest.mark.slow
def test_bone_is_brighter_than_the_flesh_beside_it_in_any_exposure() -> None:
    for seed in range(12):
        phantom = draw_phantom(seed + 3, seed, size=(500, 625))
        for contrast in contrasts(phantom.image, phantom.bones):
            assert contrast > 1.05


def test_sizes_are_those_of_the_real_ones() -> None:
    sizes = {natural_size(seed % 19, seed) for seed in range(200)}
    assert {(500, 625), (1600, 2080)} <= sizes
    assert all(width < height and 500 <= height <= 2080 for width, height in sizes)
    phantom = draw_phantom(3, 1)
    assert phantom.image.shape[::-1] == natural_size(3, 1)


@pytest.mark.slow
def test_hands_of_all_exposures_occur_from_nearly_black_to_bright() -> None:
    pictures = [draw_phantom(seed % 19, seed, size=(128, 160)).image for seed in range(30)]
    backgrounds = [float(np.percentile(picture, 25)) for picture in pictures]
    whites = [float(np.percentile(picture, 97)) for picture in pictures]
    assert min(whites) < 60, "no under-exposed phantom"
    assert max(whites) > 200
    assert max(backgrounds) > 45, "no bright film"
    assert sum(background < 20 for background in backgrounds) > 15


def islands(age: int, number: int) -> int:
    """Number of pieces of one bone's label, the most common over a few children of this age."""
    counts = []
    for seed in range(3):
        bones = draw_phantom(age, seed, size=(700, 875)).bones
        counts.append(cv2.connectedComponents((bones == number).astype(np.uint8))[0] - 1)
    return int(np.median(counts))


@pytest.mark.slow
def test_heads_of_metacarpals_ossify_as_islands_and_are_one_with_the_shaft_later() -> None:
    assert islands(0, 3) == 1
    assert islands(3, 3) == 2
    assert islands(10, 3) == 1


def test_growth_follows_age() -> None:
    ages = [Growth(maturity=float(age) + 0.5, stature=1.0) for age in AGES]
    carpals = [len(growth.carpals()) for growth in ages]
    assert carpals[0] == 2
    assert carpals == sorted(carpals)
    assert carpals[-1] == 8
    for kind in BoneKind:
        plates = [growth.plate(kind) for growth in ages]
        assert plates[0].size == 0.0
        assert [plate.size for plate in plates] == sorted(plate.size for plate in plates)
        assert [plate.gap for plate in plates] == sorted((plate.gap for plate in plates), reverse=True)
        assert plates[12].gap > 0.0, "closed before the teens"
        assert plates[-1].gap == 0.0


@pytest.mark.parametrize("draw", [
    lambda: draw_phantom(19, 0),
    lambda: draw_phantom(-1, 0),
    lambda: draw_phantom(5, -1),
    lambda: draw_phantom(5, 0, size=(50, 60)),
])  # fmt: skip
def test_impossible_phantoms_are_refused_with_a_sentence(draw: Callable[[], Phantom]) -> None:
    with pytest.raises(PhantomError, match=r"give .*\.$"):
        draw()


@pytest.mark.slow
def test_a_written_data_set_resembles_the_papers(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    paths = write_phantoms(
        tmp_path, groups=3, per_group=2, seed=5, multilabel=True, max_side=300,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    stems = [
        "phantom_a00_00",
        "phantom_a00_01",
        "phantom_a09_00",
        "phantom_a09_01",
        "phantom_a18_00",
        "phantom_a18_01",
    ]
    assert [path.stem for path in paths] == stems
    assert seen == [(done, 6) for done in range(1, 7)]
    with (tmp_path / "phantoms.csv").open(encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["stem"] for row in rows] == stems
    for row in rows:
        image, mask, labels = (
            read(tmp_path / folder / f"{row['stem']}.png") for folder in ("images", "masks", "labels")
        )
        assert image.shape == (int(row["height"]), int(row["width"]))
        assert max(image.shape) <= 300
        assert set(np.unique(mask)) == {0, 255}
        assert np.array_equal(mask > 0, labels > 0)
        again = draw_phantom(int(row["age"]), int(row["seed"]), size=image.shape[::-1])
        assert np.array_equal(again.image, image)


def test_labels_of_single_bones_are_written_only_on_request(tmp_path: Path) -> None:
    write_phantoms(tmp_path, groups=1, per_group=1, max_side=300)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "masks", "phantoms.csv"]
    with pytest.raises(PhantomError):
        write_phantoms(tmp_path, groups=20)


def bone_shapes(bones: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(19, 2): length in lengths of the third metacarpal, and width in mid-bone over length."""
    shapes = np.zeros((19, 2))
    for number in range(1, 20):
        rows, columns = np.nonzero(bones == number)
        points = np.stack([columns, rows], axis=1).astype(np.float64)
        points -= points.mean(axis=0)
        axis = np.linalg.svd(points, full_matrices=False)[2][0]
        along, across = points @ axis, points @ np.array([-axis[1], axis[0]])
        length = np.ptp(along) + 1
        middle = np.abs((along - along.min()) / length - 0.5) < 0.04
        shapes[number - 1] = length, (np.ptp(across[middle]) + 1) / length
    shapes[:, 0] /= shapes[2, 0]
    return shapes


def contrasts(image: NDArray[np.uint8], bones: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Brightness of metacarpals and of proximal, middle and distal phalanges relative to nearby flesh."""
    unit = float(np.ptp(np.nonzero(bones == 3)[0])) + 1
    grey, solid = image.astype(np.float64), (bones > 0).astype(np.uint8)
    background = float(np.percentile(grey, 5))

    def grown(mask: NDArray[np.uint8], by: float) -> NDArray[np.bool_]:
        side = 2 * round(by * unit) + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0

    near = grown(solid, 0.02)
    ratios = []
    for first, last in ((1, 5), (6, 10), (11, 14), (15, 19)):
        group = ((bones >= first) & (bones <= last)).astype(np.uint8)
        ring = grown(group, 0.05) & ~near
        ratios.append((grey[group > 0].mean() - background) / (grey[ring].mean() - background))
    return np.array(ratios)


@pytest.fixture(scope="module")
def real() -> Hands:
    folder = DATA / "hand-bones"
    if not folder.is_dir():
        pytest.skip("no real hands here: set DSAL_DATA to a folder that holds hand-bones")
    return [
        (read(folder / "images" / path.name), read(path))
        for path in sorted((folder / "labels").glob("*.png"))
    ]


@pytest.fixture(scope="module")
def drawn() -> Hands:
    phantoms = [draw_phantom(3 + seed % 15, seed, size=(500, 625)) for seed in range(30)]
    return [(phantom.image, phantom.bones) for phantom in phantoms]


@pytest.mark.slow
def test_bones_have_the_proportions_of_real_ones(
    real: Hands,
    drawn: Hands,
) -> None:
    """Lengths and widths within 10 % of the real means; table in docs/phantom.md."""
    theirs, ours = (np.mean([bone_shapes(bones) for _, bones in hands], axis=0) for hands in (real, drawn))
    assert np.abs(ours[:, 0] / theirs[:, 0] - 1.0).max() < 0.10
    assert np.abs(ours[:, 1] / theirs[:, 1] - 1.0).max() < 0.10


@pytest.mark.slow
def test_bone_stands_out_from_flesh_as_in_real_hands(
    real: Hands,
    drawn: Hands,
) -> None:
    """Medians of the contrasts within 10 % of the real ones; backgrounds span theirs."""
    theirs, ours = (np.median([contrasts(*hand) for hand in hands], axis=0) for hands in (real, drawn))
    assert np.abs(ours / theirs - 1.0).max() < 0.10
    levels = [float(np.percentile(image, 5)) for image, _ in drawn]
    assert min(levels) <= min(float(np.percentile(image, 5)) for image, _ in real)
    assert max(levels) >= max(float(np.percentile(image, 5)) for image, _ in real)
