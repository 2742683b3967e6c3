"""A chain opened for one task outside of a run: endpoints, follower and accounts, closed again whatever happens."""

from __future__ import annotations

import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from squall.spec.quantities import seconds, whole
from squall_runner.engine.manifest import make_network
from squall_runner.engine.preflight import check_permitted
from squall_runner.evm.following.follower import Follower
from squall_runner.evm.money.funds import Funds
from squall_runner.evm.money.tree import rendered
from squall_runner.evm.node.failures import Kind, RpcError, Wordings
from squall_runner.evm.node.rpc import Rpc
from squall_runner.evm.node.rpcsettings import EndpointError, EndpointSettings, RpcSettings
from squall_runner.evm.sending.fleet import Accounts
from squall_runner.http import HttpClient
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from squall.hub.protocol import Assignment
    from squall_runner.engine.manifest import Manifest
    from squall_runner.evm.money.tree import Tree


@asynccontextmanager
async def open_funds(
    assignment: Assignment, manifest: Manifest, tree: Tree, note: Callable[..., None]
) -> AsyncIterator[Funds]:
    """The money of a run whose chain is there; for what an argument means see `Funds`.

    Raises:
        LoadError: The chain cannot be reached, is another one, or must not be used.
    """
    evm = manifest.spec.evm
    assert evm is not None

    def told(level: str, message: str) -> None:
        note(level, "EvmChain", message=message)

    async with AsyncExitStack() as stack:
        network = make_network(manifest, time.monotonic, assignment)
        stack.push_async_callback(network.close)
        endpoints = endpoints_of(manifest)
        await check_permitted(network, [endpoint.origin for endpoint in endpoints])
        client = HttpClient(network, cookies=False)
        stack.callback(client.close)
        rpc = Rpc(
            RpcSettings.of(evm.rpc),
            endpoints,
            client=client,
            network=network,
            chain_id=None if evm.chain_id is None else whole(evm.chain_id),
            wordings=Wordings([(each.contains, each.means) for each in evm.wordings]),
            clock=time.monotonic,
            told=told,
        )
        stack.push_async_callback(rpc.close)
        follower = Follower(rpc, poll_seconds=seconds(evm.poll_interval), told=told)
        try:
            await rpc.start()
            await follower.start()
        except RpcError as error:
            raise _unreachable(error) from error
        stack.push_async_callback(follower.stop)
        assert rpc.chain_id is not None
        accounts = Accounts(
            rpc,
            follower,
            rpc.chain_id,
            clock=time.monotonic,
            rng=random.Random(),  # noqa: S311 - for pauses
            dear=lambda message: note("warning", "GasTooDear", message=message),
        )
        stack.push_async_callback(accounts.close)
        funds = Funds(
            manifest, tree, rpc=rpc, accounts=accounts, run=assignment.run, note=note, clock=time.monotonic
        )
        await funds.prepare()
        yield funds


def endpoints_of(manifest: Manifest) -> list[EndpointSettings]:
    """The endpoints of `spec.evm`, their `${...}` filled in.

    Raises:
        LoadError: One cannot be used.
    """
    evm = manifest.spec.evm
    assert evm is not None
    try:
        return [
            EndpointSettings.make(
                each.name,
                rendered(manifest, each.url, "spec.evm.endpoints"),
                web_socket=rendered(manifest, each.web_socket or "", "spec.evm.endpoints"),
                headers={
                    name: rendered(manifest, text, "spec.evm.endpoints")
                    for name, text in (each.headers or {}).items()
                },
                rate=None if each.rate is None else whole(each.rate),
            )
            for each in evm.endpoints
        ]
    except EndpointError as error:
        raise LoadError("RequestInvalid", error.message, error.hint) from error


def _unreachable(error: RpcError) -> LoadError:
    reason = "ChainMismatch" if error.kind is Kind.CHAIN_MISMATCH else "TargetUnreachable"
    return LoadError(reason, f"the chain cannot be used: {error.message}", error.hint)
