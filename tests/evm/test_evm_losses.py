"""Whatever a run loses on its way, its money comes back, or its report says how to get it."""

from __future__ import annotations

import os
import signal
from typing import Any

from support.anvil import anvil
from support.chainruns import FUNDER, NOBODY, balance, on_chain, transactions
from support.squallrun import Ended, Squall

PAY: dict[str, Any] = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}
GAS = 10**17
"""More than gas takes here, and less than one wallet has."""


def left(ended: Ended) -> str:
    """What the sweep could not give back."""
    return str(next(line["left"] for line in ended.log if line["event"] == "Swept"))


def test_a_run_that_is_stopped_while_it_pays_its_shards(squall: Squall) -> None:
    with anvil(block_time=1) as node:
        before = balance(node)
        run = squall(on_chain(node, PAY, duration="30s", shards=3, vus=9), processes=2)
        run.wait_until(lambda: balance(node) < before - GAS, "money on its way")
        run.signal_group(signal.SIGINT)
        ended = run.ended()
        assert (ended.code, left(ended)) == (105, "0"), ended.out
        assert 0 < before - balance(node) < GAS


def test_a_run_that_is_stopped_before_its_first_payment_is_in_a_block(squall: Squall) -> None:
    with anvil(block_time=2) as node:
        before = balance(node)
        run = squall(on_chain(node, PAY, duration="30s"))
        run.wait_until(
            lambda: transactions(node, block="pending") > transactions(node), "a payment on its way"
        )
        run.signal_group(signal.SIGINT)
        ended = run.ended()
        assert (ended.code, left(ended)) == (105, "0"), ended.out
        assert 0 < before - balance(node) < GAS


def test_a_runner_that_is_killed(squall: Squall) -> None:
    with anvil(block_time=0.3) as node:
        before = balance(node)
        run = squall(on_chain(node, PAY, duration="30s", shards=2), processes=2)
        run.wait_until(lambda: balance(node, NOBODY) > 4, "transactions")
        os.kill(run.runners(2)[0], signal.SIGKILL)
        ended = run.ended()
        assert left(ended) == "0", ended.out
        assert 0 < before - balance(node) < GAS


def test_a_node_that_is_gone_at_the_end(squall: Squall) -> None:
    with anvil() as node:
        evm = {
            "rpc": {"timeout": "500ms", "retry": {"maxRetries": 0}},
            "funding": {"keys": [FUNDER], "amount": "1", "sweepTimeout": "3s"},
        }
        run = squall(on_chain(node, PAY, {"think": {"duration": "20ms"}}, duration="40s", evm=evm))
        run.wait_until(lambda: balance(node, NOBODY) > 4, "transactions")
        node.freeze()
        try:
            run.signal_group(signal.SIGINT)
            ended = run.ended()
        finally:
            node.thaw()
        assert "was not given back, run `squall evm sweep` later" in ended.said, ended.out
        assert (ended.results / "evm.json").exists()
