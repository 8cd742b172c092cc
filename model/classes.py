"""Translation of class indices when a project's labels are added, removed, renamed or reordered.

Classes are matched by name: weights and masks made under a label that still exists keep their meaning, even
if the label's position, and so its class index, has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classes:
    """The current labels of a project.

    Attributes:
        labels: foreground labels in the order of the class indices; label i has index i + 1.
        indices: class index of every current or former name of a label, synonyms included.
    """

    labels: tuple[str, ...]
    indices: Mapping[str, int]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Classes:
        """Classes whose labels have no synonyms."""
        return cls(tuple(labels), {label: index for index, label in enumerate(labels, start=1)})

    def origins(self, former: Sequence[str]) -> tuple[int | None, ...]:
        """Class index of each label among the `former` labels; None for a new label.

        If several former labels were merged into one, the first of them is used.
        """
        found: dict[int, int] = {}
        for index, name in enumerate(former, start=1):
            found.setdefault(self.indices.get(name, 0), index)
        return tuple(found.get(index) for index in range(1, len(self.labels) + 1))

    def shared(self, former: Sequence[str]) -> tuple[str, ...]:
        """The labels that also occur, under any of their names, among the `former` ones."""
        pairs = zip(self.labels, self.origins(former), strict=True)
        return tuple(label for label, origin in pairs if origin is not None)

    def translate(self, label_map: NDArray[np.uint8], former: Sequence[str]) -> NDArray[np.uint8]:
        """Re-index a label map (H, W) of the `former` labels; pixels of a removed label become background.

        Values beyond the `former` labels, such as 255 (unknown), are unchanged.
        """
        if tuple(former) == self.labels:
            return label_map
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(former) + 1] = [self.indices.get(name, 0) for name in former]
        return table[label_map]
