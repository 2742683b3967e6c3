"""What a manifest says about a chain's endpoints, as numbers: texts are read once, and all that is wrong is said before the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from squall.errors import SquallError
from squall.spec.quantities import fraction, seconds, whole
from squall.spec.structs import Rpc as RpcSpec
from squall_runner.http import Origin, parse_url, render_headers
from squall_runner.resilience.backoff import backing_off
from squall_runner.resilience.breaker import BreakerRules
from squall_runner.resilience.budget import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from squall.spec.structs import Endpoint as EndpointSpec

_HTTP_OF: Final = {"ws": "http", "wss": "https"}


class EndpointError(SquallError):
    """An endpoint cannot be what the manifest says; the message never repeats its URL, which may hold a key."""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint, with all `${...}` filled in.

    Attributes:
        name: What metrics and messages call it.
        origin: Where it is.
        target: Path and query of its URL, encoded; may hold a key.
        headers: Rendered header lines.
        web_socket: URL of its WebSocket; empty: it has none.
        socket_origin: Where that is, as the http(s) origin that policies and proxies look at.
        socket_headers: Header fields that the WebSocket's handshake carries.
        rate: The most calls per second over all shards; None: any.
    """

    name: str
    origin: Origin
    target: bytes = field(repr=False)
    headers: bytes = field(repr=False)
    web_socket: str = field(default="", repr=False)
    socket_origin: Origin | None = None
    socket_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    rate: int | None = None

    @classmethod
    def of(cls, spec: EndpointSpec) -> EndpointSettings:
        """What the manifest says of one endpoint.

        Raises:
            EndpointError: A URL or a header cannot be used.
        """
        return cls.make(
            spec.name,
            spec.url,
            web_socket=spec.web_socket or "",
            headers=spec.headers or {},
            rate=None if spec.rate is None else whole(spec.rate),
        )

    @classmethod
    def make(
        cls,
        name: str,
        url: str,
        *,
        web_socket: str = "",
        headers: Mapping[str, str] | None = None,
        rate: int | None = None,
    ) -> EndpointSettings:
        """An endpoint from its parts; the arguments are as in the manifest.

        Raises:
            EndpointError: A URL or a header cannot be used.
        """
        origin, target = _parsed(name, "url", url)
        more = tuple((headers or {}).items())
        lines = [("Content-Type", "application/json"), *more]
        try:
            rendered = render_headers(origin, lines)
        except ValueError as error:
            raise EndpointError(f"spec.evm.endpoints: a header of {name}: {error}") from None
        socket_origin = None
        if web_socket:
            scheme, colon, rest = web_socket.strip().partition("://")
            if not colon or scheme not in _HTTP_OF:
                raise EndpointError(
                    f"spec.evm.endpoints: webSocket of {name} has to begin with ws:// or wss://",
                    "leave it out if the node has none",
                )
            socket_origin, _ = _parsed(name, "webSocket", f"{_HTTP_OF[scheme]}://{rest}")
        return cls(name, origin, target, rendered, web_socket.strip(), socket_origin, more, rate)

    @property
    def shown(self) -> str:
        """What messages call it: its name, and nothing of its URL but scheme, host and port."""
        return f"{self.name} ({self.origin.key})"


def _parsed(name: str, what: str, url: str) -> tuple[Origin, bytes]:
    try:
        return parse_url(url)
    except ValueError:
        hint = "write scheme, host and path, such as https://rpc.example/v1; user names and passwords belong in `headers`"
        raise EndpointError(
            f"spec.evm.endpoints: {what} of {name} is no URL that can be used", hint
        ) from None


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """How endpoints are asked; times in seconds.

    Attributes:
        timeout: For one try of a call, waiting for its turn included.
        batch_most: The most calls in one batch; 1: none are joined.
        batch_wait: How long a call waits for others; 0: for those of the same turn of the event loop.
        max_retries: Tries after the first one.
        pause: Draws the pause before the n-th retry.
        budget: What a call puts into the retry budget, in parts of `TOKEN`.
        breaker: When an endpoint is left alone.
        max_head_lag: Blocks behind the others from which on an endpoint is left out.
    """

    timeout: float
    batch_most: int
    batch_wait: float
    max_retries: int
    pause: Callable[[int, Random], float]
    budget: int
    breaker: BreakerRules
    max_head_lag: int

    @classmethod
    def of(cls, spec: RpcSpec | None = None) -> RpcSettings:
        """What the manifest says; None: all defaults."""
        spec = spec or RpcSpec()
        retry = spec.retry
        return cls(
            timeout=seconds(spec.timeout),
            batch_most=1 if spec.batch is None else spec.batch.max,
            batch_wait=0.0 if spec.batch is None else seconds(spec.batch.wait),
            max_retries=retry.max_retries,
            pause=backing_off(seconds(retry.initial), retry.backoff),
            budget=round(fraction(retry.budget) * TOKEN),
            breaker=BreakerRules.of(spec.circuit_breaker),
            max_head_lag=whole(spec.max_head_lag),
        )
