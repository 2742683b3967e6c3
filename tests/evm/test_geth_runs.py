"""Whole runs on a real geth: several shards, news by WebSocket, events, a stop, a crash and the sweep after it; money is kept to the wei."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from support.anvil import EvmNode
from support.chainruns import FUNDER, NOBODY, REGISTRY, balance, on_chain
from support.geth import geth
from support.squallrun import Squall

from squall_runner.evm.signing.keys import funder_key, wallet_key

pytestmark = pytest.mark.geth
SHARDS, WALLETS = 2, 40
PAY: dict[str, Any] = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei"}}}
DEPLOY = {
    "evm": {"deploy": {"contract": "registry", "args": [f"0x{'00' * 20}", 7, 1000], "result": "deployed"}}
}
ADD = {
    "name": "add",
    "evm": {
        "transaction": {
            "contract": "registry",
            "function": "addFile",
            "args": ["ipfs://${vu}"],
            "result": "tx",
        }
    },
}
SEEN = {
    "name": "seen",
    "evm": {
        "waitEvent": {
            "contract": "registry",
            "event": "FileAdded",
            "where": {"owner": "${wallet.address}"},
            "fromBlock": "${tx.block}",
            "result": "added",
        }
    },
}


@dataclass
class Books:
    """Who has what on a chain that nobody else uses, from a moment on."""

    node: EvmNode

    def __post_init__(self) -> None:
        self.funder = balance(self.node)
        self.sent = balance(self.node, NOBODY)
        self.first = int(self.node.rpc_now("eth_blockNumber"), 16) + 1

    @property
    def lost(self) -> int:
        """What the funder has less."""
        return self.funder - balance(self.node)

    @property
    def given(self) -> int:
        """What was sent to nobody."""
        return balance(self.node, NOBODY) - self.sent

    @property
    def gas(self) -> int:
        """What the gas of all transactions has cost."""
        last = int(self.node.rpc_now("eth_blockNumber"), 16)
        blocks = [
            self.node.rpc_now("eth_getBlockReceipts", [hex(number)]) for number in range(self.first, last + 1)
        ]
        receipts = [receipt for block in blocks for receipt in block]
        return sum(int(each["gasUsed"], 16) * int(each["effectiveGasPrice"], 16) for each in receipts)

    def left(self, run: str) -> int:
        """What the accounts of a run still have."""
        seed = f"a seed of {run}".encode()
        keys = [wallet_key(seed, index) for index in range(WALLETS)]
        keys += [funder_key(seed, shard) for shard in range(SHARDS)]
        return sum(balance(self.node, key.address) for key in keys)


@pytest.fixture(scope="module")
def node() -> Iterator[EvmNode]:
    with geth() as running:
        yield running


def evm(node: EvmNode, **parts: Any) -> dict[str, Any]:
    """A chain whose blocks are heard of by WebSocket, and new wallets for each iteration."""
    return {
        "endpoints": [{"name": "geth", "url": node.url, "webSocket": node.ws_url}],
        "wallets": {"seed": "a seed of ${run.id}", "count": WALLETS, "per": "iteration"},
    } | parts


def test_shards_use_a_contract_and_the_money_that_is_left_goes_back(squall: Squall, node: EvmNode) -> None:
    books = Books(node)
    check = {"check": {"its event": "added.args.owner == wallet.address", "in a block": "tx.status == 1"}}
    contracts = [{"name": "registry", "abi": "registry.json", "address": "${deployed.address}"}]
    parts = {
        "contracts": contracts,
        "funding": {"keys": [FUNDER], "amount": "0.1", "ahead": 20, "deployMulticall": True},
    }
    test = on_chain(
        node,
        *(ADD, SEEN, check, PAY),
        evm=evm(node, **parts),
        files=[{"name": "registry.json", "inline": REGISTRY.read_text()}],
        setup={"steps": [DEPLOY]},
        shards=SHARDS,
        vus=8,
    )
    test["spec"]["scenarios"][0]["iterations"] = 2
    ended = squall(test, processes=2).ended()
    assert ended.outcome()[1] == "Passed", ended.out
    assert (ended.count("evm_txs"), books.given) == (32, 16)
    assert [
        row.values["rate"] for row in ended.summary.metrics if (row.metric, row.tags) == ("checks", {})
    ] == [1]
    assert "eth_getBlockReceipts" in (ended.results / "summary.json").read_text()
    assert not any(line["level"] == "warning" and "news of blocks" in str(line) for line in ended.log)
    run = json.loads((ended.results / "evm.json").read_text())["run"]
    assert books.lost == books.gas + books.given + books.left(run)


def test_a_stop_gives_back_what_is_left(squall: Squall, node: EvmNode) -> None:
    books = Books(node)
    test = on_chain(node, PAY, evm=evm(node), shards=SHARDS, vus=8, duration="60s")
    run = squall(test, processes=2)
    run.wait_until(lambda: books.given > 4, "transactions")
    run.signal_group(signal.SIGTERM)
    ended = run.ended()
    assert ended.outcome()[:3] == (105, "Aborted", "user"), ended.out
    name = json.loads((ended.results / "evm.json").read_text())["run"]
    assert books.lost == books.gas + books.given + books.left(name)
    assert books.left(name) == 0


def test_after_a_crash_the_sweep_brings_everything_back(squall: Squall, node: EvmNode) -> None:
    books = Books(node)
    pay = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei", "wait": "accepted"}}}
    test = on_chain(
        node, pay, {"think": {"duration": "50ms"}}, evm=evm(node), shards=SHARDS, vus=8, duration="60s"
    )
    run = squall(test, processes=2)
    run.wait_until(lambda: books.given > 4, "transactions")
    for pid in (run.pid, *run.members()):
        os.kill(pid, signal.SIGKILL)
    run.process.wait()
    (folder,) = run.results.iterdir()
    command = [sys.executable, "-m", "squall.cli.main", "evm", "sweep", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    swept = json.loads(done.stdout)
    assert (swept["left"], swept["unread"], swept["failed"]) == ("0", 0, [])
    name = json.loads((folder / "evm.json").read_text())["run"]
    assert books.lost == books.gas + books.given + books.left(name)
    assert books.left(name) == int(swept["dust"])
