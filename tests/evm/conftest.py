"""The node that has to be built before any test on a chain runs."""

from __future__ import annotations

import sys

import pytest
from support import geth
from support.anvil import EvmNodeError
from support.leftout import left_out


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
