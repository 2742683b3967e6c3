"""`squall run` processes for tests on a chain, ended with their test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.squallrun import Squall


@pytest.fixture
def squall(tmp_path: Path) -> Iterator[Squall]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found through /proc")
    started = Squall(tmp_path)
    yield started
    started.close()
