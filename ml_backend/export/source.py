"""Where pictures come from: one after another, so that tens of thousands need no more memory than one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ml_backend.export.pictures import Legend, Picture


@dataclass(frozen=True)
class Item:
    """A picture that can be read.

    Attributes:
        key: names it within its source: a task, one of several annotations of a task, or a file.
        file: the file name of its image.
        digest: of everything it is read from; the same digest means the same picture.
        read: reads it; raises errors about this picture alone, see `ml_backend.export.run`.
        data: the task's data; empty for a file.
    """

    key: str
    file: str
    digest: str
    read: Callable[[], Picture]
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """An image that is not exported.

    Attributes:
        key: as that of an item.
        file: the file name of the image.
        reason: why, in a sentence.
        failed: whether it should have been, so that another run may export it.
    """

    key: str
    file: str
    reason: str
    failed: bool = False


class Source(Protocol):
    """The pictures of a project, or of files.

    Attributes:
        is_whole: whether a picture that a former run exported and that is missing now is gone; otherwise it
            is only not asked for this time.
    """

    is_whole: bool

    @property
    def legend(self) -> Legend:
        """Their labels."""

    @property
    def about(self) -> dict[str, Any]:
        """What is exported, as JSON; another value is another export."""

    def total(self) -> int:
        """Number of images to read, for a progress bar."""

    def items(self) -> Iterator[Item | LeftOut]:
        """The pictures."""
