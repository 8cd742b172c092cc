from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.consistency import consistency, dice
from model.engines import Output
from model.imaging.preprocessing import Frame, PreprocessingError
from model.segmenter import Segmentation, Segmenter, hard_mask
from model.weights import WeightsError

Drawing = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def equal(first: Segmentation, second: Segmentation) -> bool:
    return first.consistency == second.consistency and all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("lower", "middle", "final", "probabilities")
    )


@pytest.fixture(scope="module")
def segmenter(version: Path) -> Segmenter:
    return Segmenter(version, engine="torch")


@pytest.fixture(scope="module")
def segmenter_of_two(version_of_two: Path) -> Segmenter:
    return Segmenter(version_of_two, engine="torch")


@pytest.mark.parametrize("height_width", [(160, 128), (431, 317), (90, 700)])
def test_everything_comes_at_the_images_own_resolution(
    draw: Drawing, segmenter_of_two: Segmenter, height_width: tuple[int, int]
) -> None:
    (result,) = segmenter_of_two.segment([draw(3, *height_width)[0]])
    for mask in (result.lower, result.middle, result.final):
        assert mask.shape == height_width
        assert mask.dtype == np.uint8
        assert mask.max() <= 2
    assert result.probabilities.shape == (3, *height_width)
    assert result.probabilities.dtype == np.float32
    assert result.probabilities.sum(axis=0) == pytest.approx(1, abs=1e-5)


def test_it_finds_what_it_was_trained_on(draw: Drawing, segmenter_of_two: Segmenter) -> None:
    image, truth = draw(500)
    (result,) = segmenter_of_two.segment([image])
    assert segmenter_of_two.labels == ("dark disc", "bright disc")
    assert all(dice(result.final == label, truth == label) > 0.8 for label in (1, 2))


@pytest.mark.parametrize("which", ["segmenter", "segmenter_of_two"])
def test_the_final_mask_is_the_most_probable_class(
    draw: Drawing, which: str, request: pytest.FixtureRequest
) -> None:
    (result,) = request.getfixturevalue(which).segment([draw(4, 431, 317)[0]])
    # Rounding may decide only where two classes are equally probable.
    top = np.sort(result.probabilities, axis=0)
    decided = top[-1] - top[-2] > 1e-5
    assert np.array_equal(result.probabilities.argmax(axis=0)[decided], result.final[decided])
    assert decided.mean() > 0.999


def test_the_score_is_recomputed_from_the_returned_masks(draw: Drawing, segmenter_of_two: Segmenter) -> None:
    (result,) = segmenter_of_two.segment([draw(5, 431, 317)[0]])
    masks = (result.lower, result.middle, result.final)
    present = [label for label in (1, 2) if any((mask == label).any() for mask in masks)]
    l_dsc = np.mean([dice(result.lower == label, result.final == label) for label in present])
    m_dsc = np.mean([dice(result.middle == label, result.final == label) for label in present])
    assert 0 < result.consistency.score < 1
    assert result.consistency.score == pytest.approx((l_dsc + m_dsc) / 2, abs=1e-12)


@pytest.mark.parametrize("height_width", [(431, 317), (90, 120), (900, 1400)])
def test_the_probability_of_a_part_is_the_mean_over_its_pixels(
    draw: Drawing, segmenter_of_two: Segmenter, height_width: tuple[int, int]
) -> None:
    (result,) = segmenter_of_two.segment([draw(5, *height_width)[0]])
    parts = (result.final == 2).astype(np.uint8)
    parts[:20, 30:70] = 2
    parts[-1, -1] = 4
    expected = [result.probabilities[2][parts == number].mean() for number in (1, 2, 4)]
    first, second, none, pixel = result.part_probabilities([2], parts)
    assert [first, second] == pytest.approx(expected[:2], abs=0.01)
    assert pixel == pytest.approx(expected[2], abs=0.05)
    assert none == 0
    assert first > 0.5
    assert result.part_probabilities([0, 1, 2], parts)[:2] == pytest.approx([1, 1], abs=1e-5)
    assert result.part_probabilities([2], np.zeros(height_width, np.uint8)) == []


def test_an_image_is_segmented_the_same_alone_and_among_others(draw: Drawing, segmenter: Segmenter) -> None:
    images = [draw(seed, 160, 96 + 32 * seed)[0] for seed in range(4)]
    together = segmenter.segment(images)
    alone = [segmenter.segment([image])[0] for image in images]
    assert all(equal(first, second) for first, second in zip(alone, together, strict=True))
    assert segmenter.segment([]) == []


def test_threads_may_share_a_segmenter(draw: Drawing, segmenter: Segmenter) -> None:
    images = [draw(seed, 200, 120 + 16 * seed)[0] for seed in range(8)]
    alone = segmenter.segment(images)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: segmenter.segment([image])[0], images))
    assert all(equal(first, second) for first, second in zip(alone, together, strict=True))


def test_a_stream_may_be_left_early_and_never_runs_far_ahead(draw: Drawing, segmenter: Segmenter) -> None:
    asked: list[int] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for seed in range(50):
            asked.append(seed)
            yield draw(seed)[0]

    stream = segmenter.stream(images())
    first = next(stream)
    stream.close()
    assert equal(first, segmenter.segment([draw(0)[0]])[0])
    assert len(asked) <= 5


def test_a_broken_image_fails_alone(draw: Drawing, segmenter: Segmenter) -> None:
    with pytest.raises(PreprocessingError):
        segmenter.segment([draw(0)[0], np.zeros((3, 4, 5), np.uint8)])
    assert segmenter.segment([draw(0)[0]])[0].final.any()


