"""Hashing of typed data, so that a signature says what was agreed on and for whom (EIP-712).

Every value becomes 32 bytes: numbers, addresses and booleans as in calldata, texts and byte strings as their hash, arrays as the hash of
their elements, structs as the hash of their type and their members. Format: https://eips.ethereum.org/EIPS/eip-712.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from squall.spec.signatures import AbiError, elementary
from squall_runner.evm.contracts.abivalues import convert
from squall_runner.evm.signing.keccak import keccak256

Types: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]

DOMAIN: Final = "EIP712Domain"
_DOMAIN_MEMBERS: Final = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}


def check(domain: Any, types: Any) -> None:
    """Check the form of what a manifest or a caller gives; raises AbiError when it is another one."""
    if not isinstance(domain, Mapping):
        raise AbiError(
            f"the domain is {domain!r:.80}", "write a mapping, with any of " + ", ".join(_DOMAIN_MEMBERS)
        )
    if not isinstance(types, Mapping) or not types:
        raise AbiError(
            f"the types are {types!r:.80}",
            "write a mapping from the name of each struct to the list of its members",
        )
    for name, members in types.items():
        if not isinstance(members, (list, tuple)) or not all(map(_is_member, members)):
            raise AbiError(
                f"the type {name!r} is {members!r:.80}",
                "write a list of objects, each with `name` and `type`",
            )


def _is_member(member: Any) -> bool:
    return (
        isinstance(member, Mapping)
        and isinstance(member.get("name"), str)
        and isinstance(member.get("type"), str)
    )


def domain_hash(domain: Mapping[str, Any], types: Types) -> bytes:
    """The domain separator; without a type of its own the domain has the members that it gives, in the order of EIP-712.

    Raises:
        AbiError: A member is unknown or has a wrong value.
    """
    if DOMAIN not in types:
        unknown = [str(name) for name in domain if name not in _DOMAIN_MEMBERS]
        if unknown:
            raise AbiError(
                f"the domain has an unknown {', '.join(unknown)}",
                "its members are " + ", ".join(_DOMAIN_MEMBERS),
            )
        members = [{"name": name, "type": kind} for name, kind in _DOMAIN_MEMBERS.items() if name in domain]
        types = {DOMAIN: members}
    return struct_hash(DOMAIN, types, domain)


def primary_of(types: Types) -> str:
    """The only type that no other one holds.

    Raises:
        AbiError: There is none such, or several.
    """
    held = {
        _bare(member["type"]) for name in types for member in types[name] if _bare(member["type"]) != name
    }
    found = [name for name in types if name not in held and name != DOMAIN]
    if len(found) != 1:
        raise AbiError(
            f"the types have {len(found)} that no other one holds: {', '.join(found) or 'none'}",
            "name the primary type",
        )
    return found[0]


def type_text(name: str, types: Types) -> str:
    """A struct's type as it is hashed: itself, then the structs that it refers to, in the order of their names."""
    referred: set[str] = set()
    _refer(name, types, referred)
    return "".join(
        f"{one}({','.join(member['type'] + ' ' + member['name'] for member in types[one])})"
        for one in (name, *sorted(referred - {name}))
    )


def struct_hash(name: str, types: Types, values: Any, path: str = "") -> bytes:
    """The hash of a struct.

    Raises:
        AbiError: The type is unknown, or a value is missing, unknown or wrong.
    """
    if name not in types:
        raise AbiError(f"the type {name!r} is not among the types", "they are " + ", ".join(types))
    return keccak256(_struct(name, types, values, path or name))


def _refer(name: str, types: Types, found: set[str]) -> None:
    if name in found:
        return
    found.add(name)
    for member in types[name]:
        if _bare(member["type"]) in types:
            _refer(_bare(member["type"]), types, found)


def _bare(kind: str) -> str:
    return kind.partition("[")[0]


def _struct(name: str, types: Types, values: Any, path: str) -> bytes:
    if not isinstance(values, Mapping):
        raise AbiError(f"{path} ({name}) is {values!r:.80}", "write a mapping by the names of its members")
    members = types[name]
    names = [member["name"] for member in members]
    wrong = [f"has no {one}" for one in names if one not in values]
    wrong += [f"has an unknown {one}" for one in values if one not in names]
    if wrong:
        raise AbiError(f"{path} ({name}) {' and '.join(wrong)}", "its members are " + ", ".join(names))
    return keccak256(type_text(name, types).encode()) + b"".join(
        _word(member["type"], types, values[member["name"]], f"{path}.{member['name']}") for member in members
    )


def _word(kind: str, types: Types, value: Any, path: str) -> bytes:
    """A value as 32 bytes."""
    if kind.endswith("]"):
        return keccak256(_elements(kind, types, value, path))
    if kind in types:
        return keccak256(_struct(kind, types, value, path))
    base = elementary(kind, path)
    if base == "function":
        raise AbiError(f"{path} is a function, and typed data have none", "sign its address and selector")
    plain = convert(base, value, path)
    if base in ("string", "bytes"):
        return keccak256(plain.encode() if isinstance(plain, str) else plain)
    if base.startswith("bytes"):
        return bytes(plain).ljust(32, b"\0")
    if base == "address":
        return bytes(plain).rjust(32, b"\0")
    return int(plain).to_bytes(32, "big", signed=base.startswith("int"))


def _elements(kind: str, types: Types, value: Any, path: str) -> bytes:
    element, _, rest = kind.rpartition("[")
    size = rest[:-1]
    if size and not size.isdecimal():
        raise AbiError(f"{path} has the type {kind!r:.80}", "arrays are written as Person[] or Person[4]")
    if not isinstance(value, (list, tuple)) or (size and len(value) != int(size)):
        raise AbiError(
            f"{path} ({kind}) is {value!r:.80}", f"write a list{f' of {size} values' if size else ''}"
        )
    return b"".join(_word(element, types, one, f"{path}[{position}]") for position, one in enumerate(value))
