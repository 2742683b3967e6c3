"""Kinds of steps whose packages not every runner has: they are loaded when a manifest has such a step, and not before.

A runner for HTTP alone starts without them, in less time and with a smaller image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall_runner.load import LoadError

if TYPE_CHECKING:
    from squall.expr import Scope
    from squall.spec.structs import Step
    from squall_runner.steps.context import Compiled, Site
    from squall_runner.steps.program import Compiler


def missing(error: ImportError, what: str) -> LoadError:
    """What to tell when a package is not there."""
    message = f"{what} needs packages that this runner does not have: {error}"
    hint = "use the image squall-runner-evm for runner pods, and on a machine `pip install 'squall[evm]'`"
    return LoadError("ExtraMissing", message, hint)


def compile_evm(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a step on a chain; raises LoadError where that cannot be done here."""
    try:
        from squall_runner.steps.evm import compile_evm as compile_it  # noqa: PLC0415 - see the module
    except ImportError as error:
        raise missing(error, "an evm step") from error
    return compile_it(step, site, scope, compiler)


def compile_encrypt(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile an encrypt step; raises likewise."""
    try:
        from squall_runner.steps.crypt import compile_encrypt as compile_it  # noqa: PLC0415
    except ImportError as error:
        raise missing(error, "an encrypt step") from error
    return compile_it(step, site, scope, compiler)


def compile_decrypt(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a decrypt step; raises likewise."""
    try:
        from squall_runner.steps.crypt import compile_decrypt as compile_it  # noqa: PLC0415
    except ImportError as error:
        raise missing(error, "a decrypt step") from error
    return compile_it(step, site, scope, compiler)


def compile_generate(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a generate step. It needs no package, and is loaded with those beside which it stands."""
    from squall_runner.steps.generate import compile_generate as compile_it  # noqa: PLC0415

    return compile_it(step, site, scope, compiler)
