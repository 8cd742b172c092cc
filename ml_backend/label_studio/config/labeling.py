"""The data model of a labeling config, and the config of a new project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import cycle
from types import MappingProxyType
from xml.etree import ElementTree

from ml_backend.label_studio.config.knobs import Knobs
from ml_backend.label_studio.regions.forms import Form

MAX_LABELS = 254
"""A label map is uint8 with 0 for background and 255 for unknown pixels, which leaves this many labels."""


READ_ONLY = "magicwand"
"""The kind whose predictions Label Studio 1.23.2 drops: its masks are read, but written as brush regions."""


class LabelConfigError(ValueError):
    """A labeling config that cannot be served; the message is one sentence that says what to change."""


class Role(Enum):
    """What the regions of a tag mean that is not a control."""

    PROMPT = "prompt"
    """They ask a model for masks and are no masks themselves."""
    UNREAD = "unread"
    """They are left out on purpose: the tag is skipped, over another image, or draws no areas."""
    UNLABELLED = "unlabelled"
    """They are masks without a label."""


@dataclass(frozen=True)
class Control:
    """One control tag over the served image.

    Attributes:
        name: `from_name` of its regions.
        kind: `type` of its regions, such as "brushlabels", or "brush" beside a <Labels> tag.
        form: the form in which its regions store a mask.
        labels: the labels it can draw, as regions name them, in the config's order.
        labels_tag: name of the <Labels> tag with its labels; empty if it has labels itself.
        prompts: further labels, with which its regions are prompts.
    """

    name: str
    kind: str
    form: Form
    labels: tuple[str, ...]
    labels_tag: str = ""
    prompts: tuple[str, ...] = ()

    @property
    def labels_key(self) -> str:
        """Key of a region's value that contains its label names."""
        return "labels" if self.labels_tag else self.kind


@dataclass(frozen=True)
class LabelConfig:
    """The part of a project that is served: one image, and all controls over it that can draw masks."""

    image_tag: str
    """Name of the ``<Image>`` tag: ``to_name`` of a region."""
    control_tag: str
    """Name of the first control over the image: ``from_name`` of a region that it draws."""
    data_key: str
    """Key of the task data that contains the image's address."""
    labels: tuple[str, ...]
    """Foreground labels as regions name them (the alias if a label has one), in the config's order."""
    controls: tuple[Control, ...] = ()
    """The controls over the image that can draw masks, in the config's order."""
    synonyms: tuple[tuple[str, str], ...] = ()
    """(other name, label): values of labels that have an alias, and then their ``predicted_values``."""
    knobs: Knobs = field(default_factory=Knobs)
    """The knobs that the config sets."""
    faults: tuple[str, ...] = ()
    """One sentence for each part of the config that is ignored, and what to do about it."""
    others: Mapping[str, Role] = field(default_factory=dict)
    """What regions of the other drawing tags mean, by the tag's name."""
    other_images: frozenset[str] = frozenset()
    """Names of the ``<Image>`` tags that are not served."""
    exclusions: frozenset[tuple[str, str]] = frozenset()
    """(name of a ``<Choices>`` tag, value) that exclude a task from training and validation."""
    indices: Mapping[str, int] = field(init=False, repr=False, compare=False)
    """Index in a label map, from 1, of every name that a region or a version may use for a label."""

    def __post_init__(self) -> None:
        indices = {label: index for index, label in enumerate(self.labels, start=1)}
        for name, label in self.synonyms:
            indices.setdefault(name, indices[label])
        object.__setattr__(self, "indices", MappingProxyType(indices))

    def control_of(self, label: str) -> Control:
        """The control that writes a label: the one with the most exact form that can."""
        able = [control for control in self.controls if label in control.labels and control.kind != READ_ONLY]
        return min(able, key=lambda control: control.form.rank)


def check_labels(tag: str, labels: tuple[str, ...]) -> None:
    """Raise LabelConfigError for no labels or more than MAX_LABELS; `tag` names the place in the message."""
    if not labels:
        raise LabelConfigError(f'{tag} has no labels: add at least one, such as <Label value="Bone"/>.')
    if len(labels) > MAX_LABELS:
        raise LabelConfigError(f"{tag} has {len(labels)} labels: use at most {MAX_LABELS}.")


COLOURS = ("#e8772e", "#2e9fe8", "#6cc04a", "#c94fd1", "#e8d22e", "#2ec9b7", "#e83a5f", "#8a6df1")
"""Colours of a new project's labels, chosen to stand out on grey radiographs; repeated past eight."""


def default_config(labels: Iterable[str]) -> str:
    """Return the labeling config of a new project: one image with zoom, one brush label for each name.

    Raises:
        LabelConfigError: no label, too many, a duplicate, or one that Label Studio would not keep unchanged.
    """
    names = tuple(labels)
    for name in names:
        if not name or not name.isprintable() or name != name.strip() or name.startswith("$"):
            raise LabelConfigError(
                f"A label must be printable text without surrounding spaces, unlike {name!r}."
            )
    check_labels('<BrushLabels name="mask">', names)
    if len(set(names)) < len(names):
        raise LabelConfigError(f"Give each label only once, unlike in {', '.join(names)}.")
    view = ElementTree.Element("View")
    ElementTree.SubElement(
        view,
        "Image",
        name="image",
        value="$image",
        zoom="true",
        zoomControl="true",
        brightnessControl="true",
        contrastControl="true",
    )
    control = ElementTree.SubElement(view, "BrushLabels", name="mask", toName="image")
    for name, colour in zip(names, cycle(COLOURS), strict=False):
        ElementTree.SubElement(control, "Label", value=name, background=colour)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")
