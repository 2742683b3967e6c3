"""What the hub serves: a WebSocket for runners, and a small HTTP API for whoever starts and watches runs.

    GET    /healthz                 200 as soon as the hub serves
    GET    /v1/runs                 all runs (`RunList`); installation key
    PUT    /v1/runs/{run}           add a run (JSON: `RunSpec`); installation key
    GET    /v1/runs/{run}           its `LiveState`; installation key or the run's token
    GET    /v1/runs/{run}/summary   its `Summary`, 409 before its end; installation key or the run's token
    POST   /v1/runs/{run}/stop      stop it (JSON: `StopOrder`); installation key
    DELETE /v1/runs/{run}           forget it; 202 and at its end while it is ending, 409 before; installation key
    POST   /v1/runs/{run}/runners/{index}/lost   a runner is no more (JSON: `LostRunner`); installation key
    GET    /v1/runs/{run}/runner    WebSocket, see `protocol`; the run's token

Everything but /healthz needs `Authorization: Bearer`. Who may not know whether a run exists is told 401 in any case. Errors
are JSON: `{"error": ...}`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web

from squall.errors import SquallError
from squall.hub import protocol
from squall.hub.connection import Connection
from squall.hub.members import Refused
from squall.hub.model import Cause, RunSpec
from squall.hub.tokens import bears
from squall.hub.turns import Turns
from squall.report.model import LiveState

if TYPE_CHECKING:
    from squall.hub.driver import Run
    from squall.hub.hub import Hub
    from squall.hub.tally import Refusal

MAX_BODY: Final = 4 * 1024 * 1024
HELLO_SECONDS: Final = 10.0


class StopOrder(msgspec.Struct, frozen=True):
    """How and why to stop a run.

    Attributes:
        cause: `user`, `policy`, ...
        reason: One CamelCase word.
        message: For people.
        now: At once, without teardown.
    """

    cause: Cause = "user"
    reason: str = "Stopped"
    message: str = "stopped by a user"
    now: bool = False


class RunList(msgspec.Struct, frozen=True):
    """All runs of a hub, those that have finished and were not forgotten included."""

    runs: tuple[LiveState, ...]


class LostRunner(msgspec.Struct, frozen=True):
    """What became of a runner, as whoever started it knows.

    Attributes:
        message: For people: which runner, and what happened.
        reason: One CamelCase word.
    """

    message: str
    reason: str = "RunnerLost"


def application(hub: Hub) -> web.Application:
    """The hub's web application."""
    api = _Api(hub)
    app = web.Application(client_max_size=MAX_BODY)
    app.add_routes(
        [
            web.get("/healthz", api.health),
            web.get("/v1/runs", api.all),
            web.put("/v1/runs/{run}", api.add),
            web.get("/v1/runs/{run}", api.state),
            web.get("/v1/runs/{run}/summary", api.summary),
            web.post("/v1/runs/{run}/stop", api.stop),
            web.delete("/v1/runs/{run}", api.forget),
            web.post(r"/v1/runs/{run}/runners/{index:\d{1,9}}/lost", api.lost),
            web.get(protocol.PATH, api.runner),
        ]
    )
    return app


