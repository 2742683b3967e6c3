"""Blocks as a follower sees them: the heads of a chain, the receipts in them, and the few newest ones that it keeps.

Of what nodes send, only what somebody reads is taken out of the JSON; the logs of a receipt stay bytes until somebody wants them.
Formats: https://ethereum.github.io/execution-apis/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import msgspec

from squall.nesting import bounded

EMPTY_LOGS: Final = (b"[]", b"null")
_MOST_BLOCKS: Final = 64
_MOST_RECEIPTS: Final = 20_000
_REGULAR: Final = 8
"""So many blocks say how regular a chain is."""


@dataclass(frozen=True, slots=True)
class Head:
    """A block's header.

    Attributes:
        number: Its number.
        hash: Its hash.
        parent: The hash of the block before it.
        timestamp: Seconds since the epoch, as its proposer has set it.
        base_fee: Wei per gas; 0 on chains without one (EIP-1559).
        gas_limit: The most gas in it.
        gas_used: The gas in it.
        seen: When it became known, by the follower's clock.
        transactions: The hashes of its transactions; None: the node has not told them along.
    """

    number: int
    hash: str
    parent: str
    timestamp: int
    base_fee: int
    gas_limit: int
    gas_used: int
    seen: float
    transactions: frozenset[str] | None = field(default=None, repr=False)


class Header(msgspec.Struct, rename="camel", gc=False):
    """A header as nodes write it, by `eth_getBlockByNumber` and for `newHeads`."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    gas_limit: str
    gas_used: str
    base_fee_per_gas: str | None = None
    transactions: list[str] | msgspec.UnsetType = msgspec.UNSET

    def head(self, seen: float) -> Head:
        """What it says.

        Args:
            seen: When it came, by the follower's clock.

        Raises:
            ValueError: A number in it is none.
        """
        hashes = self.transactions
        return Head(
            int(self.number, 16),
            self.hash,
            self.parent_hash,
            int(self.timestamp, 16),
            int(self.base_fee_per_gas or "0x0", 16),
            int(self.gas_limit, 16),
            int(self.gas_used, 16),
            seen,
            None if isinstance(hashes, msgspec.UnsetType) else frozenset(hashes),
        )


class Receipt(msgspec.Struct, rename="camel", gc=False):
    """A receipt as nodes write it; `status` is missing before Byzantium, and then means success here."""

    transaction_hash: str
    block_hash: str
    block_number: str
    gas_used: str
    status: str | None = "0x1"
    effective_gas_price: str | None = "0x0"
    contract_address: str | None = None
    logs: msgspec.Raw = msgspec.Raw(b"[]")


class LogKey(msgspec.Struct, gc=False):
    """What a log is found by."""

    address: str
    topics: list[str]
    data: str = "0x"


_decode_keys = bounded(msgspec.json.Decoder(list[LogKey]).decode)
_decode_logs = bounded(msgspec.json.Decoder(list[dict[str, Any]]).decode)


def log_keys(raw: msgspec.Raw) -> list[LogKey]:
    """What the logs of a receipt are found by, in their order.

    Raises:
        msgspec.DecodeError: They are no logs.
    """
    return _decode_keys(raw)


def whole_logs(raw: msgspec.Raw) -> list[dict[str, Any]]:
    """The logs of a receipt, as the node has written them.

    Raises:
        msgspec.DecodeError: They are no logs.
    """
    return [] if bytes(raw) in EMPTY_LOGS else _decode_logs(raw)


