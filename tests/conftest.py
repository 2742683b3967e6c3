"""What holds for all tests: property tests know no time limit per example, as a busy machine is no defect.

And what tests of several areas use: `squall run` processes that cannot outlive their test.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.squallrun import Squall

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

# Else pytest-asyncio, looking for "the" loop after a test that had none, makes one that nobody closes.
asyncio.set_event_loop(None)


@pytest.fixture
def squall(tmp_path: Path) -> Iterator[Squall]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found through /proc")
    started = Squall(tmp_path)
    yield started
    started.close()
