"""A real EVM node on this machine: anvil, with funded accounts, on a free port of loopback.

Load tests of chains need a chain whose blocks, receipts, nonces and refusals are a node's and not an imitation's. anvil runs a
real EVM behind the real JSON-RPC over HTTP and WebSocket, starts within a second, and mines by the clock or at
once. It comes as an npm package that holds one binary; `ANVIL=/path/to/anvil` names another.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from npm_packages import NpmPackage, NpmPackageError

VERSION = "1.7.1"
PACKAGES = {
    ("linux", "x86_64"): NpmPackage(
        "@foundry-rs/anvil-linux-amd64",
        VERSION,
        "sha512-+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
    ),
    ("linux", "aarch64"): NpmPackage(
        "@foundry-rs/anvil-linux-arm64",
        VERSION,
        "sha512-ykHJmFOGdBR8+9smOKBm9ZZDCCCkLQctiHOAddLvmYx9mPeBDMfq6jP51hKYsO5MG8ClPLSlWe+JpiXPjoXgBQ==",
    ),
    ("darwin", "arm64"): NpmPackage(
        "@foundry-rs/anvil-darwin-arm64",
        VERSION,
        "sha512-JNeu3+A3f/npXLn8SR8EahVcqE7BpO9VQZMcPvSIy27/RNc1GsoEBvSLR99aSvt8sGKWAgNg/EzrtjAPq6mxcA==",
    ),
    ("darwin", "x86_64"): NpmPackage(
        "@foundry-rs/anvil-darwin-amd64",
        VERSION,
        "sha512-OgwzwY+FsGrsPyDv4mmbhOwARO8s37YHrm2qaNzgSH4VlKnXgJCrnoT7bpgOhLyBPtxXjBT8L2E3b79deesXRg==",
    ),
}
READY_SECONDS = 30.0
STOP_SECONDS = 5.0
_LISTENING = re.compile(r"Listening on \S+:(\d+)")
_PR_SET_PDEATHSIG = 1


class EvmNodeError(RuntimeError):
    """The node could not be had or did not start; the message says why."""


class RpcRefusedError(RuntimeError):
    """The node answered a call with an error."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')} ({error.get('code')})")
        self.code = error.get("code")
        self.data = error.get("data")


def anvil_binary() -> Path:
    """The path of anvil, fetched when it is not there.

    Raises:
        EvmNodeError: There is none for this machine, or it cannot be fetched.
    """
    named = os.environ.get("ANVIL")
    if named:
        return Path(named)
    machine = (sys.platform, platform.machine().lower().replace("amd64", "x86_64"))
    package = PACKAGES.get(machine)
    if package is None:
        raise EvmNodeError(f"there is no anvil for {'/'.join(machine)}; set ANVIL to the path of one")
    try:
        return package.folder() / "bin" / "anvil"
    except NpmPackageError as error:
        raise EvmNodeError(f"{error}, or set ANVIL to the path of anvil {VERSION}") from error


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the chain is like.

    Args:
        chain_id: Its id.
        block_time: Seconds between blocks; None mines each transaction at once, 0 mines only when asked (`evm_mine`).
        accounts: How many funded accounts there are; the same ones at every start.
        balance: What each of them has at the start, in whole native tokens.
        gas_limit: Of a block.
        base_fee: Of the first block, in wei; later ones follow from it as EIP-1559 says.
        port: To listen on; 0 takes a free one.
        host: Address to listen on.
        states: How many blocks' states are kept; by default hundreds, each in memory as a whole.
        more: Further options of the program.
    """

    chain_id: int = 31337
    block_time: float | None = None
    accounts: int = 10
    balance: int = 10_000
    gas_limit: int = 30_000_000
    base_fee: int = 1_000_000_000
    port: int = 0
    host: str = "127.0.0.1"
    states: int | None = None
    more: Sequence[str] = ()

    def command(self, binary: Path, config: Path) -> list[str]:
        """The command that starts it; it writes its accounts' keys to `config`."""
        values = {
            "--host": self.host,
            "--port": self.port,
            "--chain-id": self.chain_id,
            "--accounts": self.accounts,
            "--balance": self.balance,
            "--gas-limit": self.gas_limit,
            "--block-base-fee-per-gas": self.base_fee,
            "--config-out": config,
        }
        command = [str(binary)]
        command += [str(part) for pair in values.items() for part in pair]
        if self.block_time == 0:
            command.append("--no-mining")
        elif self.block_time is not None:
            command += ["--block-time", str(self.block_time)]
        if self.states is not None:
            command += ["--prune-history", str(self.states)]
        return [*command, *self.more]


