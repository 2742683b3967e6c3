"""Contracts' interfaces: calldata of functions, their results, events in logs, and why something reverted.

eth-abi encodes and decodes; what stands here finds the function that is meant, checks values with messages that people can act on
(`abivalues`), and keeps a codec for each function. eth-abi takes a tenth of a second and 29 MB to import, so that is done when the first
function or event is asked for: while a run is prepared, not when it starts, nor when its first transaction is due.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from squall_runner.evm.contracts import abivalues, artifacts
from squall_runner.evm.contracts.reverts import standard_text
from squall_runner.evm.contracts.signatures import (
    AbiError,
    Declaration,
    Parameter,
    Type,
    from_json,
    from_text,
)
from squall_runner.evm.signing.hexes import from_hex, to_hex
from squall_runner.evm.signing.keccak import keccak256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Abi", "AbiError", "Event", "Function"]

_WORD = Type("bytes32")


class Function:
    """A function that can be called, a constructor, or an error; its codec is made once.

    Attributes:
        signature: As it is hashed, `f(address,uint256)`.
        selector: The first four bytes of calldata; none of a constructor.
        payable: Whether it takes native tokens; True where nobody said that it does not.
        constant: Whether it only reads (`view` or `pure`).
        inputs: Its parameters.
        outputs: Its results.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.name = declaration.name or "constructor"
        self.signature = declaration.signature
        self.selector = b"" if declaration.kind == "constructor" else keccak256(self.signature.encode())[:4]
        self.payable = declaration.mutability in ("payable", "")
        self.constant = declaration.mutability in ("view", "pure")
        self.inputs = declaration.inputs
        self.outputs = declaration.outputs
        self._convert = abivalues.taken(self.inputs, self.name)
        self._encode = _encoder(self.inputs)
        self._results = _Values(self.outputs)
        self._arguments = _Values(self.inputs)

    @classmethod
    def parse(cls, signature: str) -> Function:
        """A function from its human-readable signature. Raises AbiError when it is none."""
        return cls(_declared(signature, "function"))

    def encode(self, args: Sequence[Any] | Mapping[str, Any] = ()) -> bytes:
        """Calldata: the selector and the encoded arguments.

        Args:
            args: In order, or by name. Numbers may be texts (decimal or `0x`), bytes are `0x` texts or Python's, tuples are lists or
                mappings by name.

        Raises:
            AbiError: An argument does not fit; the message names it and its type.
        """
        return self.selector + self._encode(self._convert(args))

    def decode(self, data: bytes) -> list[Any]:
        """The results of a call, in order, as JSON can hold them: bytes are `0x` texts, addresses have the capitals of EIP-55.

        Raises:
            AbiError: `data` are no such results, as when the address holds no contract.
        """
        if not data and self.outputs:
            raise AbiError(
                f"{self.name} gave no result",
                "there is no contract at this address, or it has no such function",
            )
        return self._results.decode(data, f"the result of {self.name}")

    def decode_arguments(self, data: bytes) -> dict[str, Any]:
        """The arguments by name, of calldata with the selector of this function (or the data of this error).

        Raises:
            AbiError: It is of another one, or too short.
        """
        if data[: len(self.selector)] != self.selector:
            raise AbiError(f"calldata begins with {to_hex(data[:4])}, which is not {self.signature}")
        return abivalues.named(
            self.inputs, self._arguments.decode(data[len(self.selector) :], f"calldata of {self.name}")
        )

    def __repr__(self) -> str:
        return f"Function({self.signature})"


class Event:
    """An event that a contract writes into the chain's logs.

    Attributes:
        signature: As it is hashed, `E(address,uint256)`.
        topic: The first topic of its logs, `0x` and 64 digits.
    """

    def __init__(self, declaration: Declaration) -> None:
        if declaration.anonymous:
            raise AbiError(
                f"event {declaration.name} is anonymous",
                "its logs have no topic by which they could be found",
            )
        self.name = declaration.name
        self.signature = declaration.signature
        self.topic = to_hex(keccak256(self.signature.encode()))
        self.inputs = declaration.inputs
        self._indexed = _Values([_as_topic(one) for one in self.inputs if one.indexed])
        self._plain = _Values([one for one in self.inputs if not one.indexed])

    @classmethod
    def parse(cls, signature: str) -> Event:
        """An event from its human-readable signature, `event E(...)`. Raises AbiError when it is none."""
        return cls(_declared(signature, "event"))

    def decode(self, topics: Sequence[str], data: str | bytes) -> dict[str, Any]:
        """Values by name, in the event's order; those without one by their position, `0` for the first.

        Of an indexed text, byte string, array or tuple a log holds only the hash, and so does the result.

        Args:
            topics: Of the log, the event's own first.
            data: Of the log.

        Raises:
            AbiError: The log is not one of this event.
        """
        if not topics or topics[0].lower() != self.topic or len(topics) != 1 + len(self._indexed):
            raise AbiError(
                f"a log with {len(topics)} topics is not one of {self.signature}",
                f"its topic is {self.topic}, and {len(self._indexed)} values are indexed",
            )
        where = f"a log of {self.name}"
        indexed = iter(self._indexed.decode(b"".join(map(from_hex, topics[1:])), where))
        plain = iter(self._plain.decode(from_hex(data) if isinstance(data, str) else data, where))
        return abivalues.named(self.inputs, [next(indexed if one.indexed else plain) for one in self.inputs])

    def __repr__(self) -> str:
        return f"Event({self.signature})"


