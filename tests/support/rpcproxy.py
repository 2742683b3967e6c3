"""A JSON-RPC endpoint with any fault one may want, before a real node.

Faults of endpoints cannot be had from a node that works, and a made-up node would prove nothing about chains. So this is a
real server that forwards to a real node, and does what `faults` says, from one request to the next:

    async with RpcProxy(node.url, node.ws_url) as proxy:
        proxy.faults.too_many = 2               # two times 429, then well again
        proxy.faults.drop_sends = 0.5           # every second transaction gets its hash, and is thrown away
        await proxy.go_down()                   # nobody listens, and what was open is cut
        await proxy.come_back()                 # on the same port
        assert proxy.calls["eth_chainId"] == 1  # what has been asked so far

Must be started and used in one event loop. Nothing is left to chance: shares are dealt evenly.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import aiohttp
from aiohttp import WSMsgType, web

from squall_runner.evm.signing.keccak import keccak256

if TYPE_CHECKING:
    import ssl
    from typing import Self

Garbage = Literal["", "text", "truncated", "wrongId", "missing", "shuffled", "noResult", "empty"]


@dataclass
class Faults:
    """What is wrong; may be changed at any time.

    Attributes:
        delay: Seconds before each answer.
        delays: Seconds before the answer to a method, beside `delay`.
        too_many: So many HTTP requests are answered with 429; -1: all.
        retry_after: The `Retry-After` of those; empty: none.
        status: The HTTP status of all answers, without a JSON-RPC answer; 0: as it should be.
        errors: Methods that are answered with an error, and status 200; `*` for all.
        error_times: So many calls get one of `errors`; -1: all.
        unknown: Methods that it does not know.
        head: Added to the numbers of the newest block that it tells: -5 is behind, +1000 lies.
        frozen_head: It tells of no block beyond this one; None: of all.
        stale_counts: So many of an account's newest transactions it does not count.
        chain_id: The chain it says it is.
        drop_sends: The share of transactions that are answered with their hash and thrown away, evenly dealt.
        swallow: Methods that are forwarded, and whose answer never comes; the connection is cut after `swallow_seconds`.
        swallow_seconds: See above.
        swallow_times: So many requests are swallowed; -1: all.
        garble: What is wrong with answers: `text` (no JSON), `truncated`, `wrongId`, `missing` (a batch lacks its last
            answer), `shuffled` (a batch in reverse), `noResult`, `empty`.
        batch_error: The one error that batches are answered with.
        no_sockets: WebSockets are refused.
        mute_sockets: WebSockets stay open, and nothing comes over them any more.
    """

    delay: float = 0.0
    delays: dict[str, float] = field(default_factory=dict)
    too_many: int = 0
    retry_after: str = ""
    status: int = 0
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)
    error_times: int = -1
    unknown: set[str] = field(default_factory=set)
    head: int = 0
    frozen_head: int | None = None
    stale_counts: int = 0
    chain_id: int | None = None
    drop_sends: float = 0.0
    swallow: set[str] = field(default_factory=set)
    swallow_seconds: float = 0.0
    swallow_times: int = -1
    garble: Garbage = ""
    batch_error: dict[str, Any] | None = None
    no_sockets: bool = False
    mute_sockets: bool = False


class RpcProxy:
    """See the module.

    Args:
        node: URL of the node's JSON-RPC.
        node_socket: URL of its WebSocket; empty: there is none.
        tls: Speaks TLS with these certificates; None: it does not.

    Attributes:
        faults: What is wrong.
        calls: How often each method was asked for, calls in batches included.
        requests: How many HTTP requests came.
        batches: The sizes of the batches that came.
        sockets: How many WebSockets are open.
        subscriptions: How often `eth_subscribe` was asked for.
        dropped: Hashes of the transactions that were thrown away.
        headers: Those of the last HTTP request.
    """

    def __init__(self, node: str, node_socket: str = "", *, tls: ssl.SSLContext | None = None) -> None:
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.requests = 0
        self.batches: list[int] = []
        self.subscriptions = 0
        self.dropped: list[str] = []
        self.headers: dict[str, str] = {}
        self._tls = tls
        self._node = node
        self._node_socket = node_socket
        self._sent = 0
        self._open: set[web.WebSocketResponse] = set()
        self._transports: set[asyncio.Transport] = set()
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Of JSON-RPC over HTTP."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}/"

    @property
    def ws_url(self) -> str:
        """Of JSON-RPC over WebSocket."""
        return f"ws{'s' if self._tls else ''}://127.0.0.1:{self._port}/"

    @property
    def sockets(self) -> int:
        """How many WebSockets are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await self.come_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_down()
        assert self._session is not None
        await self._session.close()

    async def come_back(self) -> None:
        """Listen, after `go_down` on the same port as before."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{tail:.*}", self._post)
        app.router.add_get("/{tail:.*}", self._socket)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True, ssl_context=self._tls)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def go_down(self) -> None:
        """Cut all connections, and listen no more."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            for transport in list(self._transports):
                transport.abort()
            await self.cut_sockets()
            await self._runner.cleanup()
            self._runner = None

    async def cut_sockets(self) -> None:
        """Cut all WebSockets without a word."""
        for socket in list(self._open):
            request = socket._req
            if request is not None and request.transport is not None:
                request.transport.abort()
        while self._open:
            await asyncio.sleep(0.001)

    # HTTP

    async def _post(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self._transports.add(request.transport)
        self.requests += 1
        self.headers = dict(request.headers)
        faults = self.faults
        try:
            body = await request.json()
            if faults.too_many:
                faults.too_many -= faults.too_many > 0
                asked = {"Retry-After": faults.retry_after} if faults.retry_after else {}
                return web.Response(status=429, headers=asked, text="slow down")
            if faults.status:
                return web.Response(status=faults.status, text="<html>no</html>", content_type="text/html")
            return await self._answer(request, body)
        finally:
            self._transports.discard(request.transport)

    async def _answer(self, request: web.Request, body: Any) -> web.StreamResponse:
        many = isinstance(body, list)
        calls = body if many else [body]
        self.calls.update(call["method"] for call in calls)
        if many:
            self.batches.append(len(calls))
        if many and self.faults.batch_error:
            answers: Any = {"jsonrpc": "2.0", "id": None, "error": self.faults.batch_error}
        else:
            answers = list(await asyncio.gather(*(self._call(call) for call in calls)))
        longest = max([self.faults.delays.get(call["method"], 0.0) for call in calls], default=0.0)
        if self.faults.delay + longest:
            await asyncio.sleep(self.faults.delay + longest)
        if self.faults.swallow_times and self.faults.swallow.intersection(call["method"] for call in calls):
            self.faults.swallow_times -= self.faults.swallow_times > 0
            await asyncio.sleep(self.faults.swallow_seconds)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return await self._garbled(request, answers, many=many)

    async def _garbled(self, request: web.Request, answers: Any, *, many: bool) -> web.StreamResponse:
        garble = self.faults.garble
        if isinstance(answers, list):
            if garble == "wrongId":
                for answer in answers:
                    answer["id"] = 10**9 + (answer["id"] or 0)
            if garble == "noResult":
                for answer in answers:
                    answer.pop("result", None)
            if garble == "missing":
                answers = answers[:-1]
            if garble == "shuffled":
                answers = answers[::-1]
        shown = answers if many or isinstance(answers, dict) else (answers[0] if answers else {})
        text = json.dumps(shown).encode()
        if garble == "text":
            text = b"upstream connect error or disconnect/reset before headers"
        if garble == "empty":
            text = b""
        if garble != "truncated":
            return web.Response(body=text, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(text))})
        await response.prepare(request)
        await response.write(text[: len(text) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    async def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        faults, method = self.faults, call["method"]
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        error = faults.errors.get(method) or faults.errors.get("*")
        if error is not None and faults.error_times:
            faults.error_times -= faults.error_times > 0
            return {**answer, "error": error}
        if method in faults.unknown:
            words = f"the method {method} does not exist/is not available"
            return {**answer, "error": {"code": -32601, "message": words}}
        if method == "eth_chainId" and faults.chain_id is not None:
            return {**answer, "result": hex(faults.chain_id)}
        if method == "eth_sendRawTransaction" and faults.drop_sends:
            before, self._sent = int(self._sent * faults.drop_sends), self._sent + 1
            if int(self._sent * faults.drop_sends) > before:
                self.dropped.append("0x" + keccak256(bytes.fromhex(call["params"][0][2:])).hex())
                return {**answer, "result": self.dropped[-1]}
        return self._lie(call, await self._forward(await self._truth(call)))

    async def _truth(self, call: dict[str, Any]) -> dict[str, Any]:
        """What the node is asked, so that who asks for the newest block gets one that is told of."""
        if call["method"] != "eth_getBlockByNumber" or call["params"][0] != "latest":
            return call
        if self.faults.frozen_head is None and self.faults.head >= 0:
            return call
        newest = int((await self._forward({**call, "method": "eth_blockNumber", "params": []}))["result"], 16)
        return {**call, "params": [hex(self._told(newest)), *call["params"][1:]]}

    def _told(self, newest: int) -> int:
        frozen = self.faults.frozen_head
        number = newest + self.faults.head
        return max(0, number if frozen is None else min(number, frozen))

    def _lie(self, call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        result = answer.get("result")
        if not result:
            return answer
        if call["method"] == "eth_getTransactionCount":
            return {**answer, "result": hex(max(0, int(result, 16) - self.faults.stale_counts))}
        if call["method"] == "eth_blockNumber":
            return {**answer, "result": hex(self._told(int(result, 16)))}
        if (
            call["method"] == "eth_getBlockByNumber"
            and call["params"][0] == "latest"
            and self.faults.head > 0
        ):
            return {**answer, "result": {**result, "number": hex(self._told(int(result["number"], 16)))}}
        return answer

    async def _forward(self, call: dict[str, Any]) -> dict[str, Any]:
        assert self._session is not None
        async with self._session.post(self._node, json=call) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            return answer

    # WebSocket

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.faults.no_sockets or not self._node_socket:
            return web.Response(status=503, text="no sockets here")
        assert self._session is not None
        ours = web.WebSocketResponse(timeout=0.1)
        await ours.prepare(request)
        self._open.add(ours)
        try:
            async with self._session.ws_connect(self._node_socket, max_msg_size=0) as theirs:
                ways = [
                    asyncio.create_task(self._up(ours, theirs)),
                    asyncio.create_task(self._down(theirs, ours)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._open.discard(ours)
        return ours

    async def _up(self, ours: web.WebSocketResponse, theirs: aiohttp.ClientWebSocketResponse) -> None:
        async for message in ours:
            if message.type is not WSMsgType.TEXT:
                return
            call = json.loads(message.data)
            self.calls[call["method"]] += 1
            self.subscriptions += call["method"] == "eth_subscribe"
            if call["method"] == "eth_chainId" and self.faults.chain_id is not None:
                await ours.send_json(
                    {"jsonrpc": "2.0", "id": call["id"], "result": hex(self.faults.chain_id)}
                )
            elif call["method"] in self.faults.unknown:
                error = {"code": -32601, "message": "the method does not exist"}
                await ours.send_json({"jsonrpc": "2.0", "id": call["id"], "error": error})
            else:
                await theirs.send_str(message.data)

    async def _down(self, theirs: aiohttp.ClientWebSocketResponse, ours: web.WebSocketResponse) -> None:
        async for message in theirs:
            if message.type is not WSMsgType.TEXT:
                return
            said = json.loads(message.data)
            head = said.get("params", {}).get("result")
            if isinstance(head, dict) and "number" in head:
                head["number"] = hex(self._told(int(head["number"], 16)))
            if not self.faults.mute_sockets:
                await ours.send_json(said)
