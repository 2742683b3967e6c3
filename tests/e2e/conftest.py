"""What end-to-end tests share: targets, and `squall run` processes that cannot outlive their test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.countingtarget import CountingTarget, counting_target
from support.squallrun import Squall


@pytest.fixture
def target() -> Iterator[CountingTarget]:
    with counting_target() as running:
        yield running


@pytest.fixture
def squall(tmp_path: Path) -> Iterator[Squall]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found through /proc")
    started = Squall(tmp_path)
    yield started
    started.close()
