"""Fuzzing of the response path: every input ends as one response, whatever it holds, and nothing else escapes.

The real client, connection, parser, cookie jar and redirects run here, on transports that go nowhere: without sockets and turns
of an event loop a hundred thousand inputs take seconds. What is awaited is driven by hand, so "does not end" shows at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, cast

from support.oddresponses import odd_response

from squall.expr import EvaluationError, Scope, compile_expression
from squall_runner.http import (
    BodyError,
    HttpClient,
    Limits,
    Network,
    NetworkOptions,
    Origin,
    Request,
    Response,
    build,
)
from squall_runner.http import errors as classes
from squall_runner.http.http1 import Connection
from squall_runner.http.network import Phases
from squall_runner.resilience.backoff import asked_pause
from squall_runner.steps.extract import ExtractionError, compile_extractor

MAX_BODY = 16_000
_MAX_REDIRECTS = 3
_URL = "http://target.example/deep/path?q=1"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLASSES = frozenset(
    value
    for name, value in vars(classes).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
)
_EXTRACTORS = [
    compile_extractor("a", json_path="$.token"),
    compile_extractor("b", json_path="$.items[0].id"),
    compile_extractor("c", json_path="$..id", all_matches=True),
    compile_extractor("d", regex="id.: ([0-9]+)"),
    compile_extractor("e", header="Location"),
    compile_extractor("f", cookie="a"),
]
_CHECKS = [
    compile_expression(text, Scope().with_response()).evaluate
    for text in (
        "status == 200",
        "len(text) > 2",
        "body.token == 'abc'",
        "len(body['items']) > 1",
        "headers['location'] != ''",
    )
]


class Wrong(AssertionError):
    """An input did what no input may do."""


class Transport:
    """Goes nowhere, and knows whether it was closed."""

    def __init__(self, network: OfflineNetwork) -> None:
        self._network = network
        self.closed = False
        self.lost = False
        self.connection: Connection

    def write(self, data: bytes) -> None:
        """Makes this the connection that is waited for."""
        self._network.sent += len(data)
        self._network.active = self

    def close(self) -> None:
        self.closed = True

    abort = close

    def get_extra_info(self, name: str) -> None:
        """Nothing is known of a connection that is none."""

    def lose(self, exc: Exception | None) -> None:
        """Tells the connection of its end, once, as event loops do."""
        if not self.lost:
            self.lost = self.closed = True
            self.connection.connection_lost(exc)


class OfflineNetwork(Network):
    """A network whose connections are open at once and lead nowhere."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sent = 0
        limits = Limits(max_head_bytes=65536, max_body_bytes=MAX_BODY)
        options = NetworkOptions(limits=limits, max_redirects=_MAX_REDIRECTS)
        super().__init__(options, clock=self._tick, wall=lambda: 1.7e9)
        self.active: Transport
        self.transports: list[Transport] = []

    def _tick(self) -> float:
        self.now += 1e-6
        return self.now

    async def open(
        self, origin: Origin, deadline: float, phases: Phases, gone: Callable[[], None] | None = None
    ) -> Connection:
        """Opens a connection that leads nowhere."""
        del deadline
        phases.begun = self.clock()
        lost = gone or (lambda: None)
        connection = Connection(origin, self.clock, self._deadlines, self.options.limits, lost)
        transport = Transport(self)
        transport.connection = connection
        connection.connection_made(cast("asyncio.BaseTransport", transport))
        self.transports.append(transport)
        return connection

    def bury(self) -> None:
        """Lets the event loop's part of closing happen."""
        for transport in self.transports:
            if transport.closed:
                transport.lose(None)
        self.transports = [transport for transport in self.transports if not transport.lost]


@dataclass(frozen=True, slots=True)
class Input:
    """One input.

    Attributes:
        method: What was asked.
        keep: Whether the body is read.
        stream: What the server sends.
        ending: What happens behind it: `eof`, `reset` or `timeout`.
    """

    method: str
    keep: bool
    stream: bytes
    ending: str


def make_input(seed: int, number: int) -> tuple[Input, Random]:
    """The n-th input of a seed, and the chance to go on with."""
    rng = Random(f"{seed}:{number}")
    method = rng.choice(("GET", "GET", "GET", "GET", "POST", "HEAD"))
    ending = rng.choice(("eof", "eof", "eof", "reset", "timeout"))
    return Input(method, rng.random() < 0.8, odd_response(rng), ending), rng


def pieces(rng: Random, stream: bytes) -> list[bytes]:
    """The same bytes as a network may deliver them."""
    kind = rng.random()
    if kind < 0.1 and len(stream) <= 600:
        return [stream[at : at + 1] for at in range(len(stream))]
    cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.choice((1, 1, 2, 3, 8))))
    bounds = [0, *cuts, len(stream)]
    return [piece for start, end in pairwise(bounds) if (piece := stream[start:end])]


