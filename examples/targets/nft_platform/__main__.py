"""Starts the platform: `python examples/targets/nft_platform --port 8080 --latency 20ms --error-rate 0.01`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from aiohttp import web
from limits import Behaviour
from service import make_app
from store import Store


def _seconds(text: str) -> float:
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="nft_platform", description="A small NFT platform to load.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one; it is printed")
    parser.add_argument(
        "--latency", type=_seconds, default=0.005, help="mean time of one execution, such as 20ms"
    )
    parser.add_argument(
        "--error-rate", type=float, default=0.0, help="share of executions that fail with 500"
    )
    parser.add_argument("--capacity", type=int, default=100, help="executions at once; more have to wait")
    parser.add_argument("--execution-limit", type=_seconds, default=10.0, help="504 when not done by then")
    parser.add_argument("--connections", type=int, default=500, help="connections at once; more get 503")
    parser.add_argument("--mint-rate", type=float, default=10.0, help="transactions per second of the chain")
    parser.add_argument("--payment-latency", type=_seconds, default=0.3, help="time of a payment call")
    parser.add_argument("--token", default="demo-token", help="a bearer token that is always valid")
    parser.add_argument("--database", default=":memory:", help="SQLite file of the store")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


async def _serve(options: argparse.Namespace) -> None:
    behaviour = Behaviour(
        latency=options.latency,
        error_rate=options.error_rate,
        capacity=options.capacity,
        execution_limit=options.execution_limit,
        connections=options.connections,
        mint_rate=options.mint_rate,
        payment_latency=options.payment_latency,
        seed=options.seed,
    )
    with contextlib.closing(Store(options.database)) as store:
        store.seed(options.token)
        runner = web.AppRunner(make_app(store, behaviour), access_log=None, shutdown_timeout=0.5)
        behaviour.count_connections(lambda: len(runner.server.connections) if runner.server else 0)
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        print(f"listening on http://{host}:{port}", flush=True)
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve(_arguments()))
