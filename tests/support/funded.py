"""A chain with wallets and a funder, as a runner has them, and the count of every wei on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.anvil import EvmNode

from squall.hub.protocol import Assignment
from squall_runner.engine.manifest import Manifest, read_manifest
from squall_runner.evm.money.funds import Funds
from squall_runner.evm.money.tree import Tree, read_tree
from squall_runner.evm.opening import open_funds


@dataclass
class Notes:
    """What was noted."""

    all: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        self.all.append((level, event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        """The fields of all with this name."""
        return [fields for _, name, fields in self.all if name == event]


def manifest_of(
    node: EvmNode,
    *,
    shards: int = 1,
    funders: int = 1,
    keys: Sequence[str] | None = None,
    wallets: dict[str, Any] | None = None,
    funding: dict[str, Any] | None = None,
    evm: dict[str, Any] | None = None,
    vus: int = 10,
) -> dict[str, Any]:
    """A manifest of users who send to this node's chain; secrets stand in it, which `squall` would refuse."""
    paid_by = list(node.keys[:funders]) if keys is None else list(keys)
    return {
        "apiVersion": "squall.dev/v1alpha1",
        "kind": "LoadTest",
        "metadata": {"name": "chain"},
        "spec": {
            "shards": shards,
            "evm": {
                "chainId": node.options.chain_id,
                "endpoints": [{"name": "node", "url": node.url}],
                "pollInterval": "20ms",
                "wallets": {"seed": "a seed of tests", "count": 20, **(wallets or {})},
                "funding": {"keys": paid_by, "amount": "0.1", "deployMulticall": True, **(funding or {})},
                **(evm or {}),
            },
            "scenarios": [
                {
                    "name": "users",
                    "executor": "constant-vus",
                    "vus": vus,
                    "duration": "10s",
                    "steps": [{"evm": {"transaction": {"to": f"0x{1:040x}", "value": "1 wei"}}}],
                }
            ],
        },
    }


def assignment_of(manifest: dict[str, Any], files: dict[str, str] | None = None) -> Assignment:
    """What a runner that carries all of it is given."""
    return Assignment(
        run="run",
        hub="",
        token="",
        runner=0,
        shards=tuple(range(manifest["spec"]["shards"])),
        manifest=manifest,
        variables={},
        secrets={},
        files=files or {},
    )


@dataclass
class Opened:
    """A chain that is open."""

    funds: Funds
    tree: Tree
    manifest: Manifest
    notes: Notes


@asynccontextmanager
async def opened(manifest: dict[str, Any], files: dict[str, Path] | None = None) -> AsyncIterator[Opened]:
    """The money of a manifest, as one runner process has it."""
    assignment = assignment_of(manifest, {name: str(path) for name, path in (files or {}).items()})
    read, notes = read_manifest(assignment), Notes()
    tree = read_tree(read)
    assert tree is not None
    async with open_funds(assignment, read, tree, notes) as funds:
        try:
            yield Opened(funds, tree, read, notes)
        finally:
            await funds.stop()


def accounts_of(tree: Tree) -> list[str]:
    """Every account that the run can have given money to."""
    keys = [tree.keys.key(index) for index in range(tree.count)]
    keys += [tree.shard_key(shard) for shard in range(tree.shards)]
    keys += [tree.helper] if tree.helper else []
    return list(dict.fromkeys(key.address for key in (*tree.funders, *keys)))


async def balance(node: EvmNode, address: str) -> int:
    """What an account has, in wei."""
    return int(await node.rpc("eth_getBalance", [address, "latest"]), 16)


async def all_money(node: EvmNode, tree: Tree) -> int:
    """What all accounts of a run have together, and what all transactions on the chain have cost."""
    have = sum([await balance(node, address) for address in accounts_of(tree)])
    return have + await gas_paid(node)


async def gas_paid(node: EvmNode) -> int:
    """What the gas of all transactions on the chain has cost, in wei."""
    total = 0
    for number in range(1, int(await node.rpc("eth_blockNumber"), 16) + 1):
        for receipt in await node.rpc("eth_getBlockReceipts", [hex(number)]):
            total += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
    return total
