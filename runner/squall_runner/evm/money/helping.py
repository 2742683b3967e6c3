"""Where the contract for batches is: the one that the manifest names, or our own, deployed once per chain and funder.

Our own is only asked for balances, and never given money: see `squall_runner.evm.money.multicall`.
Its address has to be known to every runner and nobody tells them. So it is deployed by an account that is derived from the first
funder's key and does nothing else: whoever has the key knows which addresses its contracts can have, and asks whether code is there.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Final

from squall.plan.funding import TRANSFER_GAS
from squall_runner.evm.money import multicall
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.asking import ask_number, transaction_count
from squall_runner.evm.sending.outgoing import Call, SendError
from squall_runner.evm.signing.hexes import from_hex, to_hex

if TYPE_CHECKING:
    from squall_runner.evm.money.paying import Payer
    from squall_runner.evm.sending.asking import Asks
    from squall_runner.evm.signing.keys import Key

DEPLOY_GAS: Final = 800_000
"""At most; it takes about 470,000."""
_LOOKED_AT: Final = 8
_SECONDS: Final = 60.0
_ATTEMPTS: Final = 3
_LOOKS: Final = 10
_LOOK_SECONDS: Final = 1.0
_EXECUTED: Final = frozenset({Kind.REVERTED, Kind.OTHER})
"""How a call fails that other code was given, whatever it made of it."""


async def find_multicall(node: Asks, named: bytes, helper: Key | None) -> bytes | None:
    """The address of a contract for batches; None when there is none.

    Args:
        node: Whom to ask.
        named: Where the manifest says it is.
        helper: The account that may have deployed one.

    Raises:
        RpcError: The node cannot be asked.
    """
    if await _answers(node, named):
        return named
    if helper is None:
        return None
    used = await transaction_count(node, helper.address, "latest")
    for nonce in range(min(used, _LOOKED_AT)):
        created = multicall.created_address(helper.address_bytes, nonce)
        if await _answers(node, created):
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
        SendError: It did not get into a block, or is not what it should be.
        RpcError: The node cannot be asked.
    """
    for attempt in count(1):
        await _afford(node, funder, helper)
        try:
            paid = await payer.pay(Call(None, multicall.deployment()), DEPLOY_GAS, _SECONDS)
        except SendError as error:
            if error.kind is not Kind.INSUFFICIENT_FUNDS or attempt == _ATTEMPTS:
                raise
            continue  # fees have risen in the meantime
        break
    # Another transaction may have had the nonce that was expected, so no address is reckoned: the receipt says it.
    if paid.contract is None or not await _answers_soon(node, paid.contract):
        raise SendError(
            Kind.OTHER,
            "the contract for batches was deployed, and no node shows it",
            "unset spec.evm.funding.deployMulticall, so that wallets are filled one by one",
        )
    return paid.contract


async def _afford(node: Asks, funder: Payer, helper: Key) -> None:
    """Let the helper have what deploying costs now, and half of that again; the rest goes back with the sweep."""
    has = await ask_number(node, "eth_getBalance", [helper.address, "latest"])
    lacks = DEPLOY_GAS * await funder.price() * 3 // 2 - has
    if lacks > 0:
        await funder.pay(Call(helper.address_bytes, value=lacks), TRANSFER_GAS, _SECONDS)


async def _answers_soon(node: Asks, address: bytes) -> bool:
    """The same, where another node than the one that has told of the block may be asked."""
    for _ in range(_LOOKS):
        if await _answers(node, address):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False


async def _answers(node: Asks, address: bytes) -> bool:
    """Whether there is what does batches: it is asked for a balance, as any code might be there, or none."""
    call = {"to": to_hex(address), "data": to_hex(multicall.balances(address, [address]))}
    try:
        answer = await node.call("eth_call", [call, "latest"], into=str)
        multicall.read_balances(from_hex(answer), 1)
    except RpcError as error:
        if error.kind not in _EXECUTED:
            raise
        return False
    except ValueError:
        return False
    return True
