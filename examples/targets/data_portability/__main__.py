"""Starts the data-portability network on this machine: `python examples/targets/data_portability`.

Prints the environment variables by which a load test finds it, then runs until Ctrl-C or SIGTERM:

    python examples/targets/data_portability > network.env    # in a terminal of its own
    set -a; . ./network.env; set +a; squall run examples/data-portability/loadtest.yaml
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data_portability.inference import InferenceOptions
from data_portability.storage import StorageError, StorageOptions
from data_portability.world import KEPT_STATES, Options, running_world
from evm_node import EvmNodeError, NodeOptions


def _seconds(text: str) -> float:
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="data_portability",
        description="A data-portability network to load: chain, web API, indexer, object storage, AI service.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--advertise", default="", help="host that others reach it by; by default --host")
    add(
        "--port",
        type=int,
        default=0,
        help="the first of five ports: node, web API, indexer, AI, storage; 0: free ones",
    )
    add("--seed", default="", help="makes the services' keys; others at each start when empty")
    chain = parser.add_argument_group("chain").add_argument
    chain("--chain-id", type=int, default=14800, help="id of the chain")
    chain("--block-time", type=_seconds, default=2.0, help="time between blocks, such as 2s")
    chain("--gas-limit", type=int, default=30_000_000, help="of a block")
    chain("--base-fee", type=int, default=1_000_000_000, help="of the first block, in wei")
    chain("--balance", type=int, default=1_000_000, help="of each funder, in whole tokens")
    chain("--funders", type=int, default=1, help="accounts that pay for wallets")
    chain("--multicall", action="store_true", help="put a Multicall3 at its usual address")
    chain("--no-attestor", action="store_true", help="proofs are confirmed with their request")
    chain("--attestor-delay", type=_seconds, default=0.0, help="time that validating a proof takes")
    chain("--proof-fee", type=int, default=0, help="what requesting a proof costs, in wei")
    api = parser.add_argument_group("web API and indexer").add_argument
    api("--api-latency", type=_seconds, default=0.0, help="mean time that answers take longer")
    api("--api-failures", type=float, default=0.0, help="share of requests that are answered with 503")
    api("--relay-rate", type=float, default=0.0, help="transactions relayed per second; 0: no limit")
    api("--relay-burst", type=int, default=50, help="transactions relayed at once after a quiet time")
    api("--indexer-lag", type=_seconds, default=0.5, help="what the indexer is behind the chain")
    storage = parser.add_argument_group("object storage").add_argument
    storage("--storage-accounts", type=int, default=3, help="accounts, with a bucket each")
    storage("--storage-latency", type=_seconds, default=0.0, help="mean time that requests take longer")
    storage(
        "--storage-failures", type=float, default=0.0, help="share of requests that are answered with 503"
    )
    ai = parser.add_argument_group("AI service").add_argument
    ai("--ai-accounts", type=int, default=3, help="accounts")
    ai("--ai-rate", type=float, default=5.0, help="jobs per second and account, more get 429; 0: no limit")
    ai("--ai-burst", type=int, default=10, help="jobs at once and account after a quiet time")
    ai("--ai-workers", type=int, default=20, help="jobs that run at once")
    ai("--ai-queue", type=int, default=5000, help="jobs that may wait; more get 503")
    ai("--inference-time", type=_seconds, default=2.0, help="mean time that a job runs")
    ai("--ai-failures", type=float, default=0.0, help="share of jobs that fail")
    ai("--ai-latency", type=_seconds, default=0.0, help="mean time that answers take longer")
    return parser.parse_args(arguments)


def _options(given: argparse.Namespace) -> Options:
    ports = [given.port + number if given.port else 0 for number in range(5)]
    return Options(
        node=NodeOptions(
            chain_id=given.chain_id,
            block_time=given.block_time,
            accounts=20 + given.funders,
            balance=given.balance,
            gas_limit=given.gas_limit,
            base_fee=given.base_fee,
            host=given.host,
            port=ports[0],
            states=KEPT_STATES,
        ),
        storage=StorageOptions(
            accounts=given.storage_accounts,
            host=given.host,
            port=ports[4],
            latency=given.storage_latency,
            failure_rate=given.storage_failures,
        ),
        inference=InferenceOptions(
            accounts=given.ai_accounts,
            rate=given.ai_rate,
            burst=given.ai_burst,
            workers=given.ai_workers,
            seconds=given.inference_time,
            longest_queue=given.ai_queue,
            failure_rate=given.ai_failures,
            latency=given.ai_latency,
        ),
        host=given.host,
        advertised=given.advertise or given.host,
        ports=(ports[1], ports[2], ports[3]),
        attestor=not given.no_attestor,
        attestor_delay=given.attestor_delay,
        proof_fee=given.proof_fee,
        indexer_lag=given.indexer_lag,
        api_latency=given.api_latency,
        api_failure_rate=given.api_failures,
        relay_rate=given.relay_rate,
        relay_burst=given.relay_burst,
        multicall=given.multicall,
        funders=given.funders,
        seed=given.seed,
    )


async def _serve(options: Options) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with running_world(options) as world:
        lines = (f"{name}={value}\n" for name, value in world.environment().items())
        print("".join(lines), end="", flush=True)
        await stopped.wait()


def main() -> int:
    try:
        asyncio.run(_serve(_options(_arguments(None))))
    except (EvmNodeError, StorageError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
