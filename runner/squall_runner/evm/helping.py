"""Where the contract for batches is: the one that the manifest names, or our own, deployed once per chain and funder.

Its address has to be known to every runner and nobody tells them. So it is deployed by an account that is derived from the first
funder's key and does nothing else: whoever has the key knows which addresses its contracts can have, and asks whether code is there.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from squall.plan.funding import TRANSFER_GAS
from squall_runner.evm import multicall
from squall_runner.evm.asking import ask_number, transaction_count
from squall_runner.evm.failures import Kind
from squall_runner.evm.hexes import to_hex
from squall_runner.evm.outgoing import Call, SendError

if TYPE_CHECKING:
    from squall_runner.evm.asking import Asks
    from squall_runner.evm.keys import Key
    from squall_runner.evm.paying import Payer

DEPLOY_GAS: Final = 800_000
"""At most; it takes about 470,000."""
_LOOKED_AT: Final = 8
_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3


async def find_multicall(node: Asks, named: bytes, helper: Key | None) -> bytes | None:
    """The address of a contract for batches; None when there is none.

    Args:
        node: Whom to ask.
        named: Where the manifest says it is.
        helper: The account that may have deployed one.

    Raises:
        RpcError: The node cannot be asked.
    """
    if await _has_code(node, named):
        return named
    if helper is None:
        return None
    used = await transaction_count(node, helper.address, "latest")
    for nonce in range(min(used, _LOOKED_AT)):
        created = multicall.created_address(helper.address_bytes, nonce)
        if await _has_code(node, created):
            return created
    return None


async def deploy_multicall(node: Asks, funder: Payer, helper: Key, payer: Payer) -> bytes:
    """Deploy our own; called where `find_multicall` found none.

    Args:
        node: Whom to ask.
        funder: Who pays for it.
        helper: The account that deploys.
        payer: The same, as an account that pays.

    Raises:
        SendError: It did not get into a block.
        RpcError: The node cannot be asked.
    """
    nonce = await transaction_count(node, helper.address, "latest")
    for attempt in count(1):
        await _afford(node, funder, helper)
        try:
            await payer.pay(Call(None, multicall.deployment()), DEPLOY_GAS, _SECONDS)
        except SendError as error:
            if error.kind is not Kind.INSUFFICIENT_FUNDS or attempt == _ATTEMPTS:
                raise
            continue  # fees have risen in the meantime
        break
    return multicall.created_address(helper.address_bytes, nonce)


async def _afford(node: Asks, funder: Payer, helper: Key) -> None:
    """Let the helper have what deploying costs now, and half of that again; the rest goes back with the sweep."""
    has = await ask_number(node, "eth_getBalance", [helper.address, "latest"])
    lacks = DEPLOY_GAS * await funder.price() * 3 // 2 - has
    if lacks > 0:
        await funder.pay(Call(helper.address_bytes, value=lacks), TRANSFER_GAS, _SECONDS)


async def _has_code(node: Asks, address: bytes) -> bool:
    return await node.call("eth_getCode", [to_hex(address), "latest"]) not in {"0x", "0x0", None}
