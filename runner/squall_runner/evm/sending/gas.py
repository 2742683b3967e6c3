"""How much gas a transaction may use: said beforehand, or asked of the node, once or each time.

An estimate costs a node as much as the call itself. So the default asks for one when a step sends its first transaction, and
however many VUs come to that step at once, they wait for the same answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from squall.spec.quantities import exact_share, whole
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.sending.asking import ask_number
from squall_runner.evm.signing.hexes import quantity, to_hex
from squall_runner.resilience.backoff import growing

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction
    from random import Random

    from squall.spec.structs import Gas
    from squall_runner.evm.sending.asking import Asks
    from squall_runner.evm.sending.outgoing import Call

TRANSFER: Final = 21_000
"""Gas of a transaction that only moves the native token to an account without code (Yellow Paper, appendix G)."""
_PAUSE: Final = growing(0.1, factor=2, most=2.0, jitter=0.5)


class GasLimit:
    """The gas limit of one step's transactions, for all VUs of a runner.

    Args:
        gas: The manifest's `gas`, its variables resolved.
        function: `contract.function`, by which `limits` are looked up; empty when the step calls no function.
        rng: For the pauses between estimates.

    Raises:
        ValueError: A number is none, or the policy needs one that is not there.
    """

    __slots__ = ("_asking", "_each", "_limit", "_margin", "_pause", "_retries", "_rng", "known")

    def __init__(self, gas: Gas, function: str, rng: Random) -> None:
        self._limit = None if gas.limit is None else whole(gas.limit)
        self._margin = exact_share(gas.margin)
        self._retries = gas.retries
        self._each = gas.policy == "estimate"
        self._rng = rng
        self._pause: Callable[[int, Random], float] = _PAUSE
        self._asking: asyncio.Task[int] | None = None
        self.known: int | None = None
        """The limit, when nothing has to be asked for it."""
        if gas.policy == "fixed":
            self.known = self._limit
        elif gas.policy == "precomputed":
            listed = (gas.limits or {}).get(function)
            self.known = self._limit if listed is None else whole(listed)
            if self.known is None:
                raise ValueError(
                    f"gas.limits has no entry for {function or 'a transfer'!r}, and there is no gas.limit; "
                    f"add `limits: {{{function or 'contract.function'}: 100000}}` or a `limit`"
                )

    async def find(self, rpc: Asks, sender: str, call: Call) -> int:
        """The limit for a transaction; asks the node unless it is `known`.

        Args:
            rpc: Who is asked.
            sender: The address of who sends it.
            call: What it does.

        Raises:
            RpcError: No estimate came, and the manifest has no `limit` to take instead.
        """
        if self.known is not None:
            return self.known
        if self._each:
            return await self._estimate(rpc, sender, call)
        if self._asking is None:
            # A task, since the VU that came first may be cancelled while others wait for the answer, too.
            self._asking = asyncio.create_task(self._estimate(rpc, sender, call))
            self._asking.add_done_callback(self._answered)
        return await asyncio.shield(self._asking)

    def _answered(self, task: asyncio.Task[int]) -> None:
        self._asking = None
        if not task.cancelled() and task.exception() is None:
            self.known = task.result()

    async def _estimate(self, rpc: Asks, sender: str, call: Call) -> int:
        for attempt in range(1, self._retries + 2):
            try:
                estimate = await ask_number(rpc, "eth_estimateGas", [_request(sender, call)], sticky=sender)
            except RpcError:
                if attempt <= self._retries:
                    await asyncio.sleep(self._pause(attempt, self._rng))
                elif self._limit is None:
                    raise
            else:
                return with_margin(estimate, self._margin)
        assert self._limit is not None
        return self._limit

    @classmethod
    def fixed(cls, limit: int) -> GasLimit:
        """One that is known, for transactions of which no manifest speaks."""
        made = cls.__new__(cls)
        made.known = limit
        return made


def with_margin(estimate: int, margin: Fraction) -> int:
    """An estimate and a share of it, rounded up. What costs exactly as much as a plain transfer needs no margin."""
    if estimate == TRANSFER:
        return estimate
    return estimate - (-estimate * margin.numerator // margin.denominator)


def _request(sender: str, call: Call) -> dict[str, str]:
    request = {"from": sender, "data": to_hex(call.data), "value": quantity(call.value)}
    if call.to is not None:
        request["to"] = to_hex(call.to)
    return request
