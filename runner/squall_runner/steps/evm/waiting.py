"""`evm.waitReceipt` and `evm.waitEvent`: until something is in a block, whoever has caused it.

Nobody polls here: the follower looks at each block once for all who wait. Events are found by the very values that are waited for,
where these are such that a log holds them as they are; all else is looked at when an event of the kind has come.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from squall.expr import EvaluationError, compile_expression
from squall.spec.quantities import seconds, whole
from squall.spec.secrets import shortened
from squall_runner.evm.contracts.abi import AbiError, Event, Function
from squall_runner.evm.following.watching import DATA
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.signing.hexes import from_hex, to_hex
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import checksummed
from squall_runner.steps.context import Compiled
from squall_runner.steps.evm.common import (
    Turn,
    abis_of,
    address_of,
    chain_of,
    computed,
    evaluate,
    names_of,
    refused,
    store,
)
from squall_runner.steps.evm.reading import number_of
from squall_runner.steps.evm.sending import receipt_view
from squall_runner.steps.failure import ARGUMENTS, EVENT, EXPRESSION, REVERTED
from squall_runner.steps.values import compile_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from squall.expr import Env, Scope
    from squall.spec.signatures import Parameter
    from squall.spec.structs import EvmStep, EvmWaitEvent
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.evm.following.heads import Inclusion, LogSeen
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler

_HASH_DIGITS = 66
_DYNAMIC = frozenset({"string", "bytes"})


def compile_wait_receipt(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile waiting for a transaction."""
    step = spec.wait_receipt
    assert step is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    wanted = computed(step.hash, scope, ctx, _hash)
    confirmations = whole(chain.spec.confirmations if step.confirmations is None else step.confirmations)
    timeout, result, allow_revert = seconds(step.timeout), step.result, step.allow_revert
    abis = abis_of(None, chain)

    async def run(vu: Vu) -> None:
        tx_hash = evaluate(site, vu, wanted)
        future = chain.follower.watch(tx_hash, confirmations, late=True)
        message = f"transaction {tx_hash} is in no block after {timeout:g} s"
        if confirmations:
            message += f", or has not {confirmations} on top of it"
        landing: Inclusion = await _await(
            chain, site, vu, "waitReceipt", future, timeout, "evm_timeout", message
        )
        store(site, vu, result, receipt_view(landing, abis) if result else None)
        if landing.status != 1 and not allow_revert:
            site.fail(vu, REVERTED, f"transaction {tx_hash} was reverted")

    return Compiled(run, names_of(result))


def _hash(value: Any) -> str:
    text = str(value).strip().lower()
    if len(text) != _HASH_DIGITS or not text.startswith("0x"):
        raise ValueError(
            f"{shortened(text, 70)!r} is no hash of a transaction, which is 0x and 64 hexadecimal digits"
        )
    return text


