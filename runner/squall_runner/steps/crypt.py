"""`encrypt` and `decrypt`: what users do with their data before they upload it, and after they have got it back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from squall.errors import SquallError
from squall.expr import EvaluationError, compile_template
from squall_runner.evm.signing.encryption import (
    EncryptionError,
    decrypt_with_password,
    decrypt_with_signature,
    encrypt_for,
    encrypt_with_password,
    encrypt_with_signature,
    wallet_signature,
)
from squall_runner.evm.signing.hexes import from_hex
from squall_runner.steps.body import as_bytes
from squall_runner.steps.context import Compiled
from squall_runner.steps.failure import ENCRYPTION, EXPRESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Scope
    from squall.spec.structs import Decrypt, Encrypt, Step
    from squall_runner.engine.vu import Vu
    from squall_runner.steps.context import Site
    from squall_runner.steps.program import Compiler


def compile_encrypt(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile an encrypt step."""
    spec = step.encrypt
    assert spec is not None, "the step is of this kind"
    data = compile_template(spec.data, scope).value
    seal, shown = _sealer(spec, scope), _SHOWN[spec.encoding]
    return _compiled(lambda vu: shown(seal(vu, as_bytes(data(vu.env)))), spec.result, site, compiler)


def compile_decrypt(step: Step, site: Site, scope: Scope, compiler: Compiler) -> Compiled:
    """Compile a decrypt step."""
    spec = step.decrypt
    assert spec is not None, "the step is of this kind"
    data = compile_template(spec.data, scope).value
    unseal = _opener(spec, scope)
    text = spec.encoding == "text"

    def work(vu: Vu) -> bytes | str:
        plain = unseal(vu, _envelope(data(vu.env)))
        try:
            return plain.decode() if text else plain
        except UnicodeDecodeError:
            raise EncryptionError("what was encrypted is no text", "write encoding: bytes") from None

    return _compiled(work, spec.result, site, compiler)


def _compiled(work: Callable[[Vu], Any], result: str, site: Site, compiler: Compiler) -> Compiled:
    """A step that computes one value."""
    observer = compiler.ctx.observer

    async def run(vu: Vu) -> None:
        try:
            value = work(vu)
        except EvaluationError as error:
            site.fail(vu, EXPRESSION, error.message, error.hint)
        except SquallError as error:
            site.fail(vu, ENCRYPTION, error.message, error.hint)
        vu.env[result] = value
        if observer is not None:
            observer.value(site, result, value)

    return Compiled(run, frozenset({result}))


def _sealer(spec: Encrypt, scope: Scope) -> Callable[[Vu, bytes], bytes]:
    if spec.message is not None:
        text = compile_template(spec.message, scope).render
        return lambda vu, data: encrypt_with_signature(data, _signature(vu, text(vu.env)))
    if spec.password is not None:
        password = compile_template(spec.password, scope.with_secrets()).render
        return lambda vu, data: encrypt_with_password(data, password(vu.env))
    key = compile_template(spec.public_key or "", scope).render
    return lambda vu, data: encrypt_for(data, _public_key(key(vu.env)))


def _opener(spec: Decrypt, scope: Scope) -> Callable[[Vu, bytes], bytes]:
    if spec.message is not None:
        text = compile_template(spec.message, scope).render
        return lambda vu, data: decrypt_with_signature(data, _signature(vu, text(vu.env)))
    password = compile_template(spec.password or "", scope.with_secrets()).render
    return lambda vu, data: decrypt_with_password(data, password(vu.env))


def _signature(vu: Vu, text: str) -> bytes:
    wallet = vu.root.wallet
    if wallet is None:
        raise EncryptionError("there is no wallet that could sign", "add evm.wallets with a seed")
    return wallet_signature(wallet.key, text)


def _public_key(text: str) -> bytes:
    try:
        return from_hex(text)
    except ValueError:
        raise EncryptionError(
            "the public key is not hexadecimal", "write 33 or 65 bytes in hexadecimal digits"
        ) from None


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


_SHOWN: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda data: data,
    "base64": lambda data: base64.b64encode(data).decode("ascii"),
    "hex": _hex,
}


def _envelope(value: Any) -> bytes:
    """What was encrypted, in whichever encoding it comes."""
    if isinstance(value, bytes):
        return value
    text = str(value).strip()
    try:
        return from_hex(text) if text[:2] == "0x" else base64.b64decode(text, validate=True)
    except ValueError:
        raise EncryptionError(
            "this is neither bytes nor base64 nor hexadecimal", "give the result of an encrypt step"
        ) from None
