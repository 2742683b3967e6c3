"""A run that is killed on a chain that loses what it is given: all its money comes back with one command, to the wei."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import Any

from support.anvil import EvmNode, anvil
from support.chainruns import FUNDER_ADDRESS, NOBODY, on_chain
from support.funded import balance, gas_paid
from support.rpcproxy import RpcProxy
from support.squallrun import Squall, SquallRun

from squall_runner.evm.signing.keys import funder_key, wallet_key

SHARDS, WALLETS = 2, 12
ETHER = 10**18


async def test_a_run_that_is_killed_amid_faults_loses_nothing(squall: Squall) -> None:
    async with anvil(block_time=0.25) as node, RpcProxy(node.url) as proxy:
        start = await balance(node, FUNDER_ADDRESS)
        run = squall(manifest_behind(node, proxy), processes=2)
        await asyncio.to_thread(run.wait_until, lambda: bool(proxy.calls["eth_sendRawTransaction"]), "sends")
        proxy.faults.drop_sends = 0.5
        for _ in range(2):
            await paid(run, node, await balance(node, NOBODY) + 2)
            await proxy.go_down()
            await asyncio.sleep(0.3)
            await proxy.come_back()
        await paid(run, node, await balance(node, NOBODY) + 2)
        for pid in (run.pid, *run.members()):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(run.process.wait)
        (folder,) = run.results.iterdir()
        assert await balance(node, FUNDER_ADDRESS) < start - ETHER // 2  # it is out there

        proxy.faults.drop_sends = 0.2
        swept = await sweep(str(folder))

        journal = json.loads((folder / "evm.json").read_text())
        left = [await balance(node, address) for address in accounts(journal["run"])]
        assert (swept["left"], swept["unread"], swept["failed"]) == ("0", 0, [])
        assert sum(left) == int(swept["dust"]) < ETHER // 1000
        spent = await gas_paid(node) + await balance(node, NOBODY)
        assert await balance(node, FUNDER_ADDRESS) + sum(left) + spent == start
        assert len(proxy.dropped) > 5


def manifest_behind(node: EvmNode, proxy: RpcProxy) -> dict[str, Any]:
    pay = {"name": "pay", "evm": {"transaction": {"to": NOBODY, "value": "1 wei", "wait": "accepted"}}}
    evm = {
        "endpoints": [{"name": "node", "url": proxy.url}],
        "wallets": {"seed": "a seed of ${run.id}", "count": WALLETS, "per": "iteration"},
    }
    steps = pay, {"think": {"duration": "100ms"}}
    return on_chain(node, *steps, evm=evm, vus=4, duration="40s", shards=SHARDS)


async def paid(run: SquallRun, node: EvmNode, wei: int) -> None:
    """Wait until somebody has been sent so much."""
    while await balance(node, NOBODY) < wei:
        assert run.process.poll() is None, run.output()
        await asyncio.sleep(0.02)


async def sweep(folder: str) -> dict[str, Any]:
    """What `squall evm sweep` has told."""
    command = [sys.executable, "-m", "squall.cli.main", "evm", "sweep", folder, "--json"]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    swept: dict[str, Any] = json.loads(ended.stdout)
    return swept


def accounts(run: str) -> list[str]:
    """The addresses of a run's wallets, and of its shards' accounts."""
    seed = f"a seed of {run}".encode()
    wallets = [wallet_key(seed, index).address for index in range(WALLETS)]
    return wallets + [funder_key(seed, shard).address for shard in range(SHARDS)]