class EvmNode:
    """A running node, ended at the end of the `with` or `async with` block, and with the process that started it.

    Attributes:
        port: That it listens on.
        url: Of JSON-RPC over HTTP.
        ws_url: Of JSON-RPC over WebSocket.
        addresses: Its funded accounts, as "0x..." with mixed case.
        keys: Their secret keys, as "0x...".
    """

    def __init__(self, options: NodeOptions | None = None) -> None:
        self.options = options or NodeOptions()
        self.port = 0
        self.url = ""
        self.ws_url = ""
        self.addresses: list[str] = []
        self.keys: list[str] = []
        self._ids = count(1)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            EvmNodeError: It cannot be had, or did not start.
        """
        binary = anvil_binary()
        folder = self._new_folder("squall-anvil-")
        config = folder / "accounts.json"
        port = self._launch(self.options.command(binary, config), folder / "anvil.log", _LISTENING)
        self._listens(port)
        made = json.loads(config.read_text(encoding="utf-8"))
        self.addresses, self.keys = made["available_accounts"], made["private_keys"]

    def _new_folder(self, prefix: str) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix=prefix)
        return Path(self._folder.name)

    def _launch(self, command: Sequence[str], log: Path, listening: re.Pattern[str]) -> int:
        """Start the program; returns the port that it says it listens on, the first group of `listening`."""
        atexit.register(self.stop)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - a prepared C call, nothing that could hold a lock
            )
        try:
            return self._wait_for_port(log, listening)
        except BaseException:
            self.stop()
            raise

    def _wait_for_port(self, log: Path, listening: re.Pattern[str]) -> int:
        deadline = time.monotonic() + READY_SECONDS
        while (found := listening.search(log.read_text(errors="replace"))) is None:
            if not self.running() or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise EvmNodeError(f"{log.stem} did not start:\n{tail}")
            time.sleep(0.01)
        return int(found.group(1))

    def _listens(self, port: int) -> None:
        host = "127.0.0.1" if self.options.host == "0.0.0.0" else self.options.host
        self.port, self.url, self.ws_url = port, f"http://{host}:{port}", f"ws://{host}:{port}"

    @property
    def pid(self) -> int:
        """The id of its process; 0 before the start."""
        return self._process.pid if self._process else 0

    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it and wait for that: politely, then by force. Harmless when repeated."""
        atexit.unregister(self.stop)
        if self._process is not None:
            if self.running():
                self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def freeze(self) -> None:
        """Stop it from answering, without ending its connections, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def rpc(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of one JSON-RPC call, such as `rpc("anvil_setBalance", [address, "0x0"])`.

        Raises:
            RpcRefusedError: The node answered with an error.
        """
        return await asyncio.to_thread(self.rpc_now, method, params)

    def rpc_now(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The same for code without an event loop; waits for the answer."""
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as response:
            answer = json.load(response)
        if "error" in answer:
            raise RpcRefusedError(method, answer["error"])
        return answer["result"]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Starting takes a fraction of a second, and must happen in the thread that lives as long as the node does.
    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _die_with_parent() -> Callable[[], None] | None:
    """Have the kernel end the node when the thread that started it ends, however that comes."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def request_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return request_death_signal
