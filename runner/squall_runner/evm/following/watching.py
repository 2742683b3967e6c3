"""Who waits for what on a chain: transactions by hash, events by what they are found by; and finding them in blocks, without I/O.

Thousands wait at once, so nothing here looks at all of them. A transaction is one look into a dict. Events are found by address and
first topic, and then by the very values that somebody waits for, so that a thousand users who each wait for the event of
their own cost a log no more than one does; only what is left is asked one by one (`accept`). Whoever stops waiting is forgotten at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from squall_runner.evm.following.heads import Inclusion, LogSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall_runner.evm.following.heads import Head, LogKey, Receipt

DATA: Final = 4
"""In `fixed`, 1 to 3 are topics; `DATA + n` is the n-th word of 32 bytes of an event's data."""
_WORD: Final = 64

_K = TypeVar("_K", str, int)
Fixed: TypeAlias = "Mapping[int, str]"


class _Transaction:
    __slots__ = ("confirmations", "future", "inclusion")

    def __init__(self, confirmations: int) -> None:
        self.confirmations = confirmations
        self.future: asyncio.Future[Inclusion] = asyncio.get_running_loop().create_future()
        self.inclusion: Inclusion | None = None


class Transactions:
    """Those who wait for transactions."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Transaction]] = {}
        self._confirming: dict[int, list[_Transaction]] = {}
        """By the number of the block that confirms them."""

    def __len__(self) -> int:
        """How many transactions are waited for that are in no block yet."""
        return len(self._waiting)

    @property
    def confirming(self) -> int:
        """How many are in a block, and wait for others on top."""
        return sum(map(len, self._confirming.values()))

    @property
    def hashes(self) -> list[str]:
        """What is waited for."""
        return list(self._waiting)

    def add(self, tx_hash: str, confirmations: int) -> asyncio.Future[Inclusion]:
        """Wait for a transaction; its hash in lower case."""
        watch = _Transaction(confirmations)
        self._waiting.setdefault(tx_hash, []).append(watch)
        watch.future.add_done_callback(lambda done: self._left(tx_hash, watch, done))
        return watch.future

    def wanted(self, hashes: Mapping[str, Any] | frozenset[str]) -> list[str]:
        """Which of these are waited for."""
        waiting = self._waiting
        if len(waiting) < len(hashes):
            return [each for each in waiting if each in hashes]
        return [each for each in hashes if each in waiting]

    def include(self, receipt: Receipt, head: Head, seen: float) -> bool:
        """A transaction is in a block; whether somebody was told so already.

        Raises:
            ValueError: The receipt makes no sense.
        """
        watches = self._waiting.get(receipt.transaction_hash)
        if watches is None:
            return False
        inclusion = Inclusion.of(receipt, head, seen)
        del self._waiting[receipt.transaction_hash]
        told = False
        for watch in watches:
            if watch.future.done():
                continue
            if watch.confirmations:
                # Its own copy, as the moments of confirmation differ.
                watch.inclusion = Inclusion.of(receipt, head, seen) if len(watches) > 1 else inclusion
                self._confirming.setdefault(head.number + watch.confirmations, []).append(watch)
            else:
                watch.future.set_result(inclusion)
                told = True
        return told

    def confirm(self, number: int, now: float) -> None:
        """The chain has grown to this block."""
        if not self._confirming:
            return
        for due in [each for each in self._confirming if each <= number]:
            for watch in self._confirming.pop(due):
                if watch.inclusion is not None and not watch.future.done():
                    watch.inclusion.confirmed = now
                    watch.future.set_result(watch.inclusion)

    def take_back(self, number: int) -> None:
        """The blocks from this number on are gone: what was in them, and not confirmed yet, is waited for again."""
        for due, watches in list(self._confirming.items()):
            gone = [each for each in watches if each.inclusion is not None and each.inclusion.block >= number]
            if not gone:
                continue
            left = [each for each in watches if each not in gone]
            if left:
                self._confirming[due] = left
            else:
                del self._confirming[due]
            for watch in gone:
                assert watch.inclusion is not None, "it was in a block"
                self._waiting.setdefault(watch.inclusion.hash, []).append(watch)
                watch.inclusion = None

    def cancel(self) -> None:
        """Have nobody wait for anything any more."""
        for watches in [*self._waiting.values(), *self._confirming.values()]:
            for watch in list(watches):
                watch.future.cancel()

    def _left(self, tx_hash: str, watch: _Transaction, done: asyncio.Future[Inclusion]) -> None:
        """Somebody waits no longer."""
        if not done.cancelled():
            return
        _remove(self._waiting, tx_hash, watch)
        if watch.inclusion is not None:
            _remove(self._confirming, watch.inclusion.block + watch.confirmations, watch)


def _remove(table: dict[_K, list[_Transaction]], key: _K, watch: _Transaction) -> None:
    watches = table.get(key, [])
    if watch in watches:
        watches.remove(watch)
        if not watches:
            del table[key]


@dataclass(slots=True, eq=False)
class LogWatch:
    """Somebody who waits for an event.

    Attributes:
        address: The contract, in lower case; empty: any.
        topic: The first topic.
        fixed: Further values that the event must have, in lower case, by position.
        accept: Says whether it is the right one; None: any is.
        future: Of the event.
    """

    address: str
    topic: str
    fixed: tuple[tuple[int, str], ...]
    accept: Callable[[dict[str, Any]], bool] | None
    future: asyncio.Future[LogSeen]

    @classmethod
    def of(
        cls,
        address: str | None,
        topic: str,
        fixed: Fixed | None = None,
        accept: Callable[[dict[str, Any]], bool] | None = None,
    ) -> LogWatch:
        """Somebody who begins to wait; the arguments as for `Follower.logs`."""
        values = tuple(sorted((place, value.lower()) for place, value in (fixed or {}).items()))
        future: asyncio.Future[LogSeen] = asyncio.get_running_loop().create_future()
        return cls((address or "").lower(), topic.lower(), values, accept, future)

    def fits(self, key: LogKey) -> bool:
        """Whether an event has what is waited for, `accept` aside."""
        return (
            key.topics[:1] == [self.topic]
            and self.address in {"", key.address}
            and all(_value(key, place) == value for place, value in self.fixed)
        )

    def offer(self, log: dict[str, Any], head: Head, seen: float) -> bool:
        """Show it an event that fits; whether it has taken it. What `accept` raises is raised where the event is awaited."""
        if self.future.done():
            return False
        try:
            if self.accept is not None and not self.accept(log):
                return False
        except Exception as error:  # noqa: BLE001 - it is the user's, and goes to who waits
            self.future.set_exception(error)
            return True
        self.future.set_result(LogSeen(log, head.number, head.timestamp, seen))
        return True


_Table: TypeAlias = "dict[tuple[str, ...], dict[LogWatch, None]]"


class Logs:
    """Those who wait for events."""

    def __init__(self) -> None:
        # By contract and first topic, then by the positions that are fixed, then by the values there.
        self._groups: dict[tuple[str, str], dict[tuple[int, ...], _Table]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def filters(self) -> tuple[list[str], list[str]]:
        """The addresses and first topics that are waited for, for a node; no addresses: those of any contract."""
        addresses = sorted({address for address, _ in self._groups})
        return ([] if "" in addresses else addresses), sorted({topic for _, topic in self._groups})

    def add(self, watch: LogWatch) -> None:
        """Have somebody wait."""
        table = self._groups.setdefault((watch.address, watch.topic), {})
        places = tuple(place for place, _ in watch.fixed)
        values = tuple(value for _, value in watch.fixed)
        table.setdefault(places, {}).setdefault(values, {})[watch] = None
        self._count += 1
        watch.future.add_done_callback(lambda _: self._left(watch, places, values))

    def find(self, key: LogKey) -> list[LogWatch]:
        """Who waits for such an event."""
        if not key.topics:
            return []
        found: list[LogWatch] = []
        topic = key.topics[0]
        for group in (self._groups.get((key.address, topic)), self._groups.get(("", topic))):
            if group is None:
                continue
            for places, table in group.items():
                waiting = table.get(tuple([_value(key, place) for place in places]))
                if waiting:
                    found += waiting
        return found

    def cancel(self) -> None:
        """Have nobody wait any more."""
        for group in list(self._groups.values()):
            for table in list(group.values()):
                for waiting in list(table.values()):
                    for watch in list(waiting):
                        watch.future.cancel()

    def _left(self, watch: LogWatch, places: tuple[int, ...], values: tuple[str, ...]) -> None:
        key = (watch.address, watch.topic)
        group = self._groups[key]
        table = group[places]
        waiting = table[values]
        del waiting[watch]
        self._count -= 1
        if not waiting:
            del table[values]
        if not table:
            del group[places]
        if not group:
            del self._groups[key]


def _value(key: LogKey, place: int) -> str:
    """What an event has at a position; empty where it has nothing."""
    if place < DATA:
        return key.topics[place] if place < len(key.topics) else ""
    start = 2 + (place - DATA) * _WORD
    return "0x" + key.data[start : start + _WORD]
