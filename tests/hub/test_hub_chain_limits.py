"""Runs whose wallets are funded: the hub waits for it before the load, and afterwards for what is left to go back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.hubbench import Bench

from squall.hub.limits import (
    FUNDING_NS,
    SECOND,
    Limits,
    needs_setup,
    needs_teardown,
    setup_seconds,
    teardown_seconds,
)
from squall.spec.loadtest import LoadTestSpec

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIO = {
    "name": "s",
    "executor": "constant-vus",
    "vus": 1,
    "duration": "1s",
    "steps": [{"think": {"duration": "1s"}}],
}
BLOCK = {"steps": [{"think": {"duration": "1s"}}], "timeout": "20s"}


def spec(funding: dict[str, Any] | None, **parts: Any) -> LoadTestSpec:
    evm: dict[str, Any] = {"endpoints": [{"name": "a", "url": "http://a"}], "wallets": {"seed": "s"}}
    if funding is not None:
        evm["funding"] = {"keys": ["k"], **funding}
    return LoadTestSpec.model_validate({"scenarios": [SCENARIO], "evm": evm, **parts})


@pytest.mark.parametrize(
    ("funding", "before", "after"),
    [(None, False, False), ({}, True, True), ({"sweep": False}, True, False)],
)
def test_what_is_done_before_and_after_the_load(
    funding: dict[str, Any] | None, before: bool, after: bool
) -> None:
    assert (needs_setup(spec(funding)), needs_teardown(spec(funding))) == (before, after)
    assert needs_setup(spec(funding, setup=BLOCK))
    assert needs_teardown(spec(funding, teardown=BLOCK))


def test_there_is_time_for_the_sweep_beside_teardown() -> None:
    test = spec({"sweepTimeout": "3m"}, setup=BLOCK, teardown=BLOCK)
    assert (setup_seconds(test), teardown_seconds(test)) == (20 + FUNDING_NS / SECOND, 200)
    limits = Limits.of(test)
    assert limits.teardown_ns > 200 * SECOND
    assert limits.setup_ns > 20 * SECOND + FUNDING_NS


def on_a_chain(sweep: bool) -> dict[str, Any]:
    return {
        "endpoints": [{"name": "a", "url": "http://a"}],
        "wallets": {"seed": "s"},
        "funding": {"keys": ["k"], "sweep": sweep},
    }


@pytest.mark.parametrize("sweep", [True, False])
@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda bench: bench.state.kill(bench.now), "ended at once, without teardown"),
        (lambda bench: bench.state.exited(0, -9, bench.now), "no runner was left to run teardown"),
    ],
)
def test_who_lent_money_hears_how_to_get_it_back_when_nobody_tears_down(
    end: Callable[[Bench], None], said: str, sweep: bool
) -> None:
    steps = {"steps": [{"think": {"duration": "1s"}}]}
    bench = Bench(1, evm=on_a_chain(sweep), teardown=steps)
    bench.begin()
    end(bench)
    bench.act()
    hint = "; wallets may still have money, run `squall evm sweep`" if sweep else ""
    assert said + hint in bench.summary().warnings