class Abi:
    """The interface of a contract, as far as it is known.

    Attributes:
        bytecode: What deploys the contract, where the interface came with it; else None.
    """

    def __init__(self, declarations: Iterable[Declaration], bytecode: bytes | None = None) -> None:
        self._declarations = tuple(declarations)
        self.bytecode = bytecode
        self._errors: dict[bytes, Function] | None = None
        self._events: dict[str, list[Event]] | None = None

    @classmethod
    def parse(cls, source: str | Sequence[Any] | Mapping[str, Any]) -> Abi:
        """An interface from what people have.

        Args:
            source: JSON as compilers write it (the list, or an artifact with `abi` and bytecode), as text or parsed; or human-readable
                signatures, as a list or as lines of a text.

        Raises:
            AbiError: It is neither.
        """
        entries, bytecode = artifacts.read(source)
        declarations = [declaration for declaration in map(from_json, entries) if declaration is not None]
        return cls(declarations, bytecode)

    def function(self, name: str) -> Function:
        """The function of that name, or of that signature where several have the name.

        Raises:
            AbiError: There is none, or several.
        """
        return Function(self._find("function", name))

    def event(self, name: str) -> Event:
        """The event of that name or signature. Raises AbiError like `function`."""
        return Event(self._find("event", name))

    @property
    def constructor(self) -> Function:
        """The constructor; a contract that declares none has one without parameters."""
        found = [declaration for declaration in self._declarations if declaration.kind == "constructor"]
        return Function(found[0] if found else Declaration("constructor", "", (), (), "nonpayable"))

    def error_text(self, revert_data: bytes) -> str:
        """Why a call reverted, in one line, from the data that it reverted with."""
        if self._errors is None:
            found = [
                Function(declaration) for declaration in self._declarations if declaration.kind == "error"
            ]
            self._errors = {error.selector: error for error in found}
        error = self._errors.get(revert_data[:4])
        if error is None:
            return standard_text(revert_data)
        try:
            arguments = error.decode_arguments(revert_data)
        except AbiError:
            return f"{error.name} with arguments that are not {error.signature}"
        return (
            f"{error.name}({', '.join(f'{name}={json.dumps(value)}' for name, value in arguments.items())})"
        )

    def log(self, topics: Sequence[str], data: str | bytes) -> tuple[str, dict[str, Any]] | None:
        """Name and values of the event that a log tells of; None where the interface does not know it."""
        if self._events is None:
            self._events = {}
            for declaration in self._declarations:
                if declaration.kind == "event" and not declaration.anonymous:
                    event = Event(declaration)
                    self._events.setdefault(event.topic, []).append(event)
        for event in self._events.get(topics[0].lower(), ()) if topics else ():
            with suppress(AbiError):  # the same signature may index other values
                return event.name, event.decode(topics, data)
        return None

    def _find(self, kind: str, name: str) -> Declaration:
        known = [declaration for declaration in self._declarations if declaration.kind == kind]
        if "(" in name:
            wanted = from_text(name).signature
            found = [declaration for declaration in known if declaration.signature == wanted]
        else:
            found = [declaration for declaration in known if declaration.name == name]
        if len(found) == 1:
            return found[0]
        signatures = ", ".join(declaration.signature for declaration in found or known) or "none"
        if found:
            raise AbiError(
                f"the ABI has several {kind}s {name!r}", f"write the signature of one: {signatures}"
            )
        raise AbiError(f"the ABI has no {kind} {name!r}", f"it has {signatures}")


class _Values:
    """Decodes values of some parameters."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._types = f"({','.join(parameter.type.canonical for parameter in parameters)})"
        self._size = len(parameters)
        self._decode = _decoder(parameters)
        self._given = abivalues.given(parameters)

    def __len__(self) -> int:
        return self._size

    def decode(self, data: bytes, what: str) -> list[Any]:
        """The values, as JSON can hold them; raises AbiError where `data` do not hold them."""
        try:
            return self._given(self._decode(data))
        except (_decoding_error(), ValueError, OverflowError) as error:
            raise AbiError(f"{what} is not {self._types}, in {len(data)} bytes: {error}".rstrip()) from error


def _declared(signature: str, kind: str) -> Declaration:
    declaration = from_text(signature)
    if declaration.kind != kind:
        raise AbiError(
            f"{signature!r:.200} is the signature of a {declaration.kind}",
            f"write {kind} {declaration.signature}",
        )
    return declaration


def _as_topic(parameter: Parameter) -> Parameter:
    """An indexed value as a topic holds it: itself where it fits, else its hash."""
    kind = parameter.type
    fits = not kind.sizes and kind.base not in ("tuple", "string", "bytes")
    return parameter if fits else Parameter(parameter.name, _WORD)


def _encoder(parameters: Sequence[Parameter]) -> Callable[[tuple[Any, ...]], bytes]:
    from eth_abi.registry import registry  # noqa: PLC0415 - see the module's docstring

    encode: Callable[[tuple[Any, ...]], bytes] = registry.get_tuple_encoder(
        *[one.type.canonical for one in parameters]
    )
    return encode


def _decoder(parameters: Sequence[Parameter]) -> Callable[[bytes], tuple[Any, ...]]:
    from eth_abi.registry import registry  # noqa: PLC0415

    # As lenient as Solidity's own decoder: contracts written in assembly do not always pad.
    decode = registry.get_tuple_decoder(*[one.type.canonical for one in parameters], strict=False)
    stream = _stream_class()
    return lambda data: tuple(decode(stream(data)))


@cache
def _stream_class() -> Callable[[bytes], Any]:
    from eth_abi.decoding import ContextFramesBytesIO  # noqa: PLC0415

    return ContextFramesBytesIO


@cache
def _decoding_error() -> type[Exception]:
    from eth_abi.exceptions import DecodingError  # noqa: PLC0415

    return DecodingError
