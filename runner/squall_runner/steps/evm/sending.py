"""`evm.transaction` and `evm.deploy`: what a VU's wallet sends, and what came of it.

What is the same for all iterations is encoded once; a step whose arguments are constants only takes a nonce and signs. The wallet's account
does the rest: nonces, fees, being sent again.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from squall.spec.amounts import amount_wei
from squall.spec.interfaces import parse_bytecode
from squall.spec.quantities import seconds, whole
from squall.spec.secrets import shortened
from squall_runner.evm.contracts.abi import Function
from squall_runner.evm.meters import TxMeters
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.sending.fees import fee_policy
from squall_runner.evm.sending.gas import GasLimit
from squall_runner.evm.sending.outgoing import SILENT, Call, SendError, Terms
from squall_runner.evm.signing.hexes import from_hex, quantity, to_hex
from squall_runner.evm.signing.keys import checksummed
from squall_runner.steps.context import Compiled
from squall_runner.steps.evm.common import (
    Turn,
    abis_of,
    address_of,
    chain_of,
    computed,
    evaluate,
    is_constant,
    names_of,
    place_of,
    refused,
    store,
    wallet_of,
)
from squall_runner.steps.failure import REVERTED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from squall.expr import Env, Scope
    from squall.spec.structs import EvmDeploy, EvmStep, EvmTransaction
    from squall_runner.engine.vu import Vu
    from squall_runner.evm.chain import Chain
    from squall_runner.evm.contracts.abi import Abi
    from squall_runner.evm.following.heads import Inclusion
    from squall_runner.evm.sending.outgoing import Sent, Sink
    from squall_runner.steps.context import Context, Site
    from squall_runner.steps.program import Compiler

_REASONS: Final = 3
"""For so many transactions of a step that were reverted, the node is asked why; each question costs as much as the transaction."""


def compile_transaction(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a transaction."""
    step = spec.transaction
    assert step is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    to = address_of(step.to, step.contract, chain.contracts, scope, ctx)
    data = _calldata(step, chain, scope, ctx)
    value = computed(step.value, scope, ctx, amount_wei)
    name = f"{step.contract}.{(step.function or '').partition('(')[0]}" if step.function else ""
    sender = _Sender(
        site,
        chain,
        terms=_terms(step, name, chain, site),
        wait=step.wait,
        timeout=seconds(step.timeout),
        allow_revert=step.allow_revert,
        abis=abis_of(step.contract, chain),
        result=step.result,
        kind="transaction",
    )

    async def run(vu: Vu) -> None:
        call = Call(evaluate(site, vu, to), evaluate(site, vu, data), evaluate(site, vu, value))
        await sender.send(vu, call)

    written = [place_of(step.to, step.contract, chain.contracts), step.args, step.data, step.value]
    if all(is_constant(each, scope.with_secrets()) for each in written):
        always = Call(to(ctx.constants), data(ctx.constants), value(ctx.constants))
        if ctx.measured:
            chain.presign(always, sender.terms)

        async def run_always(vu: Vu) -> None:
            await sender.send(vu, always)

        return Compiled(run_always, names_of(step.result))
    return Compiled(run, names_of(step.result))