def test_sixteen_bits_are_as_good_as_eight(draw: Drawing, segmenter: Segmenter) -> None:
    image = draw(6)[0]
    eight, sixteen = segmenter.segment([image, image.astype(np.uint16) * 257])
    assert dice(eight.final > 0, sixteen.final > 0) > 0.97


@pytest.mark.parametrize("grey", [0, 127, 255])
def test_an_empty_image_never_gets_a_good_score(draw: Drawing, segmenter: Segmenter, grey: int) -> None:
    (result,) = segmenter.segment([np.full((180, 140), grey, np.uint8)])
    assert result.final.shape == (180, 140)
    assert result.consistency.blank == (not result.final.any())
    if result.consistency.blank:
        assert result.consistency.score == 0


def test_a_measurement_contains_what_strategies_need(draw: Drawing, segmenter_of_two: Segmenter) -> None:
    images = [draw(seed, 160, 128)[0] for seed in range(3)]
    results = segmenter_of_two.segment(images)
    for number, result in enumerate(results):
        found = result.measurement(f"image {number}")
        assert found.key == f"image {number}"
        assert found.consistency == result.consistency
        assert np.linalg.norm(found.features) == pytest.approx(1, abs=1e-6)
        assert found.probed is None
        # Nothing was cropped here, so canvas and image differ by a resize only.
        logs = np.log(np.maximum(result.probabilities, 1e-12))
        expected = -(result.probabilities * logs).sum(axis=0).mean() / np.log(3)
        assert found.entropy == pytest.approx(expected, rel=0.05)
        assert found.entropy < found.boundary_entropy <= 1, "errors of masks are at their edges"
    assert len({result.measurement("").entropy for result in results}) == 3


def test_padding_does_not_count_in_an_entropy() -> None:
    frame = Frame(original=(40, 33), crop=(0, 0, 40, 33), scaled=(40, 33), canvas=(48, 48))
    probabilities = np.zeros((3, 2, 48, 48), np.float32)
    probabilities[:, 0], probabilities[:, :, :40, :33] = 1, 0.5
    features = np.full(4, 0.5, np.float32)
    empty = np.zeros((40, 33), np.uint8)
    agreement = consistency(empty, empty, empty, 1)
    result = Segmentation(empty, empty, empty, agreement, features, Output(probabilities, features), frame)
    assert result.measurement("").entropy == pytest.approx(1, abs=1e-5)
    assert result.measurement("").boundary_entropy == pytest.approx(1, abs=1e-5), (
        "without a boundary, the whole image counts"
    )


def test_features_tell_images_apart(draw: Drawing, segmenter: Segmenter) -> None:
    image, other = draw(1)[0], draw(2)[0]
    noisy = np.clip(image.astype(int) + np.random.default_rng(0).integers(-3, 4, image.shape), 0, 255)
    first, again, second = (
        result.features for result in segmenter.segment([image, noisy.astype(np.uint8), other])
    )
    assert np.linalg.norm(first - again) < np.linalg.norm(first - second) / 2


def test_a_folder_without_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        Segmenter(tmp_path)


def noise(classes: int, height: int, width: int) -> NDArray[np.float32]:
    values = np.random.default_rng(0).random((classes, height, width), dtype=np.float32) ** 8
    return np.ascontiguousarray(values / values.sum(axis=0))


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_hard_masks_equal_the_argmax_of_the_carried_probabilities(classes: int) -> None:
    frame = Frame(original=(210, 190), crop=(20, 11, 150, 170), scaled=(53, 60), canvas=(64, 64))
    probabilities = noise(classes, 64, 64)
    carried = frame.back(probabilities)
    mask = hard_mask(probabilities, frame)
    assert np.mean(mask != carried.argmax(axis=0)) <= (1e-4 if classes == 2 else 0)
    assert not mask[:20].any()
    assert not mask[:, :11].any()
    assert len(np.unique(mask)) == classes


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.95])
def test_a_threshold_on_the_background_leaves_the_most_probable_label(classes: int, threshold: float) -> None:
    frame = Frame.fit((90, 120), (5, 0, 80, 100), 64)
    drawn = np.random.default_rng(classes).dirichlet([0.4] * classes, frame.canvas)
    probabilities = np.ascontiguousarray(np.moveaxis(drawn, -1, 0), dtype=np.float32)
    carried = frame.back(probabilities)
    found = hard_mask(probabilities, frame, threshold)
    sure = np.abs(1 - carried[0] - threshold) > 1e-5
    expected = np.where(1 - carried[0] >= threshold, 1 + carried[1:].argmax(axis=0), 0)
    assert np.array_equal(found[sure], expected[sure])
    assert not found[:5].any()


@pytest.mark.parametrize("which", ["segmenter", "segmenter_of_two"])
def test_the_threshold_holds_for_all_three_masks(
    draw: Drawing, which: str, request: pytest.FixtureRequest
) -> None:
    segmenter = request.getfixturevalue(which)
    image = draw(4, 431, 317)[0]
    areas = []
    for threshold in (0.02, 0.5, 0.98):
        (found,) = segmenter.segment([image], threshold=threshold)
        masks = (found.lower, found.middle, found.final)
        areas.append([np.count_nonzero(mask) for mask in masks])
        assert found.consistency == consistency(*masks, len(segmenter.labels))
    for sparse, middle, rich in zip(*reversed(areas), strict=True):
        assert sparse < middle < rich
