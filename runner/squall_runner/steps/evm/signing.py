"""`evm.sign`: what a wallet signs without sending anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall_runner.evm.signing.messages import personal_digest, sign_message, typed_data_digest
from squall_runner.steps.context import Compiled
from squall_runner.steps.evm.common import computed, evaluate, names_of, store, wallet_of

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import EvmStep
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_sign(spec: EvmStep, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a signature."""
    sign = spec.sign
    assert sign is not None, "the step is of this kind"
    ctx = compiler.ctx
    if sign.message is not None:
        digest = computed(sign.message, scope, ctx, _personal)
    else:
        digest = computed(sign.typed_data, scope, ctx, _typed)
    result = sign.result

    async def run(vu: Vu) -> None:
        key = wallet_of(site, vu).key
        store(site, vu, result, sign_message(key, evaluate(site, vu, digest)))

    return Compiled(run, names_of(result))


def _personal(message: Any) -> bytes:
    return personal_digest(message if isinstance(message, bytes) else str(message))


def _typed(data: Any) -> bytes:
    try:
        return typed_data_digest(data["domain"], data["types"], data["message"], data["primaryType"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no typed data (EIP-712): {error}") from error
