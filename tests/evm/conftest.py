"""The node that has to be built before any test on a chain runs."""

from __future__ import annotations

import pytest
from support import geth
from support.ahead import build_ahead
from support.anvil import EvmNodeError
from support.leftout import left_out


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(item.get_closest_marker("geth") for item in session.items) and not left_out(geth.PART):
        build_ahead(session, [geth.geth_binary], EvmNodeError)
