"""What steps on a chain share: values that are computed once where they can be, who is asked, and what a failure is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from squall.expr import EvaluationError, compile_template
from squall.spec.secrets import shortened
from squall_runner.evm.contracts.abi import Abi, AbiError
from squall_runner.evm.sending.outgoing import SendError
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.evm.signing.keys import checksummed, mistyped
from squall_runner.steps.failure import ARGUMENTS, EXPRESSION, Halted
from squall_runner.steps.values import compile_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from squall.expr import Env, Scope
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.acting import Wallet
    from squall_runner.evm.chain import Chain
    from squall_runner.evm.interfaces import Contracts
    from squall_runner.evm.node.failures import RpcError
    from squall_runner.steps.context import Context, Site

T = TypeVar("T")

KNOWN_BEFORE = frozenset({"var", "run"})
"""Names whose values are the same for all VUs and iterations."""
_ADDRESS_BYTES = 20


def chain_of(ctx: Context) -> Chain:
    """The chain of the manifest, which validation has seen to be there."""
    assert ctx.chain is not None, "the manifest has one"
    return ctx.chain


def computed(value: Any, scope: Scope, ctx: Context, convert: Callable[[Any], T]) -> Callable[[Env], T]:
    """What makes a value of the manifest: once if it is always the same, else in each iteration.

    Args:
        value: As in the manifest; texts may hold `${...}`.
        scope: The names that are known there.
        ctx: What the step is compiled with.
        convert: What is made of the value; raises ValueError or AbiError when that cannot be done.
    """
    make = compile_value(value, scope)
    if is_constant(value, scope):
        known = convert(make(ctx.constants))
        return lambda _: known
    return lambda env: convert(make(env))


def is_constant(value: Any, scope: Scope) -> bool:
    """Whether a value is the same for all VUs and iterations."""
    return names_in(value, scope) <= KNOWN_BEFORE


def names_in(value: Any, scope: Scope) -> frozenset[str]:
    """The names that the texts of a tree use."""
    if isinstance(value, str):
        return compile_template(value, scope).names
    if isinstance(value, dict):
        return frozenset().union(*(names_in(part, scope) for pair in value.items() for part in pair))
    if isinstance(value, list):
        return frozenset().union(*(names_in(part, scope) for part in value))
    return frozenset()


def as_address(value: Any) -> bytes:
    """The 20 bytes of an address.

    Raises:
        ValueError: It is none, or its capitals show a typing error.
    """
    text = str(value).strip()
    try:
        found = from_hex(text)
    except ValueError:
        found = b""
    if len(found) != _ADDRESS_BYTES:
        raise ValueError(f"{shortened(text, 60)!r} is no address, which is 0x and 40 hexadecimal digits")
    if mistyped("0x" + text[-2 * _ADDRESS_BYTES :], found):
        raise ValueError(
            f"the capitals of {text} do not match its digits, so one of them is mistyped (EIP-55); "
            f"if every digit is right, write {checksummed(found)}"
        )
    return found


def address_of(
    given: str | None, contract: str | None, contracts: Contracts, scope: Scope, ctx: Context
) -> Callable[[Env], bytes]:
    """Where a contract is: as the step says, or else as is declared; `scope` without secrets."""
    return computed(place_of(given, contract, contracts), scope, ctx, as_address)


def place_of(given: str | None, contract: str | None, contracts: Contracts) -> str:
    """The address of a contract as the manifest writes it; raises ValueError when it does not."""
    text = given
    if text is None and contract is not None:
        text = contracts.declared(contract).address
    if text is None:
        raise ValueError(f"nothing says where the contract {contract!r} is; write `to` in the step")
    return text


def abis_of(contract: str | None, chain: Chain) -> tuple[Abi, ...]:
    """The interfaces by which logs are read: that of the contract, or of all where a step names none."""
    contracts = chain.contracts
    names = [contract] if contract is not None else [each.name for each in chain.spec.contracts]
    return tuple(contracts.abi(name) for name in names)


def evaluate(site: Site, vu: Vu, make: Callable[[Env], T]) -> T:
    """A value in this iteration; the step fails where there is none."""
    try:
        return make(vu.env)
    except EvaluationError as error:
        site.fail(vu, EXPRESSION, error.message, error.hint)
    except AbiError as error:
        site.fail(vu, ARGUMENTS, error.message, error.hint)
    except ValueError as error:
        site.fail(vu, ARGUMENTS, str(error))


def wallet_of(site: Site, vu: Vu) -> Wallet:
    """What the VU acts with."""
    wallet = vu.root.wallet
    if wallet is None:
        site.fail(vu, ARGUMENTS, "there is no wallet to act with", "add evm.wallets with a seed")
    return wallet


def refused(site: Site, vu: Vu, error: RpcError | SendError, abi: Abi | None = None) -> NoReturn:
    """The step has failed by what a node said, or did not say.

    Raises:
        Halted: The load was stopped meanwhile.
        EndIteration: Otherwise.
    """
    if vu.root.halted:
        raise Halted
    message = error.message
    data = b"" if isinstance(error, SendError) else error.revert_data
    if data and abi is not None:
        message += f": {abi.error_text(data)}"
    site.fail(vu, f"evm_{error.kind}", message, error.hint)


class Turn:
    """A step that waits for the chain: counted as in flight, so that a stop gives it its grace.

    Used as `with Turn(vu, clock):`; afterwards the VU's next request is due.
    """

    __slots__ = ("_clock", "_vu", "begun")

    def __init__(self, vu: Vu, clock: Callable[[], float]) -> None:
        self._vu = vu
        self._clock = clock
        self.begun = 0.0

    def __enter__(self) -> Self:
        root = self._vu.root
        if root.halted:
            raise Halted
        root.in_flight += 1
        self.begun = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        root = self._vu.root
        root.in_flight -= 1
        root.yields += 1
        self._vu.ready = self._clock()


def store(site: Site, vu: Vu, name: str | None, value: Any) -> None:
    """Give a name its value, if the step has one for it."""
    if name is not None:
        vu.env[name] = value
        if site.ctx.observer is not None:
            site.ctx.observer.value(site, name, value)


def names_of(*names: str | None) -> frozenset[str]:
    """The names that a step gives values to."""
    return frozenset(name for name in names if name is not None)
