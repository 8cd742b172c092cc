"""The figures of a version's labels, which must not hide behind their mean."""

from __future__ import annotations

from ml_backend.store.label_figures import label_figures, sentences
from ml_backend.store.models import Version


def version(dsc: dict[str, float], images: dict[str, int] | None) -> Version:
    metrics = {"per_label": dsc} | ({} if images is None else {"label_images": images})
    return Version(name="V", labels=["Root", "Canal", "Decay"], metrics=metrics)


def test_a_label_at_zero_is_named_and_one_with_few_images_says_nothing() -> None:
    made = version({"Root": 0.81, "Canal": 0.04, "Decay": 0.0}, {"Root": 20, "Canal": 18, "Decay": 2})
    assert sentences(made, label_figures(made)) == [
        "validation DSC by label (validation images that contain it): Root 0.81 (20), Canal 0.04 (18), "
        "Decay too few to tell (2)",
        "V has hardly learned Canal (0.04): DSC below 0.3",
    ]


def test_a_label_that_no_validation_image_contains_is_listed_too() -> None:
    made = version({"Root": 0.81}, {"Root": 20})
    assert [str(figure) for figure in label_figures(made)] == [
        "Root 0.81 (20)",
        "Canal too few to tell (0)",
        "Decay too few to tell (0)",
    ]


def test_good_labels_are_not_called_poor_and_one_label_needs_no_list() -> None:
    made = Version(
        name="V", labels=["Bone"], metrics={"per_label": {"Bone": 0.9}, "label_images": {"Bone": 9}}
    )
    assert sentences(made, label_figures(made)) == []
    made.metrics = {"per_label": {"Bone": 0.2}, "label_images": {"Bone": 9}}
    assert sentences(made, label_figures(made)) == ["V has hardly learned Bone (0.20): DSC below 0.3"]


def test_versions_of_former_releases_have_no_figures() -> None:
    assert label_figures(version({"Root": 0.8}, None)) == []