@dataclass(slots=True)
class Inclusion:
    """A transaction in a block.

    Attributes:
        hash: The transaction's.
        status: 1: it has succeeded; 0: it was reverted.
        gas_used: By it.
        gas_price: What was paid per gas, in wei.
        block: The number of the block.
        block_hash: Its hash.
        block_timestamp: Its time, in seconds since the epoch.
        seen: When the receipt was seen, by the follower's clock.
        confirmed: When it had the confirmations that were asked for; `seen` when none were.
        contract: The address of the contract that it has made; None: it has made none.
    """

    hash: str
    status: int
    gas_used: int
    gas_price: int
    block: int
    block_hash: str
    block_timestamp: int
    seen: float
    confirmed: float
    contract: str | None
    _raw: msgspec.Raw = field(repr=False)

    @classmethod
    def of(cls, receipt: Receipt, head: Head, seen: float) -> Inclusion:
        """What a receipt says.

        Raises:
            ValueError: A number in it is none.
        """
        return cls(
            receipt.transaction_hash,
            int(receipt.status or "0x1", 16),
            int(receipt.gas_used, 16),
            int(receipt.effective_gas_price or "0x0", 16),
            head.number,
            head.hash,
            head.timestamp,
            seen,
            seen,
            receipt.contract_address,
            # A copy, as it would keep the receipts of all others in the block.
            receipt.logs.copy(),
        )

    @property
    def logs(self) -> list[dict[str, Any]]:
        """Its logs, as the node has written them; read anew each time."""
        return whole_logs(self._raw)


@dataclass(slots=True)
class LogSeen:
    """An event that somebody has waited for.

    Attributes:
        log: As the node has written it.
        block: The number of its block.
        block_timestamp: The block's time, in seconds since the epoch.
        seen: When it was seen, by the follower's clock.
    """

    log: dict[str, Any]
    block: int
    block_timestamp: int
    seen: float


@dataclass(slots=True)
class Block:
    """One of the newest blocks.

    Attributes:
        head: Its header.
        receipts: By hash of the transaction; None: they were not read, as nobody wanted any.
        told: Hashes of transactions of which somebody was told that they are in it.
    """

    head: Head
    receipts: dict[str, Receipt] | None = None
    told: list[str] = field(default_factory=list)


class Window:
    """The newest blocks, one after the other without a gap: enough to notice a reorganisation, and to answer who asks late."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._receipts = 0

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def head(self) -> Head | None:
        """The newest; None: there is none yet."""
        return self._blocks[-1].head if self._blocks else None

    @property
    def oldest(self) -> int:
        """The number of the oldest; -1 when there is none."""
        return self._blocks[0].head.number if self._blocks else -1

    def at(self, number: int) -> Block | None:
        """The block with this number, if it is kept."""
        place = number - self.oldest
        return self._blocks[place] if self._blocks and 0 <= place < len(self._blocks) else None

    def newest_first(self, most: int) -> list[Block]:
        """The newest ones, at most so many."""
        return self._blocks[: -most - 1 : -1]

    def add(self, block: Block) -> None:
        """Keep the next block; one that does not follow the newest begins a new window."""
        head = self.head
        if head is not None and block.head.number != head.number + 1:
            self._blocks.clear()
            self._receipts = 0
        self._blocks.append(block)
        self._receipts += len(block.receipts or ())
        while len(self._blocks) > _MOST_BLOCKS or (self._receipts > _MOST_RECEIPTS and len(self._blocks) > 1):
            self._receipts -= len(self._blocks.pop(0).receipts or ())

    def cut(self, number: int) -> list[Block]:
        """Take back the blocks from this number on; returns them, oldest first."""
        place = max(0, number - self.oldest)
        gone, self._blocks = self._blocks[place:], self._blocks[:place]
        self._receipts -= sum(len(block.receipts or ()) for block in gone)
        return gone

    def block_seconds(self) -> float:
        """Seconds between the newest blocks by their timestamps, if they come regularly; 0: they do not, or nobody knows."""
        times = [block.head.timestamp for block in self._blocks[-_REGULAR - 1 :]]
        if len(times) <= _REGULAR:
            return 0.0
        mean = (times[-1] - times[0]) / _REGULAR
        steady = all(abs(later - earlier - mean) <= 1 for earlier, later in pairwise(times))
        return mean if steady else 0.0
