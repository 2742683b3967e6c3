"""HTTP in a manifest: one request, and what all requests of a test have in common.

Connections, TLS, proxies, retries and limits belong to the target rather than to a step, so they are said once, in
`spec.http`; a step says only what differs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from squall.spec.base import (
    MAX_BLOB,
    Duration,
    Model,
    Name,
    Percent,
    PositiveInt,
    Rule,
    Size,
    Text,
    at_most_one_of,
    one_of,
)

Headers = Annotated[dict[Annotated[str, Field(max_length=128)], Text], Field(max_length=64)]
JsonValue = Annotated[Any, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]
StatusRanges = Annotated[
    list[Annotated[str, Field(max_length=16, pattern="^[0-9]{3}(-[0-9]{3})?$")]],
    Field(min_length=1, max_length=16),
]
"""Statuses such as `200` or `200-299`."""
RetryableError = Literal["connect", "reset", "timeout", "protocol"]
HostName = Annotated[str, Field(min_length=1, max_length=255)]


class BasicAuth(Model):
    """User name and password, sent as the `Authorization` header (RFC 7617)."""

    username: Text
    """May hold `${...}`."""
    password: Text
    """May hold `${...}`; best a variable from a Secret."""


class OAuth2(Model):
    """A token by client credentials (RFC 6749, section 4.4), renewed before it expires.

    All VUs of a runner share one token, which is fetched before the load begins and renewed in the background, also after a
    response with status 401 that is a failure. Asking for it is no part of the load's metrics; `auth_tokens` counts it.
    """

    token_url: Text
    """Absolute, or a path below `baseUrl`; may hold `${var.x}`."""
    client_id: Text
    """May hold `${var.x}`."""
    client_secret: Text
    """May hold `${var.x}`; best a variable from a Secret."""
    scopes: Annotated[list[Text], Field(min_length=1, max_length=32)] | None = None
    """What is asked for; without it, what the server gives by default."""
    audience: Text | None = None
    """Sent as `audience`, for the servers that want one."""
    credentials: Literal["header", "body"] = "header"
    """Where client id and secret go: into the `Authorization` header, or into the form."""
    refresh_before: Duration = "30s"
    """A token is renewed this long before it expires, but not before half of its life. One without `expires_in` is renewed
    only after a 401."""


class Auth(Model):
    """How a request authenticates."""

    rules = (one_of("basic", "bearer", "oauth2"),)

    basic: BasicAuth | None = None
    bearer: Text | None = None
    """A token, sent as `Authorization: Bearer ...` (RFC 6750); may hold `${...}`."""
    oauth2: OAuth2 | None = None


class Backoff(Model):
    """How a pause grows from one try to the next."""

    factor: Annotated[str, Field(max_length=16, pattern=r"^[0-9]+(\.[0-9]+)?$")] = "1"
    """Each pause is the one before times this; `1` keeps it constant."""
    max: Duration = "30s"
    """The longest pause, 10ms at least."""
    jitter: Percent = "0%"
    """Each pause is longer or shorter by up to this share, at random."""


class Retry(Model):
    """Sends a failed request again.

    Each try is a request of its own in all metrics, with a `timeout` of its own, so a failure that a retry has mended is still
    seen; what a step makes of its response, failing included, is about the last try. What was not sent (rate_limited,
    circuit_open) is not tried again.
    """

    max_retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Tries after the first one; 0 switches a default of `spec.http` off."""
    errors: Annotated[list[RetryableError], Field(max_length=16)] = ["connect", "reset", "timeout"]
    """Failures without a response after which to try again. `connect`: dns, connect_refused, connect_timeout,
    connect_failed, tls and proxy; `reset`: reset and closed."""
    statuses: StatusRanges | None = None
    """Statuses after which to try again; by default 429, 502, 503 and 504."""
    methods: (
        Annotated[list[Annotated[str, Field(max_length=16, pattern="^[A-Z]+$")]], Field(max_length=16)] | None
    ) = None
    """Methods that may be tried again; by default the idempotent ones (RFC 9110, section 9.2.2). A failure to connect is
    tried again whatever the method: nothing was sent."""
    initial: Duration = "100ms"
    """The pause before the first retry; a `Retry-After` of the server that is longer is respected, unless it is longer than
    `timeout`: then there is no retry."""
    backoff: Backoff = Backoff(factor="2", max="10s", jitter="50%")
    budget: Percent = "20%"
    """Retries are at most this share of the first tries, per runner and host with its port, and ten beside it, in any stretch
    of the run: a target in trouble is not given a multiple of the load. It is the host's, whichever step sends, so only
    `spec.http.retry` has it."""