class Visitor:
    """A client against a server that does what an input says; to be used within a running event loop."""

    def __init__(self) -> None:
        self.network = OfflineNetwork()
        self._requests: dict[str, Request] = {
            method: build(method, _URL) for method in ("GET", "POST", "HEAD")
        }
        self._origin = self._requests["GET"].origin
        self._plain = build("GET", _URL)

    def visit(self, case: Input, split: Callable[[bytes], list[bytes]]) -> Response:
        """Sends one request, reads everything of its response, and sees that what is left can be used.

        Raises:
            Wrong: The input did what no input may do.
        """
        client = HttpClient(self.network)
        response = self._exchange(client, self._requests[case.method], case, split)
        self._judge(response, case)
        read(response, keep=case.keep)
        if client.jar is not None:
            line = client.jar.header(self._origin, "/deep/path", 1.7e9)
            if line and (line.count(b"\n") != 1 or line.count(b"\r") != 1 or not line.endswith(b"\r\n")):
                raise Wrong(f"cookies break the request: {line[:200]!r}")
        self.network.bury()
        again = self._exchange(client, self._plain, Input("GET", True, _OK, "eof"), lambda stream: [stream])
        if (again.status, again.error, again.body) != (200, "", b"ok"):
            raise Wrong(f"the next request suffers: {again!r} {again.error_message}")
        client.close()
        self.network.bury()
        if self.network.transports or self.network._deadlines.members:
            raise Wrong("a connection is left over")
        return response

    def _exchange(
        self, client: HttpClient, request: Request, case: Input, split: Callable[[bytes], list[bytes]]
    ) -> Response:
        sending = client.send(request, timeout=30.0, keep_body=case.keep)
        try:
            while True:
                waiting = cast("asyncio.Future[Any]", sending.send(None))
                _serve(self.network.active, waiting, case, split)
                if not waiting.done():
                    raise Wrong("the end of the connection does not end the request")
                self.network.bury()
        except StopIteration as end:
            return cast("Response", end.value)
        finally:
            sending.close()

    @staticmethod
    def _judge(response: Response, case: Input) -> None:
        if response.error:
            if response.error not in CLASSES:
                raise Wrong(f"no class: {response.error}")
            if (
                not response.error_message
                or len(response.error_message) > 700
                or "\n" in response.error_message
            ):
                raise Wrong(f"message: {response.error_message!r}")
            if "Traceback" in response.error_message or "callback" in response.error_message:
                raise Wrong(f"message: {response.error_message!r}")
        elif not (200 <= response.status <= 999 or response.status == 101):
            raise Wrong(f"status {response.status}")
        if case.ending == "timeout" and response.error in ("closed", "reset"):
            raise Wrong("nobody had closed the connection")
        if min(response.sending, response.waiting, response.receiving, response.end - response.start) < 0:
            raise Wrong("negative time")
        if not 0 <= response.size <= response.bytes_received <= len(case.stream):
            raise Wrong(f"sizes {response.size} {response.bytes_received} {len(case.stream)}")


def _serve(
    transport: Transport, waiting: asyncio.Future[Any], case: Input, split: Callable[[bytes], list[bytes]]
) -> None:
    connection = transport.connection
    for piece in split(case.stream):
        if transport.closed:
            break
        connection.data_received(piece)  # also when the response is complete: then it is surplus
    if waiting.done():
        return
    if case.ending == "eof":
        connection.eof_received()
        transport.lose(None)
    elif case.ending == "reset":
        transport.lose(ConnectionResetError())
    else:
        connection.expire(connection.deadline)


def read(response: Response, *, keep: bool) -> None:
    """Reads everything of a response, as steps do: nothing but their own errors may come of it."""
    for part in (response, *response.redirects):
        headers = part.headers
        if len(headers.lines()) < len(headers) or dict(headers) != {name: headers[name] for name in headers}:
            raise Wrong("header fields")
        _ = (part.cookies, part.reason, part.total, repr(part))
        if not 0.0 <= asked_pause(part.header("retry-after")) < float("inf"):
            raise Wrong("Retry-After")
    for get in (lambda: response.body, lambda: response.text, response.json):
        try:
            get()
        except BodyError as error:
            if error.error not in CLASSES or not error.message:
                raise Wrong("body error") from error
        except RuntimeError:
            if keep:
                raise
    if not keep or response.error:
        return
    for extractor in _EXTRACTORS:
        try:
            extractor(response)
        except ExtractionError as error:
            str(error)
    env = {"vu": 1, "iter": 0}
    for check in _CHECKS:
        try:
            check(env, response)
        except EvaluationError as error:
            str(error)


def outcome(response: Response) -> tuple[Any, ...]:
    """What does not depend on how the bytes came in pieces."""
    # A body that is too large and damaged is found to be one or the other first.
    error = "protocol" if response.error == "body_too_large" else response.error
    if error:
        return (error, response.status, len(response.redirects))
    body = response._body
    return (error, response.status, len(response.redirects), response.headers.lines(), response.size, body)


def try_input(visitor: Visitor, seed: int, number: int) -> Response:
    """Runs one input, in one piece and in several: both must come to the same.

    Raises:
        Exception: Whatever escaped, or Wrong.
    """
    case, rng = make_input(seed, number)
    response = visitor.visit(case, lambda stream: [stream] if stream else [])
    if number % 2:
        parts = pieces(rng, case.stream)
        other = visitor.visit(case, lambda _: parts)
        if outcome(response) != outcome(other):
            raise Wrong(f"depends on its pieces: {outcome(response)!r:.300} against {outcome(other)!r:.300}")
    return response
