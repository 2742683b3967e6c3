"""Finding a contract's interface and code in the files that compilers and frameworks write.

solc, Hardhat, Foundry and Truffle all keep an ABI beside the code that deploys the contract, under names of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from squall_runner.evm.contracts.signatures import AbiError
from squall_runner.evm.signing.hexes import from_hex

if TYPE_CHECKING:
    from collections.abc import Sequence

_HINT = "write the list that compilers write as ABI, an artifact with `abi` (and `bytecode`), or signatures such as function f(address to)"


def read(source: str | Sequence[Any] | Mapping[str, Any]) -> tuple[Sequence[Any], bytes | None]:
    """The entries of an ABI, and the code that deploys the contract, where the source has it.

    Raises:
        AbiError: The source is nothing known.
    """
    if isinstance(source, str):
        source = _parsed(source)
    if isinstance(source, Mapping):
        return _entries_of(source), _code_of(source)
    if isinstance(source, (list, tuple)):
        return source, None
    raise AbiError(f"the ABI is {source!r:.80}", _HINT)


def parse_bytecode(text: str) -> bytes:
    """The code that deploys a contract, from hexadecimal text or from an artifact.

    Raises:
        AbiError: It is neither, or has no code (an interface, an abstract contract), or lacks the addresses of libraries.
    """
    text = text.strip()
    code = _code_of(_parsed(text)) if text[:1] == "{" else _code(text)
    if not code:
        raise AbiError(
            "there is no bytecode in it", "write the hexadecimal bytecode, or an artifact that has it"
        )
    return code


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


def _code_of(artifact: Mapping[str, Any]) -> bytes | None:
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
        return None
    if not isinstance(found, str):
        raise AbiError("the bytecode of the artifact is not text", "write it as hexadecimal digits")
    return _code(found) or None


def _code(text: str) -> bytes:
    if "__" in text:
        raise AbiError("the bytecode lacks the address of a library", "link it with the compiler first")
    try:
        return from_hex(text)
    except ValueError:
        raise AbiError(
            "the bytecode is not hexadecimal", "write two hexadecimal digits for each byte"
        ) from None
