"""Who acts on a chain: the wallet of a VU, and what a process has of what shards share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squall.plan.model import ScenarioPlan
    from squall.plan.share import Share
    from squall_runner.evm.sending.accounts import Account
    from squall_runner.evm.signing.keys import Key


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a VU acts with.

    Attributes:
        index: Its number in the whole run.
        key: Its key.
        account: Sends its transactions.
        shown: What `wallet` is in expressions.
    """

    index: int
    key: Key = field(repr=False)
    account: Account = field(repr=False)
    shown: dict[str, Any]

    @classmethod
    def of(cls, index: int, key: Key, account: Account) -> Wallet:
        """That with a number, a key and what sends its transactions."""
        shown = {"address": key.address, "publicKey": f"0x{key.public_key.hex()}", "index": index}
        return cls(index, key, account, shown)

    @property
    def address(self) -> str:
        """Its address."""
        return self.key.address


@dataclass(frozen=True, slots=True)
class Shares:
    """What several shards have together.

    Attributes:
        parts: Of each.
    """

    parts: tuple[Share, ...]

    @classmethod
    def of_shards(cls, plan: ScenarioPlan, shards: Iterable[int]) -> Shares:
        """What these shards have of a scenario."""
        return cls(tuple(share for shard in shards if (share := plan.share_for(shard)) is not None))

    def of(self, total: int) -> int:
        """Their part of a number; over all shards it is the whole."""
        return sum(part.of(total) for part in self.parts)
