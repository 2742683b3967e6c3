"""What a contract has, and what deploys it: from signatures, or from the files that compilers and frameworks write.

solc, Hardhat, Foundry and Truffle all keep an ABI beside the code that deploys the contract, under names of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from squall.spec.signatures import AbiError, Declaration, from_json, from_text

_HINT: Final = "write the list that compilers write as ABI, an artifact with `abi` (and `bytecode`), or signatures such as function f(address to)"
_CODE: Final = re.compile(r"(?:0[xX])?((?:[0-9a-fA-F]{2})*)")


@dataclass(frozen=True, slots=True)
class Interface:
    """What a contract has.

    Attributes:
        declarations: In the order in which they are written.
        code: What deploys the contract, as it is written; empty where the interface came without it.
    """

    declarations: tuple[Declaration, ...]
    code: str = ""

    @property
    def bytecode(self) -> bytes:
        """What deploys the contract; empty when nobody has said.

        Raises:
            AbiError: It cannot be deployed as it is, which is nothing to those who call a contract that is there.
        """
        return _code(self.code)

    def all(self, kind: str) -> list[Declaration]:
        """Those of a kind."""
        return [declaration for declaration in self.declarations if declaration.kind == kind]

    def named(self, kind: str, text: str) -> list[Declaration]:
        """Those that a text means: all of this name, or the one with this signature.

        Raises:
            AbiError: It is a signature, and wrong.
        """
        if "(" not in text:
            return [declaration for declaration in self.all(kind) if declaration.name == text]
        wanted = from_text(text, kind).signature
        return [declaration for declaration in self.all(kind) if declaration.signature == wanted]

    def names(self, kind: str) -> list[str]:
        """The names of a kind, each once."""
        return list(dict.fromkeys(declaration.name for declaration in self.all(kind)))


def read_interface(source: str | bytes | Sequence[Any] | Mapping[str, Any]) -> Interface:
    """An interface from what people have.

    Args:
        source: JSON as compilers write it (the list, or an artifact with `abi` and bytecode), as text or parsed; or human-readable
            signatures, as a list or as lines of a text.

    Raises:
        AbiError: It is neither.
    """
    try:
        entries, code = _read(source)
        found = [declaration for declaration in map(from_json, entries) if declaration is not None]
    except RecursionError:
        raise AbiError("the ABI is nested too deep", _HINT) from None
    return Interface(tuple(found), code)


def parse_bytecode(text: str) -> bytes:
    """The code that deploys a contract, from hexadecimal text or from an artifact.

    Raises:
        AbiError: It is neither, or has no code (an interface, an abstract contract), or lacks the addresses of libraries.
    """
    text = text.strip()
    code = _code(_code_of(_parsed(text)) if text[:1] == "{" else text)
    if not code:
        raise AbiError(
            "there is no bytecode in it", "write the hexadecimal bytecode, or an artifact that has it"
        )
    return code


def _read(source: str | bytes | Sequence[Any] | Mapping[str, Any]) -> tuple[Sequence[Any], str]:
    if isinstance(source, bytes):
        try:
            source = source.decode()
        except UnicodeDecodeError:
            raise AbiError("the ABI is no text", _HINT) from None
    if isinstance(source, str):
        source = _parsed(source)
    if isinstance(source, Mapping):
        return _entries_of(source), _code_of(source)
    if isinstance(source, (list, tuple)):
        return source, ""
    raise AbiError(f"the ABI is {source!r:.80}", _HINT)


def _parsed(text: str) -> Any:
    text = text.strip()
    if text[:1] not in ("[", "{"):
        return [line for line in (line.strip() for line in text.splitlines()) if line and line[:2] != "//"]
    try:
        return json.loads(text)
    except ValueError as error:
        raise AbiError(f"the ABI is not JSON: {error}", _HINT) from None


def _entries_of(artifact: Mapping[str, Any]) -> Sequence[Any]:
    entries = artifact.get("abi")
    if isinstance(entries, str):  # older solc wrote JSON in JSON
        entries = _parsed(entries)
    if isinstance(entries, list):
        return entries
    if "contracts" in artifact:
        raise AbiError(
            "the ABI is the output for several contracts", "write the part of one of them, which has `abi`"
        )
    raise AbiError("the ABI is an object without a list `abi`", _HINT)


def _code_of(artifact: Mapping[str, Any]) -> str:
    evm = artifact.get("evm")
    places = (
        artifact.get("bytecode"),
        evm.get("bytecode") if isinstance(evm, Mapping) else None,
        artifact.get("bin"),
    )
    found = next((place for place in places if place), None)
    if isinstance(found, Mapping):
        found = found.get("object")
    if found is None:
        return ""
    if not isinstance(found, str):
        raise AbiError("the bytecode of the artifact is not text", "write it as hexadecimal digits")
    return found


def _code(text: str) -> bytes:
    if "__" in text:
        raise AbiError("the bytecode lacks the address of a library", "link it with the compiler first")
    digits = _CODE.fullmatch(text)
    if digits is None:
        raise AbiError("the bytecode is not hexadecimal", "write two hexadecimal digits for each byte")
    return bytes.fromhex(digits[1])
