"""The contracts that a manifest declares: their interfaces, read once, and whether they are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from squall_runner.evm.contracts.abi import Abi, AbiError
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from squall.spec.structs import Contract
    from squall_runner.engine.manifest import Manifest
    from squall_runner.evm.node.rpc import Rpc


class Contracts:
    """The contracts of a manifest.

    Args:
        manifest: Which.
    """

    def __init__(self, manifest: Manifest) -> None:
        evm = manifest.spec.evm
        self._declared = {each.name: each for each in (evm.contracts if evm else ())}
        self._files = manifest.files
        self._known: dict[str, Abi] = {}

    def declared(self, name: str) -> Contract:
        """What the manifest says of a contract; raises LoadError when it says nothing."""
        found = self._declared.get(name)
        if found is None:
            raise LoadError(
                "ManifestInvalid", f"there is no contract {name!r}", "declare it under spec.evm.contracts"
            )
        return found

    def abi(self, name: str) -> Abi:
        """The interface of a contract.

        Raises:
            LoadError: Its file is not there, or holds none.
        """
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._read(self.declared(name))
        return known

    def _read(self, contract: Contract) -> Abi:
        try:
            if contract.signatures is not None:
                return Abi.parse(contract.signatures)
            path = self._files.get(contract.abi or "")
            if path is None:
                message = f"contract {contract.name}: there is no file {contract.abi!r} in spec.files"
                raise LoadError("FileMissing", message, "add it to spec.files")
            return Abi.parse(Path(path).read_text("utf-8"))
        except AbiError as error:
            raise LoadError(
                "ManifestInvalid", f"contract {contract.name}: {error.message}", error.hint
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            message = f"contract {contract.name}: the file {contract.abi!r} cannot be read: {error}"
            raise LoadError("FileMissing", message, "check spec.files") from error


async def look_for_contracts(rpc: Rpc, contracts: Iterable[Contract]) -> None:
    """See that there is code where the manifest says that contracts are, as far as it says so before the load.

    Args:
        rpc: Whom to ask.
        contracts: Those of the manifest.

    Raises:
        LoadError: There is none.
        RpcError: The node cannot be asked.
    """
    for contract in contracts:
        address = contract.address
        if address is None or "${" in address:
            continue
        if await rpc.call("eth_getCode", [address, "latest"]) in {"0x", "0x0", "", None}:
            message = (
                f"spec.evm.contracts: there is no contract at {address}, where {contract.name} should be"
            )
            raise LoadError(
                "ContractMissing", message, "deploy it, or write the address that it has on this chain"
            )
