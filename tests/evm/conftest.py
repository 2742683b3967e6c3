"""`squall run` processes for tests on a chain, ended with their test; and the node that has to be built before any of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import geth
from support.anvil import EvmNodeError
from support.leftout import left_out
from support.squallrun import Squall


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build geth now: later, the minutes it takes would count against some test's time limit."""
    wanted = any(item.get_closest_marker("geth") for item in session.items)
    if not wanted or left_out(geth.PART) or session.config.option.collectonly:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            geth.geth_binary()
        except EvmNodeError as error:
            sys.stderr.write(f"{error}\n")  # and each test that needs it fails with the same message


@pytest.fixture
def squall(tmp_path: Path) -> Iterator[Squall]:
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are found through /proc")
    started = Squall(tmp_path)
    yield started
    started.close()
