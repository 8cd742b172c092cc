"""Classes by name: what label maps mean when a project's labels change.

Labels are added, removed, renamed and reordered while weights and masks of the former ones are at hand. A
class is its name: whatever was learned or drawn under a name that still exists keeps its meaning, wherever it
now stands in the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classes:
    """The labels of a project as they are now.

    Attributes:
        labels: foreground labels in the order of the class indices; label i has index i + 1.
        indices: class index of every name by which a label is or was known, synonyms included.
    """

    labels: tuple[str, ...]
    indices: Mapping[str, int]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Classes:
        """Labels without synonyms."""
        return cls(tuple(labels), {label: index for index, label in enumerate(labels, start=1)})

    def origins(self, former: Sequence[str]) -> tuple[int | None, ...]:
        """For each label the class index it had among the `former` labels, None if it is new.

        Where several former labels are now one, the first of them counts.
        """
        found: dict[int, int] = {}
        for index, name in enumerate(former, start=1):
            found.setdefault(self.indices.get(name, 0), index)
        return tuple(found.get(index) for index in range(1, len(self.labels) + 1))

    def shared(self, former: Sequence[str]) -> tuple[str, ...]:
        """The labels that the `former` ones hold as well."""
        pairs = zip(self.labels, self.origins(former), strict=True)
        return tuple(label for label, origin in pairs if origin is not None)

    def translate(self, label_map: NDArray[np.uint8], former: Sequence[str]) -> NDArray[np.uint8]:
        """A label map (H, W) of the `former` labels in these classes; a label that is gone is background."""
        if tuple(former) == self.labels:
            return label_map
        table = np.arange(256, dtype=np.uint8)
        table[1 : len(former) + 1] = [self.indices.get(name, 0) for name in former]
        return table[label_map]
