"""What transactions offer per unit of gas: how a manifest's `fees` become numbers, and how an offer is raised. Pure.

The rules are those of EIP-1559: whoever makes a block gets the priority fee, as far as `max_fee - base_fee` leaves room for it, and
the base fee moves by an eighth per block at most. Nodes take a replacement only if both fees are raised, geth by 10 % at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from squall.spec.amounts import amount_wei, native_text
from squall.spec.quantities import exact_share, seconds

if TYPE_CHECKING:
    from squall.spec.structs import Fees


class Offer(NamedTuple):
    """What a transaction pays per unit of gas, in wei.

    Attributes:
        max_fee: The most of it; of a legacy transaction its gas price.
        priority_fee: What of it is for who makes the block.
    """

    max_fee: int
    priority_fee: int


@dataclass(frozen=True, slots=True, eq=False)
class FeePolicy:
    """A manifest's `fees`; amounts in wei, times in seconds.

    Attributes:
        legacy: Whether transactions are of the kind before EIP-1559.
        max_fee: What is offered, whatever the base fee is; None follows the base fee.
        priority_fee: None takes what nodes suggest.
        headroom: How many times the base fee is offered.
        limit: Nothing above it is ever offered; None is no limit.
        replace_after: How long a transaction may wait for a block before it is replaced; None never replaces.
        bump: How much more a replacement pays, as a share.
        max_replacements: How often one transaction may be replaced.
    """

    legacy: bool = False
    max_fee: int | None = None
    priority_fee: int | None = None
    headroom: Fraction = Fraction(2)
    limit: int | None = None
    replace_after: float | None = None
    bump: Fraction = Fraction(15, 100)
    max_replacements: int = 3

    @property
    def needs_suggestion(self) -> bool:
        """Whether an offer depends on what nodes suggest as the priority fee."""
        return self.priority_fee is None and (self.max_fee is None or not self.legacy)


def fee_policy(fees: Fees) -> FeePolicy:
    """Read a manifest's `fees`, whose variables are resolved.

    Raises:
        ValueError: An amount, share or duration is none.
    """
    return FeePolicy(
        legacy=fees.type == "legacy",
        max_fee=_wei(fees.max_fee),
        priority_fee=_wei(fees.priority_fee),
        headroom=Fraction(fees.headroom),
        limit=_wei(fees.limit),
        replace_after=None if fees.replace_after is None else seconds(fees.replace_after),
        bump=exact_share(fees.bump),
        max_replacements=fees.max_replacements,
    )


def _wei(amount: str | None) -> int | None:
    return None if amount is None else amount_wei(amount)


def offer(policy: FeePolicy, base_fee: int, suggested: int) -> Offer | None:
    """What a transaction offers now; None while the base fee is above the policy's limit: then it has to wait.

    Args:
        policy: The manifest's.
        base_fee: Of the newest block, in wei; 0 on a chain without base fees.
        suggested: The priority fee that nodes suggest.
    """
    limit = policy.limit
    if limit is not None and base_fee > limit:
        return None
    tip = suggested if policy.priority_fee is None else policy.priority_fee
    most = policy.max_fee
    if most is None:
        most = base_fee * policy.headroom.numerator // policy.headroom.denominator + tip
    if limit is not None and most > limit:
        most = limit
    return Offer(most, most if policy.legacy or tip > most else tip)


def above_limit(base_fee: int, policy: FeePolicy) -> str:
    """That the base fee is above the policy's limit, for people; empty when it is not."""
    limit = policy.limit
    if limit is None or base_fee <= limit:
        return ""
    gwei = native_text(base_fee * 10**9), native_text(limit * 10**9)
    return f"the base fee is {gwei[0]} gwei, above spec.evm.fees.limit of {gwei[1]} gwei"


def raised(former: Offer, policy: FeePolicy, current: Offer | None) -> Offer | None:
    """What a replacement offers: `bump` more than its former version, and no less than a new transaction would.

    Args:
        former: What the version that is replaced offers.
        policy: The manifest's.
        current: What a new transaction would offer now; None when it would have to wait.

    Returns:
        None when the policy's limit leaves no room: then there is no replacement.
    """
    limit = policy.limit
    if current is None:
        return None
    most = max(_more(former.max_fee, policy.bump), current.max_fee)
    tip = max(_more(former.priority_fee, policy.bump), current.priority_fee)
    if limit is not None and most > limit:
        return None
    return Offer(most, most if policy.legacy else min(tip, most))


def _more(amount: int, share: Fraction) -> int:
    """An amount and a share of it, rounded up, and at least one wei more."""
    return amount + max(1, -(-amount * share.numerator // share.denominator))
