"""How many wallets a run takes, and which shard has which: known before it begins, so that nobody pays for more.

Wallet `i` belongs to shard `i % shards`, as everything that is divided does. A wallet costs money from the moment it is filled, and a
pool is mostly made larger than what one run takes of it. So the number that is taken is computed in closed form from the plan:
exactly where it is known, else as the most that there can be.
"""

from __future__ import annotations

import re
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.plan.share import Share
from squall.spec.quantities import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.plan.model import ScenarioPlan, TestPlan
    from squall.spec import structs
    from squall.spec.loadtest import LoadTestSpec
    from squall.spec.scenarios import Scenario

_WALLET: Final = re.compile(r"\$\{[^}]*\bwallet\b|\bwallet\s*[.\[]")
"""A text that asks what the wallet is: within `${...}`, or as a part of an expression."""
_ACTING: Final = ("transaction", "deploy", "sign")
_DEVIATIONS: Final = 6
"""A Poisson number exceeds its mean by so many standard deviations less than once in a hundred million runs."""
_ONCE: Final = 1
"""Setup and teardown take a wallet of the shard on which they run, which is not known before."""


def uses_wallet(scenario: Scenario | structs.Scenario) -> bool:
    """Whether the steps of a scenario act in the name of a wallet: its VUs or iterations take one."""
    return any(_acts(step) for step in _mappings(_plain(scenario)))


def wallets_of(
    spec: LoadTestSpec | structs.LoadTestSpec, plan: TestPlan, shard: int, *, count: int | None = None
) -> int:
    """How many wallets a shard takes at most: as many as it has VUs or iterations that use one, and no more than it has.

    Args:
        spec: The manifest's, variables resolved.
        plan: Its plan.
        shard: From 0.
        count: How many wallets there are, where it is not what `evm.wallets.count` says.
    """
    wallets = spec.evm.wallets if spec.evm is not None else None
    if wallets is None:
        return 0
    total = whole(wallets.count) if count is None else count
    own = Share(shard, plan.shards).of(total)
    taken = _once(spec)
    for scenario in spec.scenarios:
        planned = plan.scenario(scenario.name)
        if not uses_wallet(scenario) or planned.share_for(shard) is None:
            continue
        each = len(planned.vus_of(shard)) if wallets.per == "vu" else _iterations(planned, shard)
        if each is None:
            return own
        taken += each
    return min(own, taken)


def _once(spec: LoadTestSpec | structs.LoadTestSpec) -> int:
    blocks = [_plain(block) for block in (spec.setup, spec.teardown) if block is not None]
    return _ONCE if any(_acts(step) for block in blocks for step in _mappings(block)) else 0


def _iterations(planned: ScenarioPlan, shard: int) -> int | None:
    """The most iterations that a shard can begin; None when only time ends it."""
    number = planned.planned_iterations_of(shard)
    if number is None:
        return planned.iterations_of(shard)
    return number + ceil(_DEVIATIONS * sqrt(number)) if planned.is_random else number


def _acts(step: dict[str, Any]) -> bool:
    evm = step.get("evm")
    if isinstance(evm, dict):
        balance = evm.get("balance")
        own = isinstance(balance, dict) and not balance.get("of")
        return own or any(evm.get(kind) is not None for kind in _ACTING)
    for kind in ("encrypt", "decrypt"):
        if isinstance(inner := step.get(kind), dict) and inner.get("message") is not None:
            return True
    return any(_WALLET.search(text) for value in step.values() for text in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    """A text, or those of a list and of the lists in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _plain(model: object) -> Any:
    return msgspec.json.decode(msgspec.json.encode(model, enc_hook=vars))


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Each mapping in plain data, however deep: steps may hold steps."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
