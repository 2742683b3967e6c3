"""The outside world of the data-portability example, running: the program that users start, on free ports."""

import json
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from support.anvil import PART as ANVIL
from support.anvil import EvmNodeError, RpcRefusedError, anvil_binary
from support.examples import EXAMPLES
from support.leftout import missing, skip_if_left_out
from support.processes import Process

sys.path.insert(0, str(EXAMPLES / "targets"))

from data_portability.storage import StorageError, storage_python

STORE = "object-store"
READY_SECONDS = 60.0

TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Permission": [{"name": "account", "type": "address"}, {"name": "key", "type": "string"}],
    "AddFile": [
        {"name": "owner", "type": "address"},
        {"name": "url", "type": "string"},
        {"name": "permissions", "type": "Permission[]"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ],
}
"""What users sign for the relay (EIP-712), as the registry checks it."""


@dataclass(frozen=True, slots=True)
class Network:
    """The running network."""

    environment: Mapping[str, str]
    process: Process

    def __getitem__(self, variable: str) -> str:
        return self.environment[variable]

    def indexed(self) -> dict[str, int]:
        """How many files, permissions, confirmed and claimed ones the indexer has seen."""
        with urllib.request.urlopen(f"{self['INDEXER_URL']}/health", timeout=10) as answer:
            counts: dict[str, int] = json.load(answer)["counts"]
            return counts

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one JSON-RPC call to its node.

        Raises:
            RpcRefusedError: The node answered with an error.
        """
        body = {"jsonrpc": "2.0", "id": next(_ids), "method": method, "params": params}
        request = urllib.request.Request(
            self["RPC_URL"], json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)
        if "error" in found:
            raise RpcRefusedError(method, found["error"])
        return found["result"]


_ids = count(1)


@contextmanager
def running_network(folder: Path, *options: str) -> Iterator[Network]:
    """The network with these options of its program, until the end of the block.

    Skips the test when `SQUALL_TESTS_WITHOUT` names `anvil` or `object-store`, and fails it when one of them cannot be had.
    """
    skip_if_left_out(ANVIL)
    skip_if_left_out(STORE)
    try:
        anvil_binary()
        storage_python()
    except EvmNodeError as error:
        missing(ANVIL, str(error))
    except StorageError as error:
        missing(STORE, str(error))
    log = folder / f"network-{uuid.uuid4().hex[:8]}.log"
    log.touch()
    process = Process([sys.executable, str(EXAMPLES / "targets" / "data_portability"), *options], log=log)
    try:
        process.wait_until(lambda: "FUNDER_KEY=" in log.read_text(), timeout=READY_SECONDS, every=0.02)
        lines = [line.partition("=") for line in log.read_text().splitlines() if "=" in line]
        yield Network({name: value for name, _, value in lines}, process)
    finally:
        process.stop()
