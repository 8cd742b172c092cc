"""How xdist deals tests to processes; apart from groups.py, as `tests/model` runs without xdist as well."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.groups import group


class GroupScheduling(LoadScopeScheduling):
    """Gives whole groups to processes, in the order of the collected tests.

    (`--dist loadgroup` writes a group behind a test's name, where pytest 9 no longer looks.)
    """

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        # Otherwise the group of most tests comes first, which is rarely the longest.
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
