"""Images that are read ahead are those that are asked for, and their errors come with them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.label_studio.images.cache import ImageUnavailable
from ml_backend.label_studio.images.reader import Grey, ReadAhead

CONFIG = parse(default_config(["Bone"]))
TASKS = {task: {"image": f"{task}.png"} for task in (5, 3, 9)}


class Images:
    """Images whose grey value is their task's id; that of task 3 cannot be fetched."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.second = threading.Event()

    def __call__(self, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> Grey:
        assert data == TASKS[task_id]
        self.read.append(task_id)
        if len(self.read) == 2:
            self.second.set()
        if task_id == 3:
            raise ImageUnavailable(3, "the server does not answer", transient=True)
        return np.full((2, 2), task_id, np.uint8)


def test_the_next_image_is_read_before_it_is_asked_for() -> None:
    images = Images()
    ahead = ReadAhead(images, TASKS, CONFIG)
    assert ahead(5, TASKS[5], CONFIG)[0, 0] == 5
    assert images.second.wait(10)
    with pytest.raises(ImageUnavailable, match="task 3"):
        ahead(3, TASKS[3], CONFIG)
    assert ahead(9, TASKS[9], CONFIG)[0, 0] == 9
    assert images.read == [5, 3, 9]


def test_tasks_in_another_order_get_their_own_images() -> None:
    ahead = ReadAhead(Images(), TASKS, CONFIG)
    for task in (9, 5, 9):
        assert ahead(task, TASKS[task], CONFIG)[0, 0] == task


def test_another_config_is_not_answered_from_what_was_read_ahead() -> None:
    images = Images()
    ahead = ReadAhead(images, {9: TASKS[9]}, CONFIG)
    other = parse(default_config(["Bone", "Tooth"]))
    assert ahead(9, TASKS[9], other)[0, 0] == 9
    assert images.read == [9, 9]
