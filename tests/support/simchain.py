"""A chain in virtual time with nodes that go wrong in every way, for finding out what a sender makes of it.

It stands for `Rpc` and for `Follower` at once. What is sent is decoded from its bytes; blocks take what has the next nonce and
pays the base fee. Which fault comes next is drawn from a seeded generator, until `well` is set.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from squall_runner.evm.following.heads import Head, Header, Inclusion, Receipt
from squall_runner.evm.node.failures import Kind, RpcError
from squall_runner.evm.sending.fleet import Account, Accounts, Patience
from squall_runner.evm.signing.keccak import keccak256
from squall_runner.evm.signing.keys import Key

GWEI = 10**9


@dataclass(frozen=True)
class SimTx:
    sender: str
    nonce: int
    max_fee: int
    data: bytes
    hash: str


def items(data: bytes) -> list[bytes]:
    """The byte strings of an RLP list of them; a list within counts as one."""
    start = 1 if data[0] <= 0xF7 else 1 + data[0] - 0xF7
    found = []
    while start < len(data):
        first = data[start]
        if first < 0x80:
            size, head = 1, 0
        elif first <= 0xB7 or 0xC0 <= first <= 0xF7:
            size, head = first - (0x80 if first <= 0xB7 else 0xC0), 1
        else:
            width = first - 0xB7
            size, head = int.from_bytes(data[start + 1 : start + 1 + width], "big"), 1 + width
        found.append(data[start + head : start + head + size])
        start += head + size
    return found


def decoded(raw: str, sender: str) -> SimTx:
    data = bytes.fromhex(raw[2:])
    if data[0] == 2:
        fields = items(data[1:])
        nonce, fee, payload = fields[1], fields[3], fields[7]
    else:
        fields = items(data)
        nonce, fee, payload = fields[0], fields[1], fields[5]
    number = lambda text: int.from_bytes(text, "big")  # noqa: E731
    return SimTx(sender, number(nonce), number(fee), payload, "0x" + keccak256(data).hex())


@dataclass
class Weights:
    """How often what goes wrong, of a hundred sends."""

    drop: int = 8
    timeout_taken: int = 5
    timeout_lost: int = 5
    error_taken: int = 3
    error_lost: int = 3
    full: int = 4
    unreachable: int = 4
    poor: int = 2
    twice: int = 4


@dataclass
class SimChain:
    """See the module.

    Args:
        rng: Draws faults.
        nodes: How many nodes there are; each call goes to one of them, and each has a pool of its own.
        strict: Whether nodes refuse transactions behind a gap.
        weights: How often what goes wrong.
        lag: So many seconds later than counts do receipts and the follower know of a block.
        drops: Whether nodes refuse what cannot pay the base fee, and throw it away when the base fee has risen above it.
        keeps: So many transactions of one account a node has room for. What comes behind them is refused by strict nodes, which are
            full; others say that they take it, and throw it away.
    """

    rng: random.Random
    nodes: int = 2
    strict: bool = False
    weights: Weights = field(default_factory=Weights)
    lag: float = 0.0
    drops: bool = False
    keeps: int | None = None

    def __post_init__(self) -> None:
        self.well = False
        self.pools: list[dict[tuple[str, int], SimTx]] = [{} for _ in range(self.nodes)]
        self.used: dict[str, int] = {}
        self.before: dict[str, int] = {}
        self.blocks: list[list[SimTx]] = [[]]
        self.where: dict[str, int] = {}
        self.base_fee = GWEI
        self.watched: dict[str, list[asyncio.Future]] = {}
        self.calls: dict[str, int] = {}
        self.head = self.told = self._head()
        self._another = asyncio.Event()
        self._hear: list[Callable[[list[str]], None]] = []

    # Follower

    def watch(self, tx_hash: str, confirmations: int = 0, *, late: bool = False) -> asyncio.Future:
        future = asyncio.get_running_loop().create_future()
        self.watched.setdefault(tx_hash, []).append(future)
        return future

    def _head(self) -> Head:
        number = len(self.blocks) - 1
        return Head(number, hex(number), "", number, self.base_fee, 30_000_000, 0, 0.0)

    def on_reorganisation(self, callback):
        self._hear.append(callback)
        return lambda: callback in self._hear and self._hear.remove(callback)

    async def next_head(self) -> Head:
        await self._another.wait()
        return self.head

    # The chain

    async def run(self, seconds: float = 2.0) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.mine()

    def mine(self) -> None:
        self.before = dict(self.used)
        block: list[SimTx] = []
        pool = self.pools[self.rng.randrange(self.nodes)]
        for tx in sorted(pool.values(), key=lambda tx: tx.nonce):
            if tx.nonce == self.used.get(tx.sender, 0) and tx.max_fee >= self.base_fee:
                self._include(tx, block)
        if self.drops:
            for pool in self.pools:
                for place in [place for place, tx in pool.items() if tx.max_fee < self.base_fee]:
                    del pool[place]
        self.blocks.append(block)
        self._publish(block)
        self._another.set()
        self._another = asyncio.Event()

    def _publish(self, block: list[SimTx]) -> None:
        self.head = head = self._head()
        if self.lag:
            asyncio.get_running_loop().call_later(self.lag, self._tell, head, block)
        else:
            self._tell(head, block)

    def _tell(self, head: Head, block: list[SimTx]) -> None:
        self.told = head
        now = asyncio.get_running_loop().time()
        for tx in block:
            for future in self.watched.pop(tx.hash, []):
                if not future.done():
                    future.set_result(Inclusion.of(self._receipt(tx.hash), head, now))

    def _include(self, tx: SimTx, block: list[SimTx]) -> None:
        self.used[tx.sender] = tx.nonce + 1
        self.where[tx.hash] = len(self.blocks)
        block.append(tx)
        for pool in self.pools:
            pool.pop((tx.sender, tx.nonce), None)

    def use(self, sender: str) -> None:
        """Somebody else sends a transaction of this account, and it is in the next block."""
        nonce = self.used.get(sender, 0)
        foreign = SimTx(sender, nonce, 0, b"foreign", "0x" + self.rng.randbytes(32).hex())
        self.blocks.append([])
        self._include(foreign, self.blocks[-1])
        self.where[foreign.hash] = len(self.blocks) - 1
        self._publish(self.blocks[-1])

    def forget(self) -> None:
        """A node starts anew, without what it had pending."""
        self.pools[self.rng.randrange(self.nodes)].clear()

    def lose(self) -> list[str]:
        """All nodes lose all that is in blocks and all that is pending; returns the hashes for `tell_lost`."""
        lost = list(self.where)
        for kept in (self.used, self.before, self.where, *self.pools):
            kept.clear()
        self.blocks = [[] for _ in self.blocks]
        return lost

    def tell_lost(self, hashes: list[str]) -> None:
        """The follower finds out."""
        for callback in self._hear:
            callback(hashes)

    def included(self, data: bytes) -> int:
        """How many transactions with this data are in blocks."""
        return sum(tx.data == data for block in self.blocks for tx in block)

    # Rpc

    async def call(self, method, params=(), *, sticky="", into=None):
        self.calls[method] = self.calls.get(method, 0) + 1
        await asyncio.sleep(self.rng.random() * 0.1)
        if not self.well and self.rng.random() < 0.05:
            raise RpcError(Kind.TIMEOUT, "no answer", method=method)
        node = self._node()
        match method:
            case "eth_getTransactionCount":
                return hex(self._count(params[0], params[1], node))
            case "eth_getTransactionByHash":
                pooled = any(tx.hash == params[0] for tx in self.pools[node].values())
                return {"hash": params[0]} if pooled or params[0] in self.where else None
            case "eth_getTransactionReceipt":
                return self._receipt(params[0]) if self.where.get(params[0], 0) <= self.told.number else None
            case "eth_getBlockByNumber":
                return Header(params[0], params[0], "", "0x1", "0x1", "0x0")
            case "eth_maxPriorityFeePerGas":
                return hex(GWEI)
            case "eth_estimateGas":
                return hex(50_000)
        raise AssertionError(method)

    def _node(self) -> int:
        return self.rng.randrange(self.nodes)

    def _count(self, sender: str, block: str, node: int) -> int:
        if block.startswith("0x"):
            if not self.well and self.rng.random() < 0.1:
                raise RpcError(Kind.SERVER_ERROR, "header not found")
            blocks = self.blocks[: int(block, 16) + 1]
            return 1 + max((tx.nonce for each in blocks for tx in each if tx.sender == sender), default=-1)
        stale = not self.well and self.rng.random() < 0.1
        count = (self.before if stale else self.used).get(sender, 0)
        if block == "pending":
            while (sender, count) in self.pools[node]:
                count += 1
        return count

    def _receipt(self, tx_hash: str):
        at = self.where.get(tx_hash)
        if at is None:
            return None
        return Receipt(tx_hash, hex(at), hex(at), "0x5208")

    async def send_raw(self, raw, tx_hash, *, sticky="", timeout=None):  # noqa: ASYNC109 - as `Rpc` has it
        self.calls["eth_sendRawTransaction"] = self.calls.get("eth_sendRawTransaction", 0) + 1
        tx = decoded(raw, sticky)
        assert tx.hash == tx_hash
        fault = self._fault()
        await asyncio.sleep(self.rng.random() * 0.2)
        if fault == "drop":
            return tx_hash
        if fault == "full":
            raise RpcError(Kind.POOL_FULL, "txpool is full")
        if fault == "poor":
            raise RpcError(Kind.INSUFFICIENT_FUNDS, "insufficient funds for gas * price + value")
        if fault == "unreachable":
            raise RpcError(Kind.UNREACHABLE, "nobody there")
        if fault == "error_lost":
            raise RpcError(Kind.OTHER, "internal error")
        if fault == "timeout_lost":
            await asyncio.sleep(5)
            raise RpcError(Kind.TIMEOUT, "no answer", unknown_fate=True)
        self._take(tx)
        if fault == "twice" and not self.lag:  # a gateway tries again, and tells what came of that
            await asyncio.sleep(self.rng.random() * 5)
            self._take(tx)
        if fault == "error_taken":
            raise RpcError(Kind.OTHER, "internal error")
        if fault == "timeout_taken":
            await asyncio.sleep(5)
            raise RpcError(Kind.TIMEOUT, "no answer", unknown_fate=True)
        return tx_hash

    def _fault(self) -> str:
        if self.well:
            return ""
        left = self.rng.randrange(100)
        for name, share in vars(self.weights).items():
            if left < share:
                return name
            left -= share
        return ""

    def _take(self, tx: SimTx) -> None:
        node = self._node()
        pool = self.pools[node]
        held = pool.get((tx.sender, tx.nonce))
        if held is not None and held.hash == tx.hash:
            return
        if tx.nonce < self.used.get(tx.sender, 0):
            raise RpcError(Kind.NONCE_TOO_LOW, "nonce too low")
        if tx.max_fee < (self.base_fee if self.drops else self.base_fee // 2):
            raise RpcError(Kind.UNDERPRICED, "transaction underpriced")
        if held is not None and tx.max_fee < held.max_fee * 1.1:
            raise RpcError(Kind.REPLACEMENT_UNDERPRICED, "replacement transaction underpriced")
        if self.strict and tx.nonce > self._pending(tx.sender, node):
            raise RpcError(Kind.NONCE_TOO_HIGH, "nonce too high")
        if self.keeps is not None and tx.nonce >= self.used.get(tx.sender, 0) + self.keeps:
            if self.strict:
                raise RpcError(Kind.POOL_FULL, "account limit exceeded")
            return
        # What one node takes, the others hear of, mostly.
        for other in range(self.nodes):
            if other == node or self.well or self.rng.random() < 0.7:
                mine = self.pools[other].get((tx.sender, tx.nonce))
                if mine is None or mine.max_fee * 1.1 <= tx.max_fee:
                    self.pools[other][tx.sender, tx.nonce] = tx

    def _pending(self, sender: str, node: int) -> int:
        count = self.used.get(sender, 0)
        while (sender, count) in self.pools[node]:
            count += 1
        return count


@asynccontextmanager
async def one_account(
    chain: SimChain,
    key: Key,
    *,
    blocks: float = 2.0,
    patience: Patience | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[Accounts, Account]]:
    """Accounts before a chain that makes a block every so many seconds, and the one of a key, which has sent nothing yet."""
    clock = asyncio.get_running_loop().time
    patience = patience or Patience(least=4.0, most=8.0)  # it learns, so each has its own
    accounts = Accounts(chain, chain, 1, clock=clock, rng=random.Random(1), patience=patience, **settings)
    mining = asyncio.create_task(chain.run(blocks))
    try:
        yield accounts, accounts.of(key, first=0)
    finally:
        mining.cancel()
        await asyncio.gather(mining, return_exceptions=True)
        await accounts.close()