def compile_deploy(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a deployment."""
    step = spec.deploy
    assert step is not None, "the step is of this kind"
    ctx = compiler.ctx
    chain = chain_of(ctx)
    abi = chain.contracts.abi(step.contract)
    code = parse_bytecode(step.bytecode) if step.bytecode else abi.bytecode
    if not code:
        raise ValueError(
            f"nothing says what the bytecode of {step.contract} is; write `bytecode`, or a compiler's file as `abi`"
        )
    constructor = abi.constructor
    data = computed(step.args or [], scope.with_secrets(), ctx, lambda args: code + constructor.encode(args))
    value = computed(step.value, scope, ctx, amount_wei)
    sender = _Sender(
        site,
        chain,
        terms=_terms(step, f"{step.contract}.constructor", chain, site),
        wait="included",
        timeout=seconds(step.timeout),
        allow_revert=False,
        abis=(abi,),
        result=step.result,
        kind="deploy",
    )

    async def run(vu: Vu) -> None:
        await sender.send(vu, Call(None, evaluate(site, vu, data), evaluate(site, vu, value)))

    return Compiled(run, names_of(step.result))


def _calldata(step: EvmTransaction, chain: Chain, scope: Scope, ctx: Context) -> Callable[[Env], bytes]:
    if step.function is None:
        return computed(step.data or "0x", scope, ctx, _bytes)
    if step.contract is None:
        function = Function.parse(step.function)
    else:
        function = chain.contracts.abi(step.contract).function(step.function)
    return computed(step.args or [], scope.with_secrets(), ctx, function.encode)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return from_hex(str(value).strip())
    except ValueError:
        raise ValueError(
            f"{shortened(str(value), 60)!r} is no data; write 0x and hexadecimal digits"
        ) from None


def _terms(step: EvmTransaction | EvmDeploy, name: str, chain: Chain, site: Site) -> Terms:
    gas = step.gas or chain.spec.gas
    chance = random.Random(f"{site.ctx.scenario}/{site.place}")  # noqa: S311 - pauses are no secret
    return Terms(GasLimit(gas, name, chance), fee_policy(step.fees or chain.spec.fees))


class _Sender:
    """Sends the transactions of one step.

    Attributes:
        terms: How they are paid for.
    """

    def __init__(
        self,
        site: Site,
        chain: Chain,
        *,
        terms: Terms,
        wait: str,
        timeout: float,
        allow_revert: bool,
        abis: Sequence[Abi],
        result: str | None,
        kind: str,
    ) -> None:
        self._site = site
        self._chain = chain
        self.terms = terms
        self._wait = wait
        self._timeout = timeout
        self._allow_revert = allow_revert
        self._abis = abis
        self._result = result
        self._kind = kind
        self._confirmations = whole(chain.spec.confirmations)
        self._sinks: dict[str, TxMeters] = {}
        self._asked = 0

    def _sink(self, vu: Vu) -> Sink:
        site = self._site
        if not site.ctx.measured:
            return SILENT
        stage = vu.scenario.stage
        sink = self._sinks.get(stage)
        if sink is None:
            tags = site.tagged(vu.env, stage=stage)
            sink = TxMeters(site.ctx.recorder, tags, allow_revert=self._allow_revert, wall=self._chain.wall)
            if not site.own:
                self._sinks[stage] = sink
        return sink

    async def send(self, vu: Vu, call: Call) -> None:
        """Send one, wait as far as the step wants, and give its result a name."""
        site, chain = self._site, self._chain
        wallet = wallet_of(site, vu)
        turn, sink = Turn(vu, chain.clock), self._sink(vu)
        sent: Sent | None = None
        landing: Inclusion | None = None
        error, acted = "", site.ctx.acted
        try:
            with turn:
                sent = await wallet.account.send(call, self.terms, timeout=self._timeout, sink=sink)
                vu.root.end_turn()
                if chain.counting:
                    chain.busy(vu, sent)
                if self._wait != "accepted":
                    landing = await sent.included()
                    if landing.status != 1:
                        error = "" if self._allow_revert else REVERTED
                    elif self._wait == "confirmed":
                        landing = await sent.confirmed(self._confirmations)
                reason = await self._reason(wallet.address, call, landing) if error else ""
        except SendError as failure:
            error = f"evm_{failure.kind}"
            refused(site, vu, failure)
        except asyncio.CancelledError:
            acted = None
            raise
        finally:
            if acted is not None and turn.begun:
                details = _shown(sent, landing) | {"wallet": wallet.address}
                acted(site, vu, self._kind, vu.ready - turn.begun, error, details)
        if self._result is not None:
            store(site, vu, self._result, self._outcome(sent, landing))
        if error:
            assert landing is not None, "it was reverted in a block"
            gas = f"gas used {landing.gas_used:,} of {sent.gas:,}"
            site.fail(
                vu, error, f"transaction {landing.hash} was reverted: {reason or 'no reason given'} ({gas})"
            )

    async def _reason(self, sender: str, call: Call, landing: Inclusion | None) -> str:
        """Why it was reverted, as the node tells when it is asked to do the same again; empty when nobody knows."""
        if landing is None or self._asked >= _REASONS:
            return ""
        self._asked += 1
        again = {"from": sender, "data": to_hex(call.data), "value": quantity(call.value)}
        if call.to is not None:
            again["to"] = to_hex(call.to)
        try:
            await self._chain.gate.call("eth_call", [again, quantity(landing.block)])
        except RpcError as error:
            data = error.revert_data
            return next((abi.error_text(data) for abi in self._abis if data), error.said)
        return ""

    def _outcome(self, sent: Sent, landing: Inclusion | None) -> dict[str, Any]:
        outcome: dict[str, Any] = {"hash": sent.hash, "nonce": sent.nonce}
        if landing is not None:
            outcome |= receipt_view(landing, self._abis)
            if landing.contract:
                outcome["address"] = checksummed(from_hex(landing.contract))
        return outcome


def receipt_view(landing: Inclusion, abis: Sequence[Abi]) -> dict[str, Any]:
    """What expressions see of a transaction in a block."""
    return {
        "hash": landing.hash,
        "block": landing.block,
        "status": landing.status,
        "gasUsed": landing.gas_used,
        "fee": landing.gas_used * landing.gas_price,
        "events": [view for log in landing.logs if (view := event_view(log, abis)) is not None],
    }


def event_view(log: dict[str, Any], abis: Sequence[Abi]) -> dict[str, Any] | None:
    """Name, arguments and contract of an event; None where no ABI knows it."""
    for abi in abis:
        found = abi.log(log["topics"], log["data"])
        if found is not None:
            name, args = found
            return {"name": name, "args": args, "address": checksummed(from_hex(log["address"]))}
    return None


def _shown(sent: Sent | None, landing: Inclusion | None) -> dict[str, Any]:
    """What who watches is shown."""
    if sent is None:
        return {}
    shown: dict[str, Any] = {"hash": sent.hash, "nonce": sent.nonce}
    if landing is not None:
        shown |= {"block": landing.block, "status": landing.status, "gas": landing.gas_used}
    return shown
