"""A second real EVM node for tests: geth, which most nodes of public chains are, with blocks by the clock and a pool with limits.

anvil takes what no node of a public chain would, and words its refusals differently. geth is built from its published module with
the Go tool chain, once per machine, into `${XDG_CACHE_HOME:-~/.cache}/squall/geth/<version>/`; `GETH=/path/to/geth` names another.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from support import gobuild, longwork
from support.anvil import EvmNode, EvmNodeError, NodeOptions, RpcRefusedError
from support.chainruns import FUNDER
from support.leftout import missing, skip_if_left_out
from support.longwork import LongWorkError, Say, say

from squall_runner.evm.signing.keys import parse_key
from squall_runner.evm.signing.transactions import Transaction, sign

PART: Final = "geth"
VERSION: Final = "v1.16.9"
PACKAGE: Final = f"github.com/ethereum/go-ethereum/cmd/geth@{VERSION}"
CHAIN: Final = 1337
DEVELOPER: Final = parse_key("0xb71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291")
"""The account that has all money of a chain for development, and gets its blocks' tips; geth knows it by heart."""
_LISTENING: Final = re.compile(r"HTTP server started\s+endpoint=127\.0\.0\.1:(\d+)")
_GWEI: Final = 10**9
_ETHER: Final = 10**18
_FILL_SECONDS: Final = 30.0


def geth_binary(*, say: Say = say) -> Path:
    """The path of geth, built when it is not there.

    Raises:
        EvmNodeError: There is no Go tool chain, or the build failed.
    """
    named = os.environ.get("GETH")
    if named:
        return Path(named)
    folder = longwork.cache_folder("geth") / VERSION
    target = folder / "geth"
    if gobuild.is_binary(target):
        return target
    go = gobuild.go_tool()
    if go is None:
        raise EvmNodeError(
            "there is no `go` on the PATH to build it with; install Go, or set GETH to the path of geth"
        )
    folder.mkdir(parents=True, exist_ok=True)
    title = f"geth {VERSION}"
    with longwork.alone(folder / ".lock", "building geth", say):
        if not gobuild.is_binary(target):
            say(f"{title}: building, once per machine (about two minutes on two cores)")
            try:
                gobuild.install(go, PACKAGE, target, title=title, cwd=folder, say=say)
            except LongWorkError as error:
                raise EvmNodeError(f"geth cannot be built: {error}; GETH names another one") from error
    return target


class GethNode(EvmNode):
    """A running geth, ended like any `EvmNode`. Its accounts are funded in blocks of their own before `start` returns.

    Of `NodeOptions`, `chain_id` and `base_fee` are geth's own: 1337 and a gwei. `block_time` is in whole seconds; None makes a block
    as soon as there is a transaction.
    """

    def start(self) -> None:
        """Start it, and fund its accounts."""
        folder = self._new_folder("squall-geth-")
        self._run(folder, 0)
        self.keys = [FUNDER, *(f"0x{number:064x}" for number in range(1, self.options.accounts))]
        self.addresses = [parse_key(key).address for key in self.keys]
        try:
            self._fund()
        except BaseException:
            self.stop()
            raise

    def _run(self, folder: Path, port: int) -> None:
        options = self.options
        values = {
            "--datadir": folder / "data",
            "--dev.period": int(options.block_time or 0),
            "--dev.gaslimit": options.gas_limit,
            "--http.port": port,
            "--ws.port": port,
            "--http.api": "eth,net,web3,txpool,debug",
            "--authrpc.port": 0,
            "--cache": 64,
        }
        command = [str(geth_binary()), "--dev", "--http", "--ws", "--ipcdisable", "--nodiscover"]
        command += [str(part) for pair in values.items() for part in pair]
        self._listens(self._launch([*command, *options.more], folder / "geth.log", _LISTENING))

    def crash(self) -> None:
        """End it at once, as a loss of power would; what it has written stays for `start_again`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        """Start it on the same chain and port, after a crash."""
        assert self._folder is not None
        self._run(Path(self._folder.name), self.port)

    def _fund(self) -> None:
        """Give each account its money; what a pool of few places does not take, it is given again."""
        deadline = time.monotonic() + _FILL_SECONDS
        while (paid := self._developer_nonce("latest")) < len(self.addresses):
            if time.monotonic() > deadline:
                raise EvmNodeError(f"geth has funded {paid} accounts of {len(self.addresses)} in time")
            for nonce in range(self._developer_nonce("pending"), len(self.addresses)):
                with suppress(RpcRefusedError):
                    self.rpc_now("eth_sendRawTransaction", [self._gift(nonce)])
            time.sleep(0.05)

    def _developer_nonce(self, block: str) -> int:
        return int(self.rpc_now("eth_getTransactionCount", [DEVELOPER.address, block]), 16)

    def _gift(self, nonce: int) -> str:
        to, value = bytes.fromhex(self.addresses[nonce][2:]), self.options.balance * _ETHER
        return sign(Transaction(CHAIN, nonce, to, value, b"", 21_000, 10 * _GWEI, _GWEI), DEVELOPER).hex


def geth(
    *,
    block_time: int | None = 1,
    accounts: int = 10,
    balance: int = 10_000,
    gas_limit: int = 30_000_000,
    more: tuple[str, ...] = (),
) -> GethNode:
    """A geth that runs within a `with` or `async with` block; see `GethNode` and `NodeOptions` for what the arguments mean.

    As `support.anvil.anvil` else.
    """
    skip_if_left_out(PART)
    try:
        geth_binary()
    except EvmNodeError as error:
        missing(PART, str(error))
    return GethNode(
        NodeOptions(
            chain_id=CHAIN,
            block_time=block_time,
            accounts=accounts,
            balance=balance,
            gas_limit=gas_limit,
            more=more,
        )
    )
