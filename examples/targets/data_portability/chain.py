"""The chain as the network's services see it: JSON-RPC, and contracts by the names of their functions and events.

The services send from accounts whose keys the node holds, so nothing here signs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from eth_abi.abi import decode, encode

CONTRACTS = Path(__file__).resolve().parents[1] / "contracts"
# Whoever waits for a receipt asks so often.
RECEIPT_SECONDS = 0.1
SEND_SECONDS = 60.0
# In wei. Blocks that are full make gas dearer, and anvil drops whatever offers less than the next one asks, with all that follows.
MOST_PER_GAS = 10**13


class RpcError(RuntimeError):
    """The node refused a call.

    Attributes:
        data: What a reverted contract has said, as hexadecimal digits; empty when nothing.
    """

    def __init__(self, method: str, error: Mapping[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('message')}")
        data = error.get("data")
        self.data = data if isinstance(data, str) else ""


class TransactionFailedError(RuntimeError):
    """A transaction was reverted, or in no block for too long."""


class Rpc:
    """A node's JSON-RPC over HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url, self._ids = session, url, count(1)

    async def call(self, method: str, *params: Any) -> Any:
        """The result of one call.

        Raises:
            RpcError: The node refused it.
        """
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(self._url, json=body) as response:
            answer = await response.json()
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    async def receipt(self, transaction: str) -> dict[str, Any]:
        """The receipt of a transaction, once it is in a block.

        Raises:
            TransactionFailedError: It was reverted, or is in no block after a minute.
        """
        for _ in range(round(SEND_SECONDS / RECEIPT_SECONDS)):
            found: dict[str, Any] | None = await self.call("eth_getTransactionReceipt", transaction)
            if found is not None:
                if int(found["status"], 16) != 1:
                    raise TransactionFailedError(f"{transaction} was reverted")
                return found
            await asyncio.sleep(RECEIPT_SECONDS)
        raise TransactionFailedError(f"{transaction} is in no block after {SEND_SECONDS:.0f} s")


@dataclass(frozen=True, slots=True)
class Event:
    """An event, decoded."""

    name: str
    args: dict[str, Any]
    block: int
    transaction: str


class Contract:
    """A contract at an address."""

    def __init__(self, rpc: Rpc, address: str, abi: Sequence[dict[str, Any]], ids: Mapping[str, str]) -> None:
        self.address = address
        self._rpc = rpc
        self._ids = ids
        self._functions = {each["name"]: each for each in abi if each["type"] == "function"}
        self._errors = {ids[_signature(each)][:10]: each for each in abi if each["type"] == "error"}
        self._events = {ids[_signature(each)]: each for each in abi if each["type"] == "event"}

    def data(self, function: str, *args: Any) -> str:
        """What a transaction has to hold to call a function."""
        entry = self._functions[function]
        return self._ids[_signature(entry)][:10] + encode(_types(entry["inputs"]), args).hex()

    async def read(self, function: str, *args: Any) -> tuple[Any, ...]:
        """What a function returns, without a transaction.

        Raises:
            RpcError: It reverted; `refusal` knows why.
        """
        call = {"to": self.address, "data": self.data(function, *args)}
        answer = await self._rpc.call("eth_call", call, "latest")
        types = _types(self._functions[function]["outputs"])
        return tuple(decode(types, bytes.fromhex(answer[2:])))

    async def estimate(self, sender: str, function: str, *args: Any) -> int:
        """The gas that a transaction would take.

        Raises:
            RpcError: It would be reverted; `refusal` knows why.
        """
        call = {"from": sender, "to": self.address, "data": self.data(function, *args)}
        return int(await self._rpc.call("eth_estimateGas", call), 16)

    async def send(self, sender: str, gas: int, function: str, *args: Any) -> str:
        """The hash of a new transaction from one of the node's accounts."""
        call = {"from": sender, "to": self.address, "data": self.data(function, *args), "gas": hex(gas)}
        call["maxFeePerGas"] = hex(MOST_PER_GAS)
        sent: str = await self._rpc.call("eth_sendTransaction", call)
        return sent

    def refusal(self, error: RpcError) -> str:
        """The name of the contract's own error; empty when it is none."""
        entry = self._errors.get(error.data[:10])
        return entry["name"] if entry else ""

    async def events(self, first: int, last: int) -> list[Event]:
        """The contract's events in a range of blocks, both included, in order."""
        wanted = {"address": self.address, "fromBlock": hex(first), "toBlock": hex(last)}
        logs = await self._rpc.call("eth_getLogs", wanted)
        return [self._decoded(log) for log in logs if log["topics"][0] in self._events]

    def _decoded(self, log: Mapping[str, Any]) -> Event:
        entry = self._events[log["topics"][0]]
        indexed = [each for each in entry["inputs"] if each["indexed"]]
        plain = [each for each in entry["inputs"] if not each["indexed"]]
        args = {
            each["name"]: decode([each["type"]], bytes.fromhex(topic[2:]))[0]
            for each, topic in zip(indexed, log["topics"][1:], strict=True)
        }
        values = decode(_types(plain), bytes.fromhex(log["data"][2:]))
        args |= {each["name"]: value for each, value in zip(plain, values, strict=True)}
        return Event(entry["name"], args, int(log["blockNumber"], 16), log["transactionHash"])


async def deploy(rpc: Rpc, sender: str, artifact: Path, *args: Any) -> Contract:
    """Put a compiled contract on the chain, from one of the node's accounts, and wait until it is there.

    Args:
        rpc: The node.
        sender: One of the node's accounts.
        artifact: The compiled contract, JSON with `abi` and `bytecode`.
        *args: Those of its constructor.
    """
    compiled = _compiled(artifact)
    abi = compiled["abi"]
    inputs: list[Any] = next((each["inputs"] for each in abi if each["type"] == "constructor"), [])
    data = compiled["bytecode"] + encode(_types(inputs), args).hex()
    sent = await rpc.call("eth_sendTransaction", {"from": sender, "data": data, "gas": hex(10_000_000)})
    address = (await rpc.receipt(sent))["contractAddress"]
    ids = {
        signature: await rpc.call("web3_sha3", "0x" + signature.encode().hex())
        for signature in {_signature(each) for each in abi if "name" in each}
    }
    return Contract(rpc, await _checksummed(rpc, address), abi, ids)


def _compiled(artifact: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(artifact.read_text(encoding="utf-8"))
    return loaded


async def _checksummed(rpc: Rpc, address: str) -> str:
    """An address with the mixed case of EIP-55."""
    digits = address[2:].lower()
    digest = await rpc.call("web3_sha3", "0x" + digits.encode().hex())
    return "0x" + "".join(
        digit.upper() if int(weight, 16) >= 8 else digit
        for digit, weight in zip(digits, digest[2:42], strict=True)
    )


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def _types(parameters: Sequence[Mapping[str, Any]]) -> list[str]:
    return [_type(each) for each in parameters]


def _type(parameter: Mapping[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(parameter['components']))}){kind.removeprefix('tuple')}"