class Part(Model):
    """One part of a multipart/form-data body (RFC 7578)."""

    rules = (one_of("value", "file"),)

    name: Text
    """The name of the form field."""
    value: Text | None = None
    """A plain field; may hold `${...}`."""
    file: Name | None = None
    """The name of an entry of `spec.files`, streamed from disk."""
    filename: Text | None = None
    """What the server is told the file is called; by default the name in `spec.files`."""
    content_type: Text | None = None
    """Media type of the part; by default derived from the file name."""


class Http(Model):
    """One HTTP request. Every text may hold `${...}`."""

    rules = (at_most_one_of("json", "form", "multipart", "raw", "file"),)

    method: Annotated[str, Field(min_length=1, max_length=16, pattern="^[A-Z]+$")] = "GET"
    """The request method (RFC 9110)."""
    url: Annotated[str, Field(min_length=1, max_length=4096)]
    """Absolute, or a path below `baseUrl`."""
    query: Annotated[dict[Annotated[str, Field(max_length=128)], Text], Field(max_length=64)] | None = None
    """Query parameters, percent-encoded and added to `url`."""
    headers: Headers | None = None
    """Added to those of `http.headers`; the same name replaces one."""
    auth: Auth | None = None
    json_body: Annotated[JsonValue, Field(alias="json")] = None
    """A JSON body; a text that is exactly `${expr}` keeps the expression's type."""
    form: Annotated[dict[Annotated[str, Field(max_length=128)], Text], Field(max_length=256)] | None = None
    """An application/x-www-form-urlencoded body."""
    multipart: Annotated[list[Part], Field(min_length=1, max_length=64)] | None = None
    """A multipart/form-data body; files are streamed."""
    raw: Annotated[str, Field(max_length=MAX_BLOB)] | None = None
    """A body as it stands."""
    file: Name | None = None
    """The name of an entry of `spec.files` that is the body, streamed from disk."""
    timeout: Duration | None = None
    """For the whole request; by default `http.timeout`."""
    expect_status: StatusRanges | None = None
    """Statuses that are no failure, such as `200` or `200-299`; by default `200-399`."""
    retry: Retry | None = None
    """Instead of that of `spec.http`."""
    max_redirects: Annotated[int, Field(ge=0, le=50)] | None = None
    """Redirects followed; 0 takes the redirect itself as the answer. By default `http.maxRedirects`."""


class Tls(Model):
    """TLS of the requests."""

    ca_file: Name | None = None
    """The name of a file with certificates (PEM) to trust instead of the system's."""
    cert_file: Name | None = None
    """The name of a file with the client's certificate and key (PEM)."""
    server_name: Text | None = None
    """The name to ask for and to verify, when not the URL's host."""
    insecure_skip_verify: bool = False
    """Verify nothing. For test systems only."""


class Proxy(Model):
    """A forward proxy: https goes through a tunnel (CONNECT), http is asked for by absolute URL (RFC 9112, section 3.2).

    Names of targets are resolved by the proxy. Variables such as HTTP_PROXY in the environment change nothing.
    """

    url: Text
    """`http://host:port`, or `https://host:port` to speak TLS with the proxy itself, verified as targets are; may hold
    `${var.x}`."""
    auth: BasicAuth | None = None
    """Sent as `Proxy-Authorization`; texts may hold `${var.x}`."""
    no_proxy: Annotated[list[HostName], Field(max_length=64)] = []
    """Hosts that are reached directly: a name or an address, `.example.com` for all names below, or a network such as
    `10.0.0.0/8` for targets given as addresses. Loopback is none of them by itself."""


