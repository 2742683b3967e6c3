"""The runner's own way to a node, with everything it tells written down; and transactions to send over it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from squall.plan.share import WHOLE
from squall.spec import structs
from squall_runner.evm.following.follower import Follower
from squall_runner.evm.node.failures import Wordings
from squall_runner.evm.node.rpc import Rpc
from squall_runner.evm.node.rpcsettings import EndpointSettings, RpcSettings
from squall_runner.evm.signing.keys import parse_key
from squall_runner.evm.signing.transactions import Transaction, sign
from squall_runner.http import HttpClient, Network, NetworkOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.anvil import EvmNode

    from squall_runner.evm.signing.transactions import Signed

CHAIN = 31337
EMITTER = "0x" + "e1" * 20
_EMITTER_CODE = "0x6040356020356000356060360380606060003760" + "00a300"
"""Of a contract that emits an event with the first three words of its calldata as topics, and the rest as data: three times CALLDATALOAD,
the size of the rest, CALLDATACOPY, LOG3, STOP."""


@dataclass
class Told:
    """What an `Rpc` has told."""

    calls: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    up: dict[str, bool] = field(default_factory=dict)

    def recorded(self, endpoint: str, method: str, seconds: float, error: str) -> None:
        assert seconds >= 0
        self.calls.append((endpoint, method, str(error)))

    def noted(self, level: str, message: str) -> None:
        self.notes.append(f"{level}: {message}")

    def healthy(self, endpoint: str, up: bool, lag: float) -> None:
        assert lag >= 0
        self.up[endpoint] = up


def endpoints(*proxies: Any, sockets: bool = False, **more: Any) -> list[EndpointSettings]:
    """Settings of proxies or nodes, named a, b, c, ..."""
    return [
        EndpointSettings.make(name, each.url, web_socket=each.ws_url if sockets else "", **more)
        for name, each in zip("abcdef", proxies, strict=False)
    ]


@asynccontextmanager
async def rpc_to(
    settings: list[EndpointSettings],
    *,
    chain_id: int | None = CHAIN,
    spec: structs.Rpc | None = None,
    start: bool = True,
    network: NetworkOptions | None = None,
    wordings: Wordings | None = None,
    share: Any = WHOLE,
) -> AsyncIterator[tuple[Rpc, Told]]:
    """An `Rpc` to some endpoints, and what it has told."""
    told = Told()
    shared = Network(network or NetworkOptions(shared_connections=16))
    client = HttpClient(shared, cookies=False)
    rpc = Rpc(
        RpcSettings.of(spec),
        settings,
        client=client,
        network=shared,
        chain_id=chain_id,
        wordings=wordings,
        share=share,
        recorded=told.recorded,
        health=told.healthy,
        told=told.noted,
    )
    try:
        if start:
            await rpc.start()
        yield rpc, told
    finally:
        await rpc.close()
        client.close()
        await shared.close()


@asynccontextmanager
async def following(rpc: Rpc, told: Told, **more: Any) -> AsyncIterator[Follower]:
    """A follower of that chain."""
    follower = Follower(rpc, told=told.noted, **{"poll_seconds": 0.02, **more})
    await follower.start()
    try:
        yield follower
    finally:
        await follower.stop()


def payment(node: EvmNode, nonce: int, *, account: int = 0, **more: Any) -> Signed:
    """A signed transaction that pays one wei from one account of a node to another."""
    to = bytes.fromhex(node.addresses[(account + 1) % len(node.addresses)][2:])
    to = more.pop("to", to)
    chain = more.pop("chain", node.options.chain_id)
    values = {"gas": 21_000, "max_fee": 100 * 10**9, "priority_fee": 10**9, "value": 1, "data": b"", **more}
    return sign(Transaction(chain, nonce, to, **values), parse_key(node.keys[account]))


async def place_emitter(node: EvmNode) -> None:
    """Put a contract that emits whatever it is told to at `EMITTER`."""
    await node.rpc("anvil_setCode", [EMITTER, _EMITTER_CODE])


def emission(node: EvmNode, nonce: int, *words: str, account: int = 0) -> Signed:
    """A signed transaction that makes it emit an event: three topics, and further words of data."""
    data = bytes.fromhex("".join(each.removeprefix("0x") for each in words))
    return payment(
        node, nonce, account=account, to=bytes.fromhex(EMITTER[2:]), data=data, value=0, gas=100_000
    )


def word(number: int) -> str:
    """A word of 32 bytes, as topics and data have them."""
    return f"0x{number:064x}"
