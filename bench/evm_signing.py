"""Signing beside eth-account, and deriving wallets, on one core.

What signs a transaction builds it, encodes and hashes it, signs, encodes it again and names it by its hash; both sides do all of that, for
the same transactions with rising nonces, and give the same bytes. They take turns, and CPU time is what is counted, so that whatever else
the machine does falls on both; the best turn counts. eth-account has what makes it fastest: coincurve, and the same Keccak as we.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

from eth_account import Account
from harness.results import Number, at_least, at_most

from squall_runner.evm.signing.keys import Key, verify_crypto, wallet_key
from squall_runner.evm.signing.transactions import Transaction, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURNS = 5
OURS = 8000
THEIRS = 800
WALLETS = 10_000
CHAIN, GAS, MAX_FEE, PRIORITY_FEE = 14800, 120_000, 30_000_000_000, 1_000_000_000
TO = bytes.fromhex("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f")
DATA = bytes.fromhex("a9059cbb") + b"\x5a" * 64
SECRET = b"\x46" * 32


def measure() -> list[Number]:
    verify_crypto()
    with one_core():
        ours, theirs = signing()
        derivation = min(cpu_seconds(derive) for _ in range(TURNS))
    return [
        at_least("transactions signed on one core", ours, "/s", 15_000),
        Number("transactions signed by eth-account on one core", theirs, "/s"),
        at_least("signing / eth-account's", ours / theirs, "x", 5),
        at_most("10,000 wallets derived, key and address, CPU", derivation, "s", 1.5),
    ]


def signing() -> tuple[float, float]:
    """Transactions a second: ours, eth-account's."""
    key, account = Key(SECRET), Account.from_key(SECRET)

    def our(nonce: int) -> bytes:
        return sign(Transaction(CHAIN, nonce, TO, 0, DATA, GAS, MAX_FEE, PRIORITY_FEE), key).raw

    def their(nonce: int) -> bytes:
        transaction: dict[str, Any] = {
            "type": 2,
            "chainId": CHAIN,
            "nonce": nonce,
            "to": TO,
            "value": 0,
            "data": DATA,
            "gas": GAS,
            "maxFeePerGas": MAX_FEE,
            "maxPriorityFeePerGas": PRIORITY_FEE,
        }
        return bytes(account.sign_transaction(transaction).raw_transaction)

    if our(7) != their(7):
        raise SystemExit("both sign the same transaction, but the results differ")
    ours, theirs = 0.0, 0.0
    for _ in range(TURNS):
        ours = max(ours, OURS / cpu_seconds(lambda: repeat(our, OURS)))
        theirs = max(theirs, THEIRS / cpu_seconds(lambda: repeat(their, THEIRS)))
    return ours, theirs


def derive() -> None:
    for index in range(WALLETS):
        wallet_key(b"a seed for the bench", index)


def repeat(work: Callable[[int], object], times: int) -> None:
    for nonce in range(times):
        work(nonce)


def cpu_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


@contextmanager
def one_core() -> Iterator[None]:
    """Stay on one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
