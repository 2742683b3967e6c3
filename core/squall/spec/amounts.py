"""Amounts of a chain's native token: what people write, and wei, in which everything is computed.

Exact, since a wei that is lost is a sweep that does not add up.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

WEI_PER_TOKEN: Final = 10**18
_DECIMALS: Final = {"wei": 0, "gwei": 9, "ether": 18}
_AMOUNT = re.compile(r"([0-9]+)(?:\.([0-9]+))?(?: ?(wei|gwei|ether))?")


def amount_wei(amount: float | str) -> int:
    """An amount in wei.

    Args:
        amount: A whole number of wei, as chains give them; or a text (or a number with decimals) in native tokens, unless it
            names its unit: `0.1`, `0.1 ether`, `2 gwei`, `1000 wei`.

    Raises:
        ValueError: It is no amount (an unresolved `${var.x}` is none either), is negative, or is finer than a wei.
    """
    if isinstance(amount, int) and not isinstance(amount, bool):
        if amount < 0:
            raise ValueError(f"{amount} is less than nothing; write an amount of zero or more")
        return amount
    # The shortest text of a float is what somebody wrote.
    text = f"{Decimal(repr(amount)):f}" if isinstance(amount, float) else str(amount).strip()
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{amount!r} is not an amount; write for example 0.1, 0.1 ether, 2 gwei or 1000 wei")
    whole, decimals, unit = match.groups()
    decimals = (decimals or "").rstrip("0")
    places = _DECIMALS[unit or "ether"]
    if len(decimals) > places:
        raise ValueError(f"{amount!r} is finer than a wei; {unit or 'ether'} has {places} decimals")
    return int(whole + decimals.ljust(places, "0"))


def native_text(wei: int) -> str:
    """An amount in native tokens, exact and as short as it can be: `100000000000000000` is `0.1`."""
    whole, rest = divmod(abs(wei), WEI_PER_TOKEN)
    text = f"{whole}.{rest:018d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{text}" if wei < 0 else text
