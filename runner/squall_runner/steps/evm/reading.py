"""`evm.call`, `evm.balance`, `evm.rpc`: asking the chain, without a transaction."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from squall.spec.secrets import shortened
from squall_runner.evm.contracts.abi import AbiError, Function
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.signing.hexes import from_hex, from_quantity, quantity, to_hex
from squall_runner.steps.context import Compiled
from squall_runner.steps.evm.common import (
    Turn,
    address_of,
    as_address,
    chain_of,
    computed,
    evaluate,
    names_of,
    refused,
    store,
    wallet_of,
)
from squall_runner.steps.failure import ARGUMENTS
from squall_runner.steps.values import compile_value

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import EvmStep
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler

_TAGS = frozenset({"latest", "pending", "safe", "finalized", "earliest"})


def compile_call(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a call."""
    call = spec.call
    assert call is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    abi = chain.contracts.abi(call.contract) if call.contract is not None else None
    function = Function.parse(call.function) if abi is None else abi.function(call.function)
    to = address_of(call.to, call.contract, chain.contracts, scope, ctx)
    data = computed(call.args or [], scope.with_secrets(), ctx, lambda args: to_hex(function.encode(args)))
    block = computed(call.block, scope, ctx, block_of)
    result, single = call.result, len(function.outputs) == 1

    async def run(vu: Vu) -> None:
        where, what, at = evaluate(site, vu, to), evaluate(site, vu, data), evaluate(site, vu, block)
        answer = await ask(
            chain,
            site,
            vu,
            "call",
            "eth_call",
            [{"to": to_hex(where), "data": what}, at],
            function=function.name,
            abi=abi,
        )
        try:
            values = function.decode(from_hex(answer))
        except (AbiError, ValueError, TypeError) as error:
            site.fail(vu, ARGUMENTS, str(error), getattr(error, "hint", ""))
        store(site, vu, result, values[0] if single else values)

    return Compiled(run, names_of(result))


def compile_balance(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a question for a balance."""
    balance = spec.balance
    assert balance is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    of = computed(balance.of, scope, ctx, as_address) if balance.of is not None else None
    result = balance.result

    async def run(vu: Vu) -> None:
        address = wallet_of(site, vu).address if of is None else to_hex(evaluate(site, vu, of))
        answer = await ask(chain, site, vu, "balance", "eth_getBalance", [address, "latest"])
        store(site, vu, result, _number(site, vu, answer))

    return Compiled(run, names_of(result))


def compile_rpc(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a call of any method."""
    rpc = spec.rpc
    assert rpc is not None, "the step is of this kind"
    chain = chain_of(compiler.ctx)
    params = [compile_value(param, scope.with_secrets()) for param in rpc.params]
    method, result = rpc.method, rpc.result

    async def run(vu: Vu) -> None:
        given = evaluate(site, vu, lambda env: [_as_json(make(env)) for make in params])
        # A raw transaction is the same however often it comes; of other methods of a node nobody knows.
        harmless = method.startswith(("eth_get", "eth_call", "eth_estimate", "eth_send", "net_", "web3_"))
        store(site, vu, result, await ask(chain, site, vu, "rpc", method, given, idempotent=harmless))

    return Compiled(run, names_of(result))


def _as_json(value: Any) -> Any:
    """Bytes as nodes want them, wherever they stand in it."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list) else value


async def ask(  # noqa: PLR0917 - three callers, who have all of it at hand
    chain: Chain,
    site: Site,
    vu: Vu,
    kind: str,
    method: str,
    params: list[Any],
    *,
    function: str = "",
    abi: Any = None,
    idempotent: bool = True,
) -> Any:
    """Call a method of the node for a step; the step fails where that fails.

    Args:
        chain: Of the manifest.
        site: The step.
        vu: Who asks.
        kind: Of the step, for who watches.
        method: What is called.
        params: With what.
        function: The contract's, for who watches.
        abi: Knows the errors of the contract.
        idempotent: Whether calling twice is as good as once.
    """
    error = ""
    turn = Turn(vu, chain.clock)
    acted = site.ctx.acted
    try:
        with turn:
            sticky = vu.root.wallet.address if vu.root.wallet is not None else ""
            return await chain.gate.call(method, params, sticky=sticky, idempotent=idempotent)
    except RpcError as failure:
        error = f"evm_{failure.kind}"
        refused(site, vu, failure, abi)
    except asyncio.CancelledError:
        acted = None
        raise
    finally:
        if acted is not None and turn.begun:
            acted(site, vu, kind, vu.ready - turn.begun, error, {"method": method, "function": function})


def _number(site: Site, vu: Vu, answer: Any) -> int:
    try:
        return from_quantity(answer)
    except (ValueError, TypeError):
        site.fail(vu, ARGUMENTS, f"the node answered with {shortened(str(answer), 60)!r}, which is no number")


def block_of(value: Any) -> str:
    """A block as JSON-RPC names it.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and value in _TAGS:
        return value
    return quantity(number_of(value))


def number_of(value: Any) -> int:
    """The number of a block.

    Raises:
        ValueError: It is none.
    """
    try:
        number = int(value, 0) if isinstance(value, str) else int(value)
    except (ValueError, TypeError):
        number = -1
    if number < 0:
        raise ValueError(f"{shortened(str(value), 60)!r} is no block; write latest or a number")
    return number
