"""The example that finds a chain's limit, on a chain whose limit is known: a hundred payments in each block of a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.anvil import anvil
from support.chainruns import FUNDER, balance
from support.examples import CHAIN_CAPACITY, run

PAYMENTS = 100
SEARCH = {
    "start": "80",
    "growth": "50%",
    "settle": "3s",
    "hold": "3s",
    "precision": "25%",
    "confirmations": "0",
}
SHORT = [f"--set=scenarios.payments.search.{name}={value}" for name, value in SEARCH.items()]
PATIENCE = "--set=scenarios.payments.steps.pay.evm.transaction.timeout=3s"


def test_the_limit_of_a_chain_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A price that hardly rises: how long the search takes decides nothing.
    with anvil(block_time=1, gas_limit=PAYMENTS * 21_000, base_fee=1) as node:
        before = balance(node)
        for name, value in (("RPC_URL", node.url), ("FUNDER_KEY", FUNDER), ("WALLET_SEED", "a limit")):
            monkeypatch.setenv(name, value)
        ran = run(CHAIN_CAPACITY, *SHORT, PATIENCE, cwd=tmp_path)
        spent = before - balance(node)
    assert ran.code == 0, ran.explain()
    (found,) = ran.summary.capacity
    assert found.ended == "found"
    # In a few seconds a load that is a little beyond it makes few transactions late.
    assert 0.6 * PAYMENTS <= found.knee <= 1.15 * PAYMENTS, ran.explain()
    assert found.limiting.startswith("evm_tx_"), ran.explain()
    assert {level.counts for level in found.levels} == {"transactions"}
    assert max(level.requests_per_second for level in found.levels) > 0.6 * PAYMENTS
    assert spent < 10**18, "what wallets were lent has come back"
