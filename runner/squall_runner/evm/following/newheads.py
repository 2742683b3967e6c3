"""News of blocks by WebSocket: `eth_subscribe` to `newHeads`, at one endpoint at a time, and at the next one when that is lost.

A socket may be cut, refused, or open and mute; that is nobody's failure here, as the follower asks for blocks while nothing is heard.
The socket keeps the rules of the HTTP client's network: where load may go, the proxy, TLS.
Format: https://geth.ethereum.org/docs/interacting-with-geth/rpc/pubsub.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from squall.errors import InfrastructureError
from squall.nesting import bounded
from squall.spec.secrets import shortened
from squall_runner.evm.following.heads import Header
from squall_runner.evm.node.failures import RpcError
from squall_runner.evm.node.jsonrpc import ErrorObject, call_body
from squall_runner.http.errors import RequestError
from squall_runner.http.tls import make_context
from squall_runner.resilience.backoff import growing

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from random import Random

    from squall_runner.evm.following.heads import Head
    from squall_runner.evm.node.endpoints import Endpoint
    from squall_runner.evm.node.rpc import Rpc
    from squall_runner.http import Network, Origin

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0
_LARGEST: Final = 8 * 1024 * 1024
_PAUSES: Final = growing(0.2, factor=2.0, most=10.0, jitter=0.3)
_CHAIN, _SUBSCRIBE = 1, 2


class _News(msgspec.Struct, gc=False):
    result: Header


class _Frame(msgspec.Struct, gc=False):
    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorObject | None = None
    params: _News | None = None


_decode = bounded(msgspec.json.Decoder(_Frame).decode)


class _Refused(Exception):  # noqa: N818 - it ends a connection, and goes no further
    """This socket is of no use; says why."""


class NewHeads:
    """Listens until it is cancelled.

    Args:
        rpc: The endpoints.
        heard: Told of each head, and who has told of it.
        changed: Told when `live` has changed.
        told: For the run's log, as that of `Rpc`.
        rng: Scatters pauses.

    Attributes:
        live: Whether there is a subscription.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        heard: Callable[[Endpoint, Head], None],
        changed: Callable[[], None],
        told: Callable[[str, str], None],
        rng: Random,
    ) -> None:
        self._rpc = rpc
        self._heard = heard
        self._changed = changed
        self._told = told
        self._rng = rng
        self._context: ssl.SSLContext | None = None
        self._socket: ClientConnection | None = None
        self._endpoints = [each for each in rpc.pool.all if each.settings.web_socket]
        self._turn = 0
        self.live = False

    @property
    def possible(self) -> bool:
        """Whether any endpoint has a WebSocket."""
        return bool(self._endpoints)

    async def run(self) -> None:
        """Listen, now here and now there, until cancelled."""
        failures = 0
        while True:
            endpoint = self._next()
            failures += 1
            try:
                async with self._connection(endpoint) as socket:
                    await self._subscribe(socket, endpoint)
                    failures = 0
                    await self._listen(socket, endpoint)
            except (_Refused, RequestError, RpcError, InfrastructureError) as error:
                why = str(error)
            except (WebSocketException, OSError, TimeoutError, EOFError) as error:
                why = str(error) or type(error).__name__
            except (msgspec.DecodeError, ValueError) as error:
                why = f"what it says cannot be understood: {error}"
            finally:
                self._set(None)
            if failures < 2:  # one that was lost, or the first that was refused; the following say the same
                self._told(
                    "warning",
                    f"no news of blocks from {endpoint.shown}: {shortened(why, 200)}; they are asked for instead",
                )
            await asyncio.sleep(_PAUSES(failures + 1, self._rng))

    def leave(self) -> None:
        """Give up the present connection, and take another one: nothing is heard over it."""
        if self._socket is not None:
            self._socket.transport.abort()

    def _next(self) -> Endpoint:
        """Those that are well come first, in turns."""
        self._turn += 1
        turned = [
            self._endpoints[(self._turn + at) % len(self._endpoints)] for at in range(len(self._endpoints))
        ]
        return next((each for each in turned if each.up), turned[0])

    def _set(self, socket: ClientConnection | None) -> None:
        self._socket = socket
        live = socket is not None
        if live is not self.live:
            self.live = live
            self._changed()

    def _connection(self, endpoint: Endpoint) -> _Connection:
        origin, network = endpoint.settings.socket_origin, self._rpc.network
        if origin is not None and origin.tls and self._context is None:
            self._context = make_context(network.options.tls)
        return _Connection(network, endpoint, self._context)

    async def _subscribe(self, socket: ClientConnection, endpoint: Endpoint) -> None:
        """See that it is the right chain, and ask for news."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await socket.send(call_body(_CHAIN, "eth_chainId", ()).decode(), text=True)
            found = await _answer(socket, _CHAIN)
            _, problem = self._rpc.chain.judge(endpoint, msgspec.json.decode(found, type=str))
            if problem:
                raise _Refused(f"its webSocket: {problem}")
            await socket.send(call_body(_SUBSCRIBE, "eth_subscribe", ("newHeads",)).decode(), text=True)
            await _answer(socket, _SUBSCRIBE)
        self._set(socket)

    async def _listen(self, socket: ClientConnection, endpoint: Endpoint) -> None:
        while True:
            try:
                frame = _decode(await socket.recv())
            except ConnectionClosed as error:
                raise _Refused("the connection was cut") from error
            if frame.params is not None:
                self._heard(endpoint, frame.params.result.head(self._rpc.clock()))
                if not endpoint.up and any(each.up for each in self._endpoints):
                    raise _Refused(endpoint.why)


async def _answer(socket: ClientConnection, number: int) -> msgspec.Raw:
    while True:
        try:
            frame = _decode(await socket.recv())
        except ConnectionClosed as error:
            raise _Refused("the connection was closed before it had answered") from error
        if frame.id == number:
            if frame.error is not None:
                raise _Refused(frame.error.message)
            if isinstance(frame.result, msgspec.UnsetType):
                raise _Refused("it answers with neither a result nor an error")
            return frame.result


class _Connection:
    """A WebSocket to an endpoint, by the network's rules, for one `async with`.

    Args:
        network: Whose rules hold.
        endpoint: Where to.
        context: For TLS, where it is spoken.
    """

    def __init__(self, network: Network, endpoint: Endpoint, context: ssl.SSLContext | None) -> None:
        self._network = network
        self._context = context
        self._settings = endpoint.settings
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> ClientConnection:
        origin = self._settings.socket_origin
        assert origin is not None, "it has a WebSocket"
        options: dict[str, Any] = await self._way(origin)
        if origin.tls:
            name = self._network.options.tls.server_name or origin.host
            options |= {"ssl": self._context, "server_hostname": name}
        self._socket = await _Connect(
            self._settings.web_socket,
            additional_headers=self._settings.socket_headers,
            compression=None,
            open_timeout=CONNECT_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=_LARGEST,
            **options,
        )
        return self._socket

    async def _way(self, origin: Origin) -> dict[str, Any]:
        proxy = self._network.proxy_for(origin)
        if proxy is None:
            _, address = (await self._network.addresses(origin))[0]
            return {"proxy": None, "host": str(address[0]), "port": origin.port}
        await self._network.permit(origin)
        credentials = proxy.credentials
        login = f"{quote(credentials[0], safe='')}:{quote(credentials[1], safe='')}@" if credentials else ""
        return {"proxy": f"{proxy.origin.scheme}://{login}{proxy.origin.authority}"}

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()


class _Connect(connect):
    """Follows nobody elsewhere: only what the manifest names was allowed."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Take an answer that leads elsewhere for the failure that it is."""
        return exc