class RateLimit(Model):
    """The most requests that a host is given, whatever the VUs want; a request waits for its turn.

    The limit is that of all shards together: each has its share. Waiting is part of `http_req_blocked` and `http_req_total`, and
    counts against the request's timeout; a request whose turn would leave it less than a tenth of that fails at once, with
    class rate_limited, as one with an open circuit does (`circuitBreaker`). Redirects that a request follows are not held up.
    """

    rules = (
        Rule(
            "has(self.rate) || has(self.spacing)",
            "needs rate, spacing or both",
            lambda _, given: bool(given & {"rate", "spacing"}),
            {"anyOf": [{"required": ["rate"]}, {"required": ["spacing"]}]},
        ),
        Rule(
            "!has(self.burst) || has(self.rate)",
            "burst belongs to rate",
            lambda _, given: "burst" not in given or "rate" in given,
            {"anyOf": [{"required": ["rate"]}, {"not": {"required": ["burst"]}}]},
        ),
    )

    host: HostName | None = None
    """A host with all its ports, or `host:port`; without it, each host that no other limit names. The most precise limit
    holds, and several that are equally precise hold together."""
    rate: PositiveInt | None = None
    """Requests per `timeUnit`, over all shards."""
    time_unit: Duration = "1s"
    """What `rate` counts per."""
    burst: PositiveInt | None = None
    """So many requests may follow each other at once after a quiet time, over all shards; by default, and at least, one per
    shard."""
    spacing: Duration | None = None
    """The shortest time from one request of a shard to its next."""


class CircuitBreaker(Model):
    """Leaves a host alone that fails, and sees from time to time whether it is back; per runner and host with its port.

    Setup and teardown are sent whatever it says, and a redirect counts as an answer of the host that gave it. While the
    circuit is open a request fails at once, with class circuit_open, and the VU pauses for 100 ms. It is counted in
    `http_req_failed` and `http_req_errors`, but not in `http_reqs`: nothing was sent.
    """

    error_rate: Percent = "50%"
    """The circuit opens when this share of the requests of `window` has failed. A failure is a request without a response, a
    status 429, or one from 500."""
    window: Duration = "10s"
    """What the share is taken over."""
    min_requests: PositiveInt = 20
    """With fewer requests in the window it stays closed."""
    open_for: Duration = "5s"
    """How long it stays open before it is half open."""
    probes: PositiveInt = 3
    """Half open, so many requests are let through: it closes when all of them succeed, and opens again, for twice as long,
    up to ten times `openFor`, when one fails."""


class Failover(Model):
    """Leaves out one of several `baseUrls` that cannot be reached; per runner. When all are out, all have their share."""

    failures: PositiveInt = 3
    """So many failures to connect, or connections lost without a response, one after the other."""
    retry_after: Duration = "10s"
    """After this a single request tries it again: an answer brings it back, a failure leaves it out for as long once
    more."""


class HttpDefaults(Model):
    """Defaults of all http steps."""

    rules = (
        at_most_one_of("baseUrl", "baseUrls"),
        Rule(
            "!has(self.failover) || has(self.baseUrls)",
            "failover needs baseUrls: there must be somewhere else to go",
            lambda _, given: "failover" not in given or "baseUrls" in given,
            {"anyOf": [{"required": ["baseUrls"]}, {"not": {"required": ["failover"]}}]},
        ),
    )

    base_url: Text | None = None
    """What a `url` that is only a path is appended to; may hold `${var.x}`."""
    base_urls: Annotated[list[Text], Field(min_length=1, max_length=32)] | None = None
    """Several targets that share the load."""
    balancing: Literal["round-robin", "random", "per-vu"] = "round-robin"
    """How `baseUrls` share the load: in turn, at random, or a VU keeps to one."""
    timeout: Duration = "30s"
    """For a whole request, from the wait for a connection to the last byte."""
    connect_timeout: Duration = "10s"
    """For DNS, the TCP connection and TLS together."""
    headers: Headers | None = None
    """Sent with every request."""
    max_redirects: Annotated[int, Field(ge=0, le=50)] = 10
    """Redirects followed by one request; 0 takes the redirect itself as the answer."""
    max_body_size: Size = "64MiB"
    """A longer response is a failure of class body_too_large."""
    cookies: bool = True
    """Each VU keeps the cookies it is given."""
    keep_alive: bool = True
    """Reuse connections; without it each request has a connection of its own."""
    reset_between_iterations: bool = False
    """Begin every iteration with fresh connections and no cookies."""
    tls: Tls | None = None
    auth: Auth | None = None
    """For steps whose `url` is a path below `baseUrl` and which have no `auth` and no `Authorization` header of their own."""
    proxy: Proxy | None = None
    shared_connections: PositiveInt | None = None
    """The most connections to one host, over all shards, at least one per shard: VUs share them and wait for a free one.
    Without it, each VU has its own, as visitors have."""
    failover: Failover | None = None
    """With `baseUrls`; without it, each has its share whatever happens."""
    retry: Retry | None = None
    rate_limits: Annotated[list[RateLimit], Field(max_length=32)] = []
    circuit_breaker: CircuitBreaker | None = None
