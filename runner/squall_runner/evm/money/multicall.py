"""Many transfers in one transaction, many balances in one call: Multicall3, which most chains have, or a contract like it.

Interface: https://github.com/mds1/multicall3. Transfers are never allowed to fail within a batch: what a receiver does not take
would stay in the contract, where anybody can take it; as it is, the whole batch is taken back.

A payment to a contract that is not there is lost for ever, and what was deployed a moment ago may be gone again, with the block that held it,
while the payment is sent once more. So money goes to a contract only where the chain had it before. Else a batch deploys code
that is gone when it has paid: it needs nothing to be there, and pays all or nobody, in whatever block it is.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from eth_abi.abi import decode, encode

from squall_runner.evm.signing import rlp
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.evm.signing.keccak import keccak256

if TYPE_CHECKING:
    from collections.abc import Sequence

_CALLS: Final = "(address,bool,bytes)[]"
_CALLS_WITH_VALUE: Final = "(address,bool,uint256,bytes)[]"
_RESULTS: Final = "(bool,bytes)[]"
_AGGREGATE: Final = keccak256(f"aggregate3({_CALLS})".encode())[:4]
_AGGREGATE_VALUE: Final = keccak256(f"aggregate3Value({_CALLS_WITH_VALUE})".encode())[:4]
_BALANCE: Final = keccak256(b"getEthBalance(address)")[:4]
BALANCES_PER_CALL: Final = 500
"""About 2 million gas, where nodes allow a call 50 million or a block's worth, and 100 KiB."""


_PAY_ALL: Final = bytes.fromhex(
    "6031"  # where the parts begin: behind this code
    "5b 38 81 10 15 602a 57"  # as long as there is one more, or else to the end
    "6034 81 6000 39"  # copy it: 20 bytes of address, 32 of wei
    "6000 80 80 80 6014 51 6000 51 6060 1c 5a f1"  # call the address with that value and no data
    "15 602c 57"  # to the revert, if it takes none
    "6034 01 6002 56"  # the next one
    "5b 00"  # the end: no code stays
    "5b 6000 80 fd"  # the revert
)
"""What a batch that is a deployment runs before its parts (yellow paper, appendix H: the virtual machine)."""


def payment(parts: Sequence[tuple[bytes, int]], through: bytes | None) -> tuple[bytes | None, bytes]:
    """Receiver and data of a transaction that gives each address its wei; it carries their sum.

    Args:
        parts: Addresses, and what they are given.
        through: A Multicall3 that was on the chain before the run; None: no contract is needed.

    Returns:
        No receiver where it deploys code that pays.
    """
    if through is not None:
        return through, transfers(parts)
    return None, _PAY_ALL + b"".join(address + value.to_bytes(32, "big") for address, value in parts)


def transfers(parts: Sequence[tuple[bytes, int]]) -> bytes:
    """Calldata that gives each address its wei; the transaction carries their sum."""
    calls = [(address, False, value, b"") for address, value in parts]
    return _AGGREGATE_VALUE + encode([_CALLS_WITH_VALUE], [calls])


def balances(contract: bytes, addresses: Sequence[bytes]) -> bytes:
    """Calldata that asks `contract` what each address has."""
    calls = [(contract, False, _BALANCE + bytes(12) + address) for address in addresses]
    return _AGGREGATE + encode([_CALLS], [calls])


def read_balances(answer: bytes, count: int) -> list[int]:
    """What `balances` of so many addresses gave, in wei.

    Raises:
        ValueError: It is no such answer: there is another contract.
    """
    try:
        (results,) = decode([_RESULTS], answer)
    except Exception as error:  # eth-abi's own, and what damaged data makes Python raise
        raise ValueError("what answers is no Multicall3") from error
    if len(results) != count or not all(done and len(data) == 32 for done, data in results):
        raise ValueError("what answers is no Multicall3")
    return [int.from_bytes(data, "big") for _, data in results]


def created_address(sender: bytes, nonce: int) -> bytes:
    """Where a contract is that an account deploys with this nonce (yellow paper, section 7)."""
    return keccak256(rlp.encode([sender, nonce]))[12:]


@cache
def deployment() -> bytes:
    """The code that deploys a contract like Multicall3."""
    text = resources.files("squall_runner.evm").joinpath("contracts", "Batch.json").read_text("utf-8")
    return from_hex(json.loads(text)["bytecode"])
