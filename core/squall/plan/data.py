"""Over which shards the rows of data are dealt: those whose iterations use them, and no others.

Rows that belonged to a shard whose scenarios never ask for them would never be used, and nobody would know.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from squall.plan.share import Share

if TYPE_CHECKING:
    from squall.plan.model import TestPlan
    from squall.spec import structs
    from squall.spec.loadtest import LoadTestSpec
    from squall.spec.scenarios import Scenario


def uses_data(scenario: Scenario | structs.Scenario, name: str) -> bool:
    """Whether the steps of a scenario name this data: its iterations take a row of it, and of no other data."""
    text = msgspec.json.encode(scenario, enc_hook=vars).decode()
    return re.search(rf"\bdata\W{{1,8}}{re.escape(name)}\b", text) is not None


def data_share(
    spec: LoadTestSpec | structs.LoadTestSpec, plan: TestPlan, name: str, shard: int
) -> Share | None:
    """A shard's place among those that use data: the union of the shards of all scenarios that name it.

    Args:
        spec: The manifest.
        plan: Its plan.
        name: The data's.
        shard: From 0.

    Returns:
        None when nothing on this shard uses the data.
    """
    users = [plan.scenario(scenario.name) for scenario in spec.scenarios if uses_data(scenario, name)]
    shards = sorted({shard for scenario in users for shard in scenario.carriers})
    return Share(shards.index(shard), len(shards)) if shard in shards else None
