"""Whose transactions are sent: the pool of wallets that one shard has, and which of them a user gets.

Wallet `i` belongs to shard `i % shards`, so shards never meet, and N of them together have what one would have. Keys are derived when a
wallet is taken for the first time; a pool of a million costs nothing until then.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, Protocol

from squall_runner.data import DataError, DataExhausted
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.evm.signing.keys import ORDER, Key, WrongKeyError, wallet_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Order = Literal["sequential", "random", "fewestPending"]
WhenExhausted = Literal["recycle", "stop", "fail"]
NAME: Final = "wallets"
"""As what messages know the pool, which runs out as data do."""


class Keys(Protocol):
    """Where the keys of wallets come from."""

    def key(self, index: int) -> Key:
        """The key of wallet `index` of the whole run."""


class SeededKeys:
    """Keys derived from a seed; any number of them."""

    __slots__ = ("_seed",)

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def key(self, index: int) -> Key:
        """The key of wallet `index`."""
        return wallet_key(self._seed, index)


class ListedKeys:
    """Keys of a file, one a line; empty lines and those that begin with `#` are skipped.

    Args:
        lines: Of the file.

    Raises:
        WrongKeyError: A line is no key, or repeats one; the message names the line and nothing that it holds.
    """

    __slots__ = ("_secrets",)

    def __init__(self, lines: Iterable[str]) -> None:
        first: dict[bytes, int] = {}
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            secret = _secret(text, number)
            if secret in first:
                message = f"line {number} repeats the key of line {first[secret]}"
                raise WrongKeyError(message, "each wallet needs a key of its own; remove one of the lines")
            first[secret] = number
        self._secrets = tuple(first)

    def __len__(self) -> int:
        return len(self._secrets)

    def key(self, index: int) -> Key:
        """The key of wallet `index`: that of the file's line, comments not counted."""
        return Key(self._secrets[index])


def _secret(text: str, number: int) -> bytes:
    hint = "write one private key a line, 64 hexadecimal digits with or without 0x"
    try:
        secret = from_hex(text)
    except ValueError:
        raise WrongKeyError(f"line {number} is no private key: it is not hexadecimal", hint) from None
    if len(secret) != 32:
        message = f"line {number} is no private key: it has {len(secret)} bytes instead of 32"
        raise WrongKeyError(message, hint)
    value = int.from_bytes(secret, "big")
    if value == 0 or value >= ORDER:
        which = "it is zero" if value == 0 else "it is not below the order of secp256k1"
        raise WrongKeyError(f"line {number} is no private key: {which}", hint)
    return secret


class WalletPool:
    """The wallets of one shard.

    Args:
        keys: Where keys come from.
        count: Wallets of the whole run.
        shard: This shard, from 0.
        shards: How many there are.
        per: Whether a VU keeps its wallet, or each call of `acquire` takes one.
        order: `sequential`: by their numbers; `random`: in an order of chance, each once before any comes again;
            `fewestPending`: unused ones first, then that with the fewest transactions on their way, of several the one that was
            taken longest ago.
        when_exhausted: When all have been taken: again from the beginning, `DataExhausted`, or `DataError`.
        seed: Of the order of chance.

    Attributes:
        taken: How often one was taken that nobody kept already.

    Raises:
        WrongKeyError: The shard would have no wallet.
    """

    def __init__(
        self,
        keys: Keys,
        *,
        count: int,
        shard: int = 0,
        shards: int = 1,
        per: Literal["vu", "iteration"] = "vu",
        order: Order = "sequential",
        when_exhausted: WhenExhausted = "recycle",
        seed: str = "",
    ) -> None:
        if count < shards:
            message = f"{count} wallets are too few for {shards} shards, of which each has wallets of its own"
            raise WrongKeyError(
                message, "raise spec.evm.wallets.count, add keys to the file, or use fewer shards"
            )
        self._keys = keys
        self._count = count
        self._own = range(shard, count, shards)
        self._keeps = per == "vu"
        self._order = order
        self._when_exhausted = when_exhausted
        self._chance = random.Random(f"{seed}/{shard}")  # noqa: S311 - no secret
        self._shuffled: list[int] = []
        self._ahead: deque[int] = deque()
        self._drawn = 0
        self.taken = 0
        self._kept: dict[int, int] = {}
        self._known: dict[int, Key] = {}
        self._pending: dict[int, int] = {}
        self._levels: list[dict[int, None]] = [{}]

    def __len__(self) -> int:
        return len(self._own)

    def key(self, index: int) -> Key:
        """The key of one of its wallets, by the wallet's number in the whole run."""
        key = self._known.get(index)
        if key is None:
            key = self._known[index] = self._keys.key(index)
        return key

    def acquire(self, vu: int) -> int:
        """The wallet for an iteration of this VU, by its number in the whole run.

        Raises:
            DataExhausted: All are taken, and `when_exhausted` is `stop`.
            DataError: The same for `fail`.
        """
        if self._keeps and (kept := self._kept.get(vu)) is not None:
            return kept
        if self.taken >= len(self._own):
            self._exhausted()
            if self._order == "fewestPending":
                return self._keep(vu, self._least())
        index = self._ahead.popleft() if self._ahead else self._draw()
        self.taken += 1
        self._seen(index)
        return self._keep(vu, index)

    def upcoming(self, number: int) -> Sequence[int]:
        """The wallets that are taken next, in order; fewer when there are no more."""
        number = min(number, len(self._own))
        if self._when_exhausted != "recycle" or self._order == "fewestPending":
            number = min(number, len(self._own) - self.taken)
        while len(self._ahead) < number:
            self._ahead.append(self._draw())
        return [self._ahead[place] for place in range(number)]

    def changed(self, index: int, by: int) -> None:
        """So many more transactions of a wallet are on their way; fewer when negative."""
        if self._order != "fewestPending" or index not in self._pending:
            return
        level = self._pending[index]
        del self._levels[level][index]
        level = self._pending[index] = max(0, level + by)
        while len(self._levels) <= level:
            self._levels.append({})
        self._levels[level][index] = None

    def _keep(self, vu: int, index: int) -> int:
        if self._keeps:
            self._kept[vu] = index
        return index

    def _draw(self) -> int:
        """The next wallet of an order that never ends."""
        place = self._drawn % len(self._own)
        self._drawn += 1
        if self._order != "random":
            return self._own[place]
        if place == 0:
            self._shuffled = list(self._own)
            self._chance.shuffle(self._shuffled)
        return self._shuffled[place]

    def _exhausted(self) -> None:
        if self._when_exhausted == "stop":
            raise DataExhausted(NAME, self._count)
        if self._when_exhausted == "fail":
            message = f"a shard has used all its {len(self._own)} wallets"
            raise DataError(
                message, "raise spec.evm.wallets.count, or set whenExhausted there to recycle or stop"
            )

    def _seen(self, index: int) -> None:
        if self._order == "fewestPending":
            self._pending[index] = 0
            self._levels[0][index] = None

    def _least(self) -> int:
        level = next(level for level in self._levels if level)
        index = next(iter(level))
        level[index] = level.pop(index)  # to the end of those that have as few
        return index
