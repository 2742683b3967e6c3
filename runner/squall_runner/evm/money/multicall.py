"""Many transfers in one transaction, many balances in one call: Multicall3, which most chains have, or a contract like it.

Interface: https://github.com/mds1/multicall3. Transfers are never allowed to fail within a batch: what a receiver does not take
would stay in the contract, where anybody can take it; as it is, the whole batch is taken back.
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
