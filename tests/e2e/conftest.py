"""What end-to-end tests share: a target that counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.countingtarget import CountingTarget, counting_target


@pytest.fixture
def target() -> Iterator[CountingTarget]:
    with counting_target() as running:
        yield running
