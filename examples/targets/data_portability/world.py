"""The outside world of the data-portability network, all of it on this machine: chain, contracts, and four services.

Whoever tests the network needs all of them at once, connected; here they are started in order, and ended together.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from data_portability import indexer, inference
from data_portability.attestor import Attestor
from data_portability.chain import CONTRACTS, Contract, Rpc, deploy
from data_portability.indexer import Feed, Index
from data_portability.inference import Inference, InferenceOptions
from data_portability.limits import Faults, TokenBucket
from data_portability.opening import PersonalServers
from data_portability.storage import Storage, StorageOptions
from data_portability.webapi import Behind, WebApi
from evm_node import EvmNode, NodeOptions

MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11"
BATCH_ARTIFACT = (
    Path(__file__).resolve().parents[3] / "runner" / "squall_runner" / "evm" / "contracts" / "Batch.json"
)
# Nobody asks for the past, and a state is large after thousands of users.
KEPT_STATES = 8
NOBODY = "0x" + "0" * 40


@dataclass(frozen=True, slots=True)
class Options:
    """How the world behaves. Times are in seconds; ports of 0 are free ones.

    Args:
        node: The chain.
        storage: The object store.
        inference: The AI service.
        host: Address that the services listen on.
        advertised: Host that others reach them by.
        ports: Of web API, indexer and AI service.
        attestor: Whether proofs are confirmed by an attestor; else with their request.
        attestor_delay: What validating a proof takes.
        proof_fee: What requesting a proof costs, in wei.
        reward: What a claim pays, in the token's smallest unit.
        indexer_lag: What the indexer is behind the chain.
        api_latency: Mean that the web API's answers take longer.
        api_failure_rate: Share of the web API's requests that are answered with 503.
        relay_rate: Transactions per second that are relayed; 0 for no limit.
        relay_burst: Transactions at once that are relayed after a quiet time.
        multicall: Whether there is a Multicall3 at its usual address.
        funders: How many accounts pay for wallets.
        seed: Makes keys of services; another at each start when empty.
    """

    node: NodeOptions = field(
        default_factory=lambda: NodeOptions(
            chain_id=14800, block_time=2, accounts=20, balance=1_000_000, states=KEPT_STATES
        )
    )
    storage: StorageOptions = field(default_factory=StorageOptions)
    inference: InferenceOptions = field(default_factory=InferenceOptions)
    host: str = "127.0.0.1"
    advertised: str = "127.0.0.1"
    ports: tuple[int, int, int] = (0, 0, 0)
    attestor: bool = True
    attestor_delay: float = 0.0
    proof_fee: int = 0
    reward: int = 10**18
    indexer_lag: float = 0.5
    api_latency: float = 0.0
    api_failure_rate: float = 0.0
    relay_rate: float = 0.0
    relay_burst: int = 50
    multicall: bool = False
    funders: int = 1
    seed: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """The running world."""

    options: Options
    node: EvmNode
    registry: Contract
    token: str
    web_url: str
    indexer_url: str
    inference_url: str
    storage_url: str
    wallet_seed: str

    def environment(self) -> dict[str, str]:
        """The environment variables by which a load test finds everything."""
        host, port = self.options.advertised, self.node.port
        # The same node by two names, for tests that want to see endpoints rotated.
        other = "localhost" if host == "127.0.0.1" else host
        funders = self.node.keys[-self.options.funders :]
        return {
            "CHAIN_ID": str(self.options.node.chain_id),
            "RPC_URL": f"http://{host}:{port}",
            "RPC_URL_2": f"http://{other}:{port}",
            "RPC_WS_URL": f"ws://{host}:{port}",
            "REGISTRY_ADDRESS": self.registry.address,
            "TOKEN_ADDRESS": self.token,
            "WEB_API_URL": self.web_url,
            "INDEXER_URL": self.indexer_url,
            "AI_URL": self.inference_url,
            "STORAGE_URL": self.storage_url,
            "WALLET_SEED": self.wallet_seed,
            "FUNDER_KEY": funders[0],
        } | {f"FUNDER_KEY_{number}": key for number, key in enumerate(funders[1:], start=2)}


@asynccontextmanager
async def running_world(options: Options) -> AsyncIterator[World]:
    """The world until the end of the block, whatever ends it."""
    seed = options.seed or secrets.token_hex(16)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(EvmNode(options.node))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        rpc = Rpc(session, node.url)
        relayer, attestor, server = node.addresses[:3]
        registry, token = await _deployed(rpc, options, relayer, attestor)

        storage = Storage(options.storage, options.advertised, seed)
        stack.push_async_callback(storage.stop)
        await storage.start(session)

        jobs = Inference(options.inference, seed, time.monotonic)
        feed, index = Feed(rpc, registry), Index(options.indexer_lag)
        feed.listen(index.add)
        confirming = Attestor(rpc, registry, attestor, options.attestor_delay)
        if options.attestor:
            feed.listen(confirming.take)

        web_port, indexer_port, inference_port = options.ports
        inference_app = inference.make_app(jobs, Faults(options.inference.latency))
        inference_url = await _served(stack, inference_app, options, inference_port)
        indexer_url = await _served(stack, indexer.make_app(feed, index, Faults()), options, indexer_port)
        behind = Behind(
            chain_id=options.node.chain_id,
            registry=registry,
            token=token,
            relayer=relayer,
            relay_limit=TokenBucket(options.relay_rate, options.relay_burst, time.monotonic),
            storage=storage,
            inference=jobs,
            inference_url=inference_url,
            session=session,
            servers=PersonalServers(f"{seed}/servers", storage, session),
            server_account=server,
        )
        api = WebApi(behind).app(Faults(options.api_latency, options.api_failure_rate))
        web_url = await _served(stack, api, options, web_port)

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        running = [tasks.create_task(each) for each in (feed.run(), jobs.work(), confirming.run())]
        try:
            yield World(
                options=options,
                node=node,
                registry=registry,
                token=token,
                web_url=web_url,
                indexer_url=indexer_url,
                inference_url=inference_url,
                storage_url=storage.endpoint,
                wallet_seed=hashlib.sha256(f"{seed}/wallets".encode()).hexdigest(),
            )
        finally:
            for task in running:
                task.cancel()


async def _deployed(rpc: Rpc, options: Options, deployer: str, attestor: str) -> tuple[Contract, str]:
    """The registry, and the address of its token; on a chain that has mined that."""
    args = (attestor if options.attestor else NOBODY, options.proof_fee, options.reward)
    deploying = asyncio.create_task(deploy(rpc, deployer, CONTRACTS / "DataRegistry.json", *args))
    if options.multicall:
        await rpc.call("anvil_setCode", MULTICALL3, await _batch_code(rpc, deployer))
    while not (await asyncio.wait({deploying}, timeout=0.05))[0]:
        await rpc.call("evm_mine")  # instead of waiting for the next block
    registry = deploying.result()
    (token,) = await registry.read("token")
    return registry, token


async def _batch_code(rpc: Rpc, sender: str) -> str:
    """The code of our own batch contract on a chain: what deploying it would return."""
    compiled = json.loads(BATCH_ARTIFACT.read_text(encoding="utf-8"))
    code: str = await rpc.call("eth_call", {"from": sender, "data": compiled["bytecode"]}, "latest")
    return code


async def _served(stack: AsyncExitStack, app: web.Application, options: Options, port: int) -> str:
    """Serve an application until the stack unwinds; returns its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, options.host, port, backlog=1024).start()
    return f"http://{options.advertised}:{runner.addresses[0][1]}"
