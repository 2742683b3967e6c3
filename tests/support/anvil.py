"""A real EVM node for tests: anvil, as the examples start it, with the suite's rule for parts that a machine may lack."""

import sys
from dataclasses import replace
from pathlib import Path

from support.leftout import missing, skip_if_left_out

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples" / "targets"))

from evm_node import EvmNode, EvmNodeError, NodeOptions, RpcRefusedError, anvil_binary

__all__ = [
    "PART",
    "EvmNode",
    "EvmNodeError",
    "NodeOptions",
    "RpcRefusedError",
    "anvil",
    "anvil_binary",
    "kept_in",
    "restart",
]

PART = "anvil"


def anvil(
    *,
    chain_id: int = 31337,
    block_time: float | None = None,
    accounts: int = 10,
    balance: int = 10_000,
    gas_limit: int = 30_000_000,
    base_fee: int = 1_000_000_000,
    port: int = 0,
    more: tuple[str, ...] = (),
) -> EvmNode:
    """A node that runs within a `with` or `async with` block; see `NodeOptions` for what the arguments mean.

    Start it from the test's own thread. Skips the test when `SQUALL_TESTS_WITHOUT` names `anvil`, and fails it when
    there is no anvil for another reason.
    """
    skip_if_left_out(PART)
    try:
        anvil_binary()
    except EvmNodeError as error:
        missing(PART, str(error))
    return EvmNode(
        NodeOptions(
            chain_id=chain_id,
            block_time=block_time,
            accounts=accounts,
            balance=balance,
            gas_limit=gas_limit,
            base_fee=base_fee,
            port=port,
            more=more,
        )
    )


def kept_in(folder: Path) -> tuple[str, ...]:
    """Options of a node that keeps its chain in a folder, and finds it there again after a `restart`."""
    return "--state", str(folder / "chain.json"), "--preserve-historical-states"


def restart(node: EvmNode) -> None:
    """End it, and start it again where it was: it has its blocks then, and nothing of what waited for one."""
    node.options = replace(node.options, port=node.port)
    node.stop()
    node.start()
