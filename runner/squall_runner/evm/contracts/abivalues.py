"""Values on their way into calldata and out of it.

Manifests give what YAML and expressions have (texts, numbers, lists, mappings), the codec wants exact Python types, and a scenario
wants back what JSON can hold. Each type is compiled once into a function that checks and converts; a value that does not fit is
named with its path, such as `permissions[0].grantee`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from squall.spec.secrets import shortened
from squall.spec.signatures import AbiError
from squall_runner.evm.signing.hexes import from_hex, to_hex
from squall_runner.evm.signing.keys import checksummed, mistyped

if TYPE_CHECKING:
    from squall.spec.signatures import Parameter, Type

Taken: TypeAlias = Callable[[Any, str], Any]
"""Checks and converts a value; the text is its path for messages."""
Given: TypeAlias = Callable[[Any], Any]
_NUMBER = re.compile(r"-?(?:[0-9]+|0[xX][0-9a-fA-F]+)")
_SHOWN: Final = 80


def taken(parameters: Sequence[Parameter], what: str) -> Callable[[Any], tuple[Any, ...]]:
    """What converts arguments, by position (a list) or by name (a mapping), for the codec.

    Args:
        parameters: What is wanted.
        what: Whose arguments they are, for messages.
    """
    return _fields(parameters, what, "argument")


def given(parameters: Sequence[Parameter]) -> Callable[[Sequence[Any]], list[Any]]:
    """What converts decoded values into what JSON can hold, in their order."""
    converters = [_plain(parameter.type) for parameter in parameters]
    return lambda values: [convert(value) for convert, value in zip(converters, values, strict=True)]


def named(parameters: Sequence[Parameter], values: Sequence[Any]) -> dict[str, Any]:
    """Values by their names; what has none goes by its position, `0` for the first."""
    return {
        parameter.name or str(position): value
        for position, (parameter, value) in enumerate(zip(parameters, values, strict=True))
    }


def address_bytes(text: Any, path: str = "the address") -> bytes:
    """The 20 bytes of an address.

    Raises:
        AbiError: It is none, or its capitals show a typing error (EIP-55).
    """
    if isinstance(text, bytes) and len(text) == 20:
        return text
    try:
        data = from_hex(text) if isinstance(text, str) and text[:2] == "0x" else b""
    except ValueError:
        data = b""
    if len(data) != 20:
        raise _wrong(path, "address", text, "write 0x and 40 hexadecimal digits")
    if mistyped(text, data):
        raise _wrong(
            path,
            "address",
            text,
            f"its capitals do not match: a digit is mistyped, or write it as {text.lower()}",
        )
    return data


def convert(base: str, value: Any, path: str) -> Any:
    """Check and convert one value of an elementary type; raises AbiError when it does not fit."""
    return _elementary(base)(value, path)


def _wrong(path: str, kind: str, value: Any, hint: str) -> AbiError:
    shown = shortened(repr(value), _SHOWN)
    return AbiError(f"{path} {kind if kind[0] == '(' else f'({kind})'} is {shown}", hint)


def _taken(kind: Type) -> Taken:
    if kind.sizes:
        return _array(kind)
    if kind.base == "tuple":
        return _tuple(kind)
    return _elementary(kind.base)


@cache
def _elementary(base: str) -> Taken:
    plain: dict[str, Taken] = {"address": address_bytes, "bool": _bool, "string": _string}
    if base == "function":
        base = "bytes24"  # an address and a selector
    return plain.get(base) or (_bytes if base.startswith("bytes") else _integer)(base)


def _tuple(kind: Type) -> Taken:
    names = [component.name for component in kind.components]
    converters = [_taken(component.type) for component in kind.components]
    labels = [name or str(position) for position, name in enumerate(names)]

    def convert(value: Any, path: str) -> Any:
        items = _ordered(value, names, path, kind.canonical)
        return tuple(
            [one(item, f"{path}.{label}") for one, item, label in zip(converters, items, labels, strict=True)]
        )

    return convert


def _fields(parameters: Sequence[Parameter], what: str, word: str) -> Callable[[Any], tuple[Any, ...]]:
    names = [parameter.name for parameter in parameters]
    paths = [f"{what}: {word} {parameter.name or position}" for position, parameter in enumerate(parameters)]
    converters = [_taken(parameter.type) for parameter in parameters]
    kind = (
        f"({', '.join(f'{parameter.type.canonical} {parameter.name}'.rstrip() for parameter in parameters)})"
    )

    def convert(values: Any) -> tuple[Any, ...]:
        items = _ordered(values, names, f"{what}: args", kind)
        return tuple([one(item, path) for one, item, path in zip(converters, items, paths, strict=True)])

    return convert


def _ordered(value: Any, names: Sequence[str], path: str, kind: str) -> Sequence[Any]:
    """The members of a tuple in their order, from a list or a mapping."""
    if isinstance(value, Mapping):
        missing = [name or str(position) for position, name in enumerate(names) if name not in value]
        unknown = [str(name) for name in value if name not in names]
        if missing or unknown:
            found = (["has no " + ", ".join(missing)] if missing else []) + (
                ["has an unknown " + ", ".join(unknown)] if unknown else []
            )
            raise AbiError(f"{path} {kind} {' and '.join(found)}", "its names are " + _names(names))
        return [value[name] for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise AbiError(
                f"{path} {kind} has {len(value)} values", f"give {len(names)}, in this order: {_names(names)}"
            )
        return value
    raise _wrong(
        path, kind, value, f"write a list of {len(names)} values, or a mapping by name: {_names(names)}"
    )


def _names(names: Sequence[str]) -> str:
    return (
        ", ".join(name or f"(no name, position {position})" for position, name in enumerate(names)) or "none"
    )


def _array(kind: Type) -> Taken:
    size = kind.sizes[-1]
    one = _taken(kind.element)
    canonical = kind.canonical

    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)):
            raise _wrong(path, canonical, value, "write a list")
        if size is not None and len(value) != size:
            raise _wrong(path, canonical, value, f"write a list of {size} values, not {len(value)}")
        return [one(item, f"{path}[{position}]") for position, item in enumerate(value)]

    return convert


def _bool(value: Any, path: str) -> bool:
    if value is True or value == "true":
        return True
    if value is False or value == "false":
        return False
    raise _wrong(path, "bool", value, "write true or false")


def _string(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    raise _wrong(path, "string", value, "write a text, in quotes where YAML would read something else")


def _bytes(base: str) -> Taken:
    size = int(base[5:]) if base != "bytes" else None
    wanted = (
        f"0x and {size * 2} hexadecimal digits" if size else "0x and two hexadecimal digits for each byte"
    )

    def convert(value: Any, path: str) -> bytes:
        if isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        else:
            try:
                data = from_hex(value if value[:2] == "0x" else "?")
            except (TypeError, ValueError):
                raise _wrong(path, base, value, "write " + wanted) from None
        if size is not None and len(data) != size:
            raise _wrong(
                path,
                base,
                value,
                f"it has {len(data)} bytes; write {wanted}, filled up with zeros at its end",
            )
        return data

    return convert


def _integer(base: str) -> Taken:
    signed = base[0] == "i"
    bits = int(base[3:] if signed else base[4:])
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    power = f"2^{bits - signed} - 1"
    span = f"-2^{bits - 1} to {power}" if signed else f"0 to {power}"

    def convert(value: Any, path: str) -> int:
        number = value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            text = value.strip()
            number = int(text, 16 if "x" in text or "X" in text else 10)
        if isinstance(number, bool) or not isinstance(number, int):
            raise _wrong(path, base, value, "write a whole number, decimal or as 0x and hexadecimal digits")
        if not low <= number <= high:
            raise _wrong(path, base, value, f"write a number from {span}")
        return number

    return convert


def _plain(kind: Type) -> Given:
    if kind.sizes:
        one = _plain(kind.element)
        return lambda values: [one(value) for value in values]
    if kind.base == "tuple":
        convert = given(kind.components)
        if kind.components and all(component.name for component in kind.components):
            return lambda values: named(kind.components, convert(values))
        return convert
    if kind.base == "address":
        return lambda value: checksummed(bytes.fromhex(value[2:]))
    if kind.base == "function" or kind.base.startswith("bytes"):
        return to_hex
    return lambda value: value
