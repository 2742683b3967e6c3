"""`evm.pace` in whole runs: what shards send together keeps to what the manifest says."""

from __future__ import annotations

from typing import Any

from support.anvil import anvil
from support.chainruns import NOBODY, on_chain
from support.squallrun import Squall

from squall_runner.evm.signing.keys import wallet_key

PAY: dict[str, Any] = {
    "evm": {"transaction": {"to": NOBODY, "value": "1 wei", "gas": {"policy": "fixed", "limit": 21000}}}
}


def test_gas_per_second_is_that_of_all_shards(squall: Squall) -> None:
    """Twenty transactions' gas a second; without the pace each of the VUs would send hundreds."""
    pace = {"name": "turn", "evm": {"pace": {"gasPerSecond": 420_000, "gas": 21_000}}}
    with anvil() as node:
        test = on_chain(node, pace, PAY, duration="3s", shards=2, thresholds=[])
        test["spec"]["scenarios"][0]["vus"] = 8
        ended = squall(test, processes=2).ended()
    assert ended.outcome()[1] == "Passed", ended.out
    # After its 3 s each VU still makes the transaction for which it waits.
    assert 40 <= ended.count("evm_txs") <= 3 * 20 + 8 + 4


def test_no_more_than_so_many_blocks_wait(squall: Squall) -> None:
    """A block has room for ten transfers, so of forty VUs at most ten have one on its way."""
    pace = {"name": "turn", "evm": {"pace": {"mempoolBlocks": 1, "gas": 21_000}}}
    with anvil(block_time=0.2, gas_limit=210_000) as node:
        for index in range(40):
            node.rpc_now("anvil_setBalance", [wallet_key(b"a seed", index).address, hex(10**18)])
        wallets = {"seed": "a seed", "count": 40}
        test = on_chain(node, pace, PAY, duration="3s", evm={"wallets": wallets, "funding": None})
        test["spec"]["scenarios"][0]["vus"] = 40
        ended = squall(test).ended()
        pending = {row.metric: row.values for row in ended.summary.metrics if row.tags == {}}[
            "evm_pending_txs"
        ]
    assert ended.outcome()[1] == "Passed", ended.out
    assert ended.count("evm_txs") > 20
    assert 0 < pending["max"] <= 10
