"""What the steps of a scenario send to a chain: transactions in an iteration, and the gas that they may use where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from squall.spec.evm import Evm, Gas
    from squall.spec.evmsteps import EvmStep
    from squall.spec.scenarios import Scenario
    from squall.spec.steps import Repeat, Step


@dataclass(frozen=True, slots=True)
class Transactions:
    """Transactions that something sends if all goes well.

    Attributes:
        least: At least so many.
        most: At most so many; None when that is not known before.
        gas: The most gas of all; None when it is not known before.
    """

    least: int
    most: int | None
    gas: int | None

    def __add__(self, other: Transactions) -> Transactions:
        most = None if self.most is None or other.most is None else self.most + other.most
        gas = None if self.gas is None or other.gas is None else self.gas + other.gas
        return Transactions(self.least + other.least, most, gas)

    def __str__(self) -> str:
        if self.most is None:
            return f"{self.least} or more"
        return str(self.least) if self.most == self.least else f"{self.least} to {self.most}"


NONE = Transactions(0, 0, 0)


def transactions_per_iteration(scenario: Scenario, evm: Evm) -> Transactions:
    """The transactions of an iteration that goes through all its steps, its `finally` included.

    Replacements are not counted; what a Python step sends and how long a `while` goes on cannot be known.
    """
    return _of_steps(scenario.steps, evm) + _of_steps(scenario.finally_steps or (), evm)


def _of_steps(steps: Iterable[Step], evm: Evm) -> Transactions:
    return sum((_of_step(step, evm) for step in steps), NONE)


def _of_step(step: Step, evm: Evm) -> Transactions:
    if step.evm:
        return _of_evm(step.evm, evm)
    if step.group:
        return _of_steps(step.group.steps, evm)
    if step.parallel:
        return sum((_of_steps(branch.steps, evm) for branch in step.parallel.branches), NONE)
    if step.if_step or step.choose:
        ways = [step.if_step.then, step.if_step.else_steps or ()] if step.if_step else ()
        return _either([_of_steps(way, evm) for way in ways or [each.steps for each in step.choose or ()]])
    return _of_repeat(step.repeat, evm) if step.repeat else NONE


def _of_repeat(repeat: Repeat, evm: Evm) -> Transactions:
    once, times = _of_steps(repeat.steps, evm), repeat.times
    if once.most == 0:
        return NONE
    if not isinstance(times, int):
        return Transactions(0, None, None)
    return Transactions(
        once.least * times,
        None if once.most is None else once.most * times,
        None if once.gas is None else once.gas * times,
    )


def _either(ways: Sequence[Transactions]) -> Transactions:
    mosts = [way.most for way in ways if way.most is not None]
    gases = [way.gas for way in ways if way.gas is not None]
    return Transactions(
        min(way.least for way in ways),
        max(mosts) if len(mosts) == len(ways) else None,
        max(gases) if len(gases) == len(ways) else None,
    )


def _of_evm(step: EvmStep, evm: Evm) -> Transactions:
    acting = step.transaction or step.deploy
    if acting is None:
        return NONE
    function = step.transaction.function if step.transaction else "constructor"
    return Transactions(1, 1, _limit(acting.gas or evm.gas, f"{acting.contract}.{function}"))


def _limit(gas: Gas, function: str) -> int | None:
    """The gas limit where it does not depend on an estimate."""
    limit = gas.limit if isinstance(gas.limit, int) else None
    if gas.policy == "fixed":
        return limit
    if gas.policy == "precomputed":
        known = (gas.limits or {}).get(function)
        return known if isinstance(known, int) else limit
    return None