def compile_wait_event(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile waiting for an event."""
    step = spec.wait_event
    assert step is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    event = (
        Event.parse(step.event)
        if step.contract is None
        else chain.contracts.abi(step.contract).event(step.event)
    )
    address = address_of(step.address, step.contract, chain.contracts, scope, ctx)
    first = computed(step.from_block, scope, ctx, number_of) if step.from_block is not None else None
    matching = _Matching(step, event, scope)
    timeout, result, extract = seconds(step.timeout), step.result, dict(step.extract or {})
    missing = [name for name in extract.values() if name not in {one.name for one in event.inputs}]
    if missing:
        raise ValueError(f"{event.signature} has no argument {', '.join(missing)}")

    async def run(vu: Vu) -> None:
        where = evaluate(site, vu, address)
        accept, fixed = evaluate(site, vu, matching.of)
        block = evaluate(site, vu, first) if first is not None else None
        begun = chain.clock()
        future = chain.follower.logs(to_hex(where), event.topic, accept, block, fixed)
        message = f"no event {event.name} that fits came from {checksummed(where)} within {timeout:g} s"
        seen: LogSeen = await _await(chain, site, vu, "waitEvent", future, timeout, EVENT, message)
        if ctx.measured:
            site.trend("evm_event_delay", vu, vu.scenario.stage).add(max(0.0, seen.seen - begun))
        view = view_of(event, seen.log, seen.block)
        store(site, vu, result, view)
        for name, argument in extract.items():
            store(site, vu, name, view["args"][argument])

    return Compiled(run, names_of(result, *extract))


async def _await(  # noqa: PLR0917 - two callers
    chain: Chain,
    site: Site,
    vu: Vu,
    kind: str,
    future: Awaitable[Any],
    timeout: float,  # noqa: ASYNC109 - for the step as a whole
    late: str,
    message: str,
) -> Any:
    """Wait for what the follower will tell; the step fails with the class `late` when it does not."""
    error, acted, details = "", site.ctx.acted, dict[str, Any]()
    turn = Turn(vu, chain.clock)
    try:
        with turn:
            async with asyncio.timeout(timeout):
                found = await future
            details["block"] = found.block
            return found
    except TimeoutError:
        error = late
        site.fail(vu, late, message, "raise the step's timeout, or look whether it ever happens")
    except EvaluationError as failure:
        error = EXPRESSION
        site.fail(vu, EXPRESSION, f"condition: {failure.message}", failure.hint)
    except AbiError as failure:
        error = ARGUMENTS
        site.fail(vu, ARGUMENTS, failure.message, failure.hint)
    except RpcError as failure:
        error = f"evm_{failure.kind}"
        refused(site, vu, failure)
    except asyncio.CancelledError:
        acted = None
        raise
    finally:
        if acted is not None and turn.begun:
            acted(site, vu, kind, vu.ready - turn.begun, error, details)


def view_of(event: Event, log: dict[str, Any], block: int) -> dict[str, Any]:
    """What expressions see of an event."""
    return {
        "name": event.name,
        "args": event.decode(log["topics"], log["data"]),
        "address": checksummed(from_hex(log["address"])),
        "block": block,
        "hash": log.get("transactionHash", ""),
    }


class _Matching:
    """Which events of a kind a step waits for: values of its arguments, and a condition.

    Args:
        step: The step.
        event: What kind of event.
        scope: The names that are known.
    """

    def __init__(self, step: EvmWaitEvent, event: Event, scope: Scope) -> None:
        self._event = event
        self._condition = None
        if step.condition is not None:
            self._condition = compile_expression(step.condition, scope.with_names(["event"])).evaluate
        self._fixed: list[tuple[int, Callable[[Env], str]]] = []
        self._rest: list[tuple[str, Callable[[Env], Any]]] = []
        places = _places(event)
        for name, value in (step.where or {}).items():
            make = compile_value(value, scope)
            found = places.get(name)
            if found is None:
                if name not in {one.name for one in event.inputs}:
                    raise ValueError(f"{event.signature} has no argument {name}")
                self._rest.append((name, make))
            else:
                place, word = found
                self._fixed.append((place, lambda env, make=make, word=word: word(make(env))))  # type: ignore[misc]

    def of(self, env: Env) -> tuple[Callable[[dict[str, Any]], bool] | None, dict[int, str]]:
        """What an iteration waits for: what accepts a log, if it has to be looked at, and values that it holds as they are."""
        fixed = {place: word(env) for place, word in self._fixed}
        wanted = [(name, make(env)) for name, make in self._rest]
        if not wanted and self._condition is None:
            return None, fixed
        event, condition = self._event, self._condition

        def accept(log: dict[str, Any]) -> bool:
            view = view_of(event, log, int(log["blockNumber"], 16))
            if any(not _same(view["args"][name], value) for name, value in wanted):
                return False
            return condition is None or bool(condition({**env, "event": view}, None))

        return accept, fixed


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, str) and isinstance(wanted, str):
        return found.lower() == wanted.lower() if found.startswith("0x") else found == wanted
    return bool(found == wanted)


def _places(event: Event) -> dict[str, tuple[int, Callable[[Any], str]]]:
    """For each argument that a log holds as it is, or as its hash: where, and what makes the 32 bytes there."""
    places: dict[str, tuple[int, Callable[[Any], str]]] = {}
    topic, word, straight = 0, DATA, True
    for parameter in event.inputs:
        plain = not parameter.type.sizes and parameter.type.base != "tuple"
        if parameter.indexed:
            topic += 1
            if plain:
                places[parameter.name] = (topic, _word(parameter))
            continue
        if plain and straight and parameter.type.base not in _DYNAMIC:
            places[parameter.name] = (word, _word(parameter))
        # Behind a tuple or an array of a fixed length, places would have to be counted.
        straight = straight and plain
        word += 1
    return places


def _word(parameter: Parameter) -> Callable[[Any], str]:
    kind = parameter.type
    if kind.base in _DYNAMIC:
        return lambda value: to_hex(keccak256(value.encode() if kind.base == "string" else from_hex(value)))
    encoder = Function.parse(f"function f({kind.canonical} {parameter.name or 'value'})")
    return lambda value: to_hex(encoder.encode([value])[4:])
