"""`evm`: steps on the chain of a manifest, a module for each group of kinds.

    reading     call, balance, rpc
    sending     transaction, deploy
    waiting     waitReceipt, waitEvent
    signing     sign
    pacing      pace

They are loaded by `squall_runner.steps.extras`, where a manifest has such a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall.expr import ExpressionError
from squall_runner.load import LoadError
from squall_runner.steps.evm import pacing, reading, sending, signing, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Scope
    from squall.spec.structs import EvmStep, Step
    from squall_runner.steps.context import Compiled, Site
    from squall_runner.steps.program import Compiler

_KINDS: Final[dict[str, Callable[[EvmStep, Site, Scope, Compiler], Compiled]]] = {
    "call": reading.compile_call,
    "transaction": sending.compile_transaction,
    "deploy": sending.compile_deploy,
    "wait_receipt": waiting.compile_wait_receipt,
    "wait_event": waiting.compile_wait_event,
    "balance": reading.compile_balance,
    "rpc": reading.compile_rpc,
    "sign": signing.compile_sign,
    "pace": pacing.compile_pace,
}


def compile_evm(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile an evm step.

    Raises:
        LoadError: A contract, a function or a constant argument is wrong.
        ExpressionError: An expression is.
    """
    spec = step.evm
    assert spec is not None, "the step is of this kind"
    kind = next(kind for kind in _KINDS if getattr(spec, kind) is not None)
    try:
        return _KINDS[kind](spec, site, scope, compiler)
    except (LoadError, ExpressionError):
        raise
    except (SquallError, ValueError) as error:
        message = error.message if isinstance(error, SquallError) else str(error)
        hint = error.hint if isinstance(error, SquallError) else ""
        raise LoadError("ManifestInvalid", f"{site.ctx.scenario} / {site.name}: {message}", hint) from error