class _Api:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._turns = Turns()

    # -- who is asking ----------------------------------------------------------------------------------------

    def _by_operator(self, request: web.Request) -> bool:
        return bears(request.headers.get("Authorization"), self._hub.key)

    def _by_run(self, request: web.Request) -> bool:
        return bears(
            request.headers.get("Authorization"), self._hub.token(request.match_info["run"]).encode()
        )

    def _run(self, request: web.Request, *, allowed: bool) -> Run:
        if not allowed:
            raise self._stranger("no valid token")
        run = self._hub.runs.get(request.match_info["run"])
        if run is None:
            raise _refusal(web.HTTPNotFound, "no such run")
        return run

    def _stranger(self, text: str) -> web.HTTPError:
        self._turned_away("unauthorized")
        return _refusal(web.HTTPUnauthorized, text)

    def _turned_away(self, why: Refusal) -> None:
        self._hub.tally.refused[why] += 1

    # -- answers ----------------------------------------------------------------------------------------------

    async def health(self, request: web.Request) -> web.Response:
        del request
        return web.Response(text="ok")

    async def add(self, request: web.Request) -> web.Response:
        if not self._by_operator(request):
            raise self._stranger("no valid key")
        try:
            spec = msgspec.json.decode(await request.read(), type=RunSpec)
            if spec.run != request.match_info["run"]:
                raise _refusal(web.HTTPBadRequest, "the run has another id than the URL")
            # No files lie where a request says.
            run = self._hub.add_run(msgspec.structs.replace(spec, folder=""))
        except SquallError as error:
            raise _refusal(web.HTTPBadRequest, error.message) from error
        except (ValueError, msgspec.DecodeError) as error:
            raise _refusal(web.HTTPBadRequest, str(error)) from error
        return _json(run.live, status=201)

    async def all(self, request: web.Request) -> web.Response:
        if not self._by_operator(request):
            raise self._stranger("no valid key")
        return _json(RunList(tuple(run.live for run in self._hub.runs.values())))

    async def state(self, request: web.Request) -> web.Response:
        allowed = self._by_operator(request) or self._by_run(request)
        return _json(self._run(request, allowed=allowed).live)

    async def summary(self, request: web.Request) -> web.Response:
        run = self._run(request, allowed=self._by_operator(request) or self._by_run(request))
        if run.outcome is None:
            raise _refusal(web.HTTPConflict, "the run has not finished")
        return _json(run.outcome.summary)

    async def stop(self, request: web.Request) -> web.Response:
        run = self._run(request, allowed=self._by_operator(request))
        try:
            order = msgspec.json.decode(await request.read() or b"{}", type=StopOrder)
        except msgspec.DecodeError as error:
            raise _refusal(web.HTTPBadRequest, str(error)) from error
        run.stop(order.cause, order.reason, order.message)
        if order.now:
            run.kill()
        return _json(run.live)

    async def lost(self, request: web.Request) -> web.Response:
        run = self._run(request, allowed=self._by_operator(request))
        try:
            lost = msgspec.json.decode(await request.read(), type=LostRunner)
            run.runner_gone(int(request.match_info["index"]), lost.reason, lost.message)
        except msgspec.DecodeError as error:
            raise _refusal(web.HTTPBadRequest, str(error)) from error
        except Refused as error:
            raise _refusal(web.HTTPNotFound, str(error)) from error
        return _json(run.live)

    async def forget(self, request: web.Request) -> web.Response:
        run = self._run(request, allowed=self._by_operator(request))
        if self._hub.forget(run.spec.run):
            return web.Response(status=204)
        if self._hub.forget_at_end(run.spec.run):
            return _json(run.live, status=202)
        raise _refusal(web.HTTPConflict, "the run has not finished, and is not ending")

    # -- runners ----------------------------------------------------------------------------------------------

    async def runner(self, request: web.Request) -> web.StreamResponse:
        run = self._run(request, allowed=self._by_run(request))
        socket = web.WebSocketResponse(max_msg_size=protocol.MAX_FRAME, compress=False)
        try:
            await socket.prepare(request)
        except ConnectionError:
            return web.Response()  # the runner has gone while it was being let in: nobody reads this
        try:
            hello = await _hello(socket)
        except (ValueError, msgspec.DecodeError, TimeoutError) as error:
            self._turned_away("no_hello")
            await _close(socket, protocol.CLOSE_MALFORMED, f"no hello: {error}")
            return socket
        connection = Connection(socket, lambda: _break_off(request))
        try:
            run.attach(hello, connection)
        except Refused as error:
            self._turned_away("no_place")
            await _close(socket, protocol.CLOSE_REFUSED, str(error))
            return socket
        await self._serve(run, hello.runner, connection, socket)
        return socket

    async def _serve(
        self, run: Run, runner: int, connection: Connection, socket: web.WebSocketResponse
    ) -> None:
        """Take in what a runner sends, until its connection ends."""
        sender = asyncio.create_task(connection.run())
        try:
            async for message in socket:
                await run.rest.over()
                await self._turns.mine()
                began = time.thread_time()  # not what others have had of the processor meanwhile
                problem = self._take(run, runner, connection, message)
                run.rest.took(time.thread_time() - began)
                if problem:
                    self._turned_away("too_large" if _is_too_large(message) else "malformed")
                    run.refuse(runner, connection, problem)
                    connection.close(protocol.CLOSE_MALFORMED, problem)
                    await asyncio.wait([sender], timeout=1)
                    break
        finally:
            run.detach(runner, connection)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _take(self, run: Run, runner: int, connection: Connection, message: WSMessage) -> str:
        """Hand a frame to the run; returns why it makes no sense, if it does not."""
        if message.type is not WSMsgType.BINARY:
            return "frames are binary"
        tally = self._hub.tally
        tally.received_bytes += len(message.data)
        try:
            said = protocol.from_runner(message.data)
            run.received(runner, connection, said)
        except (ValueError, msgspec.DecodeError) as error:
            return str(error)
        tally.snapshots += isinstance(said, protocol.Measured)
        return ""


async def _hello(socket: web.WebSocketResponse) -> protocol.Hello:
    """The first message of a connection.

    Raises:
        ValueError: It is no hello.
        TimeoutError: It did not come.
    """
    async with asyncio.timeout(HELLO_SECONDS):
        first = await socket.receive()
    if first.type is not WSMsgType.BINARY:
        raise ValueError("a binary frame was expected")
    message = protocol.from_runner(first.data)
    if not isinstance(message, protocol.Hello):
        raise ValueError(f"{type(message).__name__} came first")  # noqa: TRY004 - the value is wrong, not a type
    return message


def _is_too_large(message: WSMessage) -> bool:
    error = message.data
    return isinstance(error, WebSocketError) and error.code == WSCloseCode.MESSAGE_TOO_BIG


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _close(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    await socket.close(code=code, message=reason.encode()[:120])


def _json(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def _refusal(kind: type[web.HTTPError], message: str) -> web.HTTPError:
    return kind(text=msgspec.json.encode({"error": message}).decode(), content_type="application/json")
