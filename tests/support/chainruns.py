"""Manifests that act on a chain, and what a run has left there."""

from __future__ import annotations

from typing import Any, Final

from support.anvil import EvmNode
from support.manifests import ROOT
from support.squallrun import manifest

FUNDER: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""The first of the accounts that a development node has made rich; its mnemonic is public."""
FUNDER_ADDRESS: Final = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
REGISTRY: Final = ROOT / "examples" / "targets" / "contracts" / "DataRegistry.json"
NOBODY: Final = f"0x{'11' * 20}"


def on_chain(
    node: EvmNode, *steps: dict[str, Any], evm: dict[str, Any] | None = None, **parts: Any
) -> dict[str, Any]:
    """A LoadTest of two VUs with a wallet each, on one shard, for one iteration each.

    Args:
        node: The chain.
        steps: Of an iteration.
        evm: Parts of `spec.evm`, replaced or added; None takes one away.
        parts: Parts of the spec, likewise.
    """
    chain = {
        "endpoints": [{"name": "node", "url": node.url}],
        "wallets": {"seed": "a seed of ${run.id}", "count": 10},
        "funding": {"keys": [FUNDER], "amount": "1", "ahead": 4},
        "pollInterval": "50ms",
    } | (evm or {})
    # These tests judge what happens on the chain, not how busy the machine is.
    parts.setdefault("safety", {"saturation": {"tolerated": "100%"}})
    spec = {"evm": {key: value for key, value in chain.items() if value is not None}, "shards": 1} | parts
    made = manifest(None, steps=list(steps), **{"vus": 2} | spec)
    scenario = made["spec"]["scenarios"][0]
    if "duration" not in parts:
        del scenario["duration"]
        scenario |= {"executor": "per-vu-iterations", "iterations": 1, "maxDuration": "30s"}
    return made


def balance(node: EvmNode, address: str = FUNDER_ADDRESS) -> int:
    """What an account has, in wei."""
    return int(node.rpc_now("eth_getBalance", [address, "latest"]), 16)


def transactions(node: EvmNode, address: str = FUNDER_ADDRESS, *, block: str = "latest") -> int:
    """How many transactions of an account are in blocks, or with those of the block `pending` on their way."""
    return int(node.rpc_now("eth_getTransactionCount", [address, block]), 16)


def receivers(node: EvmNode, value: int) -> list[str]:
    """Who has sent so many wei to somebody, in the chain's order."""
    last = int(node.rpc_now("eth_blockNumber"), 16)
    blocks = [node.rpc_now("eth_getBlockByNumber", [hex(number), True]) for number in range(last + 1)]
    return [
        sent["from"] for block in blocks for sent in block["transactions"] if int(sent["value"], 16) == value
    ]
