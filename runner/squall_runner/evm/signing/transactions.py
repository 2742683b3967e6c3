"""Transactions as they are signed and sent: of EIP-1559 (type 2), and the older ones that a chain id protects (EIP-155).

The load of a run is made here, so it costs as little as possible: what is signed and what is sent differ only at their ends, and the
common middle is encoded once. The results are those of eth-account, byte by byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall_runner.evm.signing import rlp
from squall_runner.evm.signing.keccak import keccak256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall_runner.evm.signing.keys import Key


@dataclass(frozen=True, slots=True)
class Transaction:
    """What an account asks a chain to do; amounts and fees in wei.

    Attributes:
        chain_id: Of the only chain on which it is valid.
        nonce: How many transactions the account sent before.
        to: The 20 bytes of an address; None deploys `data` as a contract.
        value: What is given to `to`.
        data: Calldata, or the code that deploys a contract.
        gas: The most gas that it may use.
        max_fee: The most that a unit of gas may cost; of a legacy transaction its gas price.
        priority_fee: The most of it that is given to who makes the block; a legacy transaction has none.
        legacy: Whether it is one from before EIP-1559.
        access_list: Pairs of an address and the storage slots that it touches (EIP-2930); a legacy transaction has none.
    """

    chain_id: int
    nonce: int
    to: bytes | None
    value: int
    data: bytes
    gas: int
    max_fee: int
    priority_fee: int = 0
    legacy: bool = False
    access_list: Sequence[tuple[bytes, Sequence[bytes]]] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed transaction.

    Attributes:
        raw: As it is sent.
        hash: Its name on the chain, `0x` and 64 digits.
    """

    raw: bytes
    hash: str

    @property
    def hex(self) -> str:
        """`raw` as `eth_sendRawTransaction` takes it."""
        return "0x" + self.raw.hex()


def sign(transaction: Transaction, key: Key) -> Signed:
    """Sign a transaction with the key of the account that sends it.

    Raises:
        OverflowError: One of its numbers is negative.
    """
    raw = _signed_legacy(transaction, key) if transaction.legacy else _signed_fee_market(transaction, key)
    return Signed(raw, "0x" + keccak256(raw).hex())


def _signed_fee_market(transaction: Transaction, key: Key) -> bytes:
    body = b"".join(
        (
            rlp.number(transaction.chain_id),
            rlp.number(transaction.nonce),
            rlp.number(transaction.priority_fee),
            rlp.number(transaction.max_fee),
            _call(transaction),
            rlp.encode(transaction.access_list) if transaction.access_list else rlp.EMPTY_LIST,
        )
    )
    signature = key.sign_compact(keccak256(b"\x02" + rlp.list_of(body)))
    return b"\x02" + rlp.list_of(body + rlp.number(signature[64]) + _r_and_s(signature))


def _signed_legacy(transaction: Transaction, key: Key) -> bytes:
    body = rlp.number(transaction.nonce) + rlp.number(transaction.max_fee) + _call(transaction)
    chain = transaction.chain_id
    signature = key.sign_compact(keccak256(rlp.list_of(body + rlp.number(chain) + rlp.EMPTY + rlp.EMPTY)))
    return rlp.list_of(body + rlp.number(chain * 2 + 35 + signature[64]) + _r_and_s(signature))


def _call(transaction: Transaction) -> bytes:
    """What both kinds have in the same order: gas, receiver, value, data."""
    return b"".join(
        (
            rlp.number(transaction.gas),
            rlp.byte_string(transaction.to or b""),
            rlp.number(transaction.value),
            rlp.byte_string(transaction.data),
        )
    )


def _r_and_s(signature: bytes) -> bytes:
    """Both are numbers, so without leading zeros."""
    return rlp.byte_string(signature[:32].lstrip(b"\0")) + rlp.byte_string(signature[32:64].lstrip(b"\0"))
