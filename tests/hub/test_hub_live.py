"""What a run shows of a chain while it goes on."""

from __future__ import annotations

import pytest
from support.hubbench import Bench
from support.measured import Runner

from squall.hub import protocol
from squall.hub.live import live_state
from squall.report.model import LiveState


def shown(bench: Bench) -> LiveState:
    return live_state(bench.state, bench.plan, "test", bench.now)


def test_transactions_of_the_last_seconds_are_shown_as_soon_as_there_are_some() -> None:
    bench = Bench(1)
    bench.begin()
    runner = Runner()
    for slot in range(20):
        if slot >= 2:
            runner.add("evm_txs", 4.0, scenario="s", step="pay")
            runner.add("evm_tx_failed", *([1.0, 0.0, 0.0, 0.0] if slot >= 10 else [0.0] * 4), scenario="s")
            runner.add("evm_tx_inclusion_duration", 3.0 if slot >= 10 else 9.0, scenario="s")
        bench.to_end_of(slot)
        bench.say(0, protocol.Measured(runner.snapshot(slot)))
        if slot == 1:
            assert shown(bench).chain is None
    chain = shown(bench).chain
    assert chain is not None
    assert (chain.transactions, chain.per_second, chain.failed) == (72, 4.0, 0.25)
    assert chain.p95_seconds == pytest.approx(3.0, rel=0.01)
