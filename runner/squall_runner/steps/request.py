"""The request of an http step, rendered as far as it is known before the run.

A request whose every part is constant is built once. Of any other, the header lines that are constant are bytes
already, checked names of headers stay checked, and bodies are compiled templates: what is left is filling in values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from squall.expr import compile_template
from squall_runner.http import (
    Request,
    Template,
    encode_target,
    header_line,
    parse_url,
    render_headers,
)
from squall_runner.load import LoadError
from squall_runner.steps.body import compile_body
from squall_runner.steps.context import Target
from squall_runner.steps.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.expr import Env, Scope
    from squall.expr import Template as Text
    from squall.spec.structs import Http
    from squall_runner.auth import TokenSource
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Origin
    from squall_runner.resilience.failover import Failover
    from squall_runner.steps.body import Body
    from squall_runner.steps.context import Context

    Build = Callable[[Vu], Request]
    Headers = list[tuple[str, str]]
    Line = Callable[[Env], bytes]

_ORIGIN = re.compile(r"(https?://[^/?#]+)(.*)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a request that do not depend on where it goes."""

    method: str
    query: Callable[[Env], str] | str
    headers: Headers
    lines: list[Line]
    token: TokenSource | None
    body: Body

    @property
    def all_lines(self) -> list[Line]:
        """All header lines that vary, that of the token included."""
        token = self.token
        return self.lines if token is None else [*self.lines, lambda _: token.line]


def compile_request(http: Http, scope: Scope, ctx: Context) -> tuple[Build, Request | None]:
    """Compile a request.

    Returns:
        What builds it for a VU (it raises EvaluationError or ValueError when a value is missing or impossible), and
        the request itself if it is always the same.

    Raises:
        ExpressionError: A template is wrong.
        LoadError: A file is not there, or the URL leads nowhere.
    """
    scope = scope.with_secrets()
    body = compile_body(http, scope, ctx)
    url = compile_template(http.url, scope)
    known = ctx.constant(url)
    text = url.source if known is None else known.replace("${", "$${")
    located = _ORIGIN.match(text)
    late = text.startswith("${")
    headers, lines, token = _headers(
        http, body.content_type, scope, ctx, below_base=located is None and not late
    )
    parts = _Parts(http.method, _query(http.query or {}, scope, ctx), headers, lines, token, body)
    if late or (located and "${" in located[1]):
        return _anywhere(parts, url), None
    targets = (Target(_origin(located[1]), ""),) if located else _targets(ctx, http.url)
    if located:
        text = located[2] or "/"
    path = compile_template(text if text[:1] in "/?" else f"/{text}", scope)
    try:
        return _build(parts, targets, path, ctx)
    except ValueError as error:
        raise LoadError("RequestInvalid", f"{http.method} {http.url}: {error}") from error


def _targets(ctx: Context, url: str) -> tuple[Target, ...]:
    if not ctx.targets:
        message = f"the URL {url!r} is only a path, and there is no base URL"
        raise LoadError("NoBaseUrl", message, "set spec.http.baseUrl, or write the whole URL")
    return ctx.targets


def _origin(url: str) -> Origin:
    try:
        return parse_url(url)[0]
    except ValueError as error:
        raise LoadError("RequestInvalid", str(error)) from error


# -- headers --------------------------------------------------------------------------------------------------


def _headers(
    http: Http, content_type: str, scope: Scope, ctx: Context, *, below_base: bool
) -> tuple[Headers, list[Line], TokenSource | None]:
    """Constant header fields, renderers of those that vary, and the token to show, if any."""
    merged: dict[str, tuple[str, Text]] = {}
    for fields in (ctx.http.headers, http.headers):
        for name, text in (fields or {}).items():
            merged[name.lower()] = (name, compile_template(text, scope))
    shown = credentials_of(http.auth, http.headers or (), ctx, scope, below_base=below_base)
    if shown is not None:
        merged.pop("authorization", None)
    constant: Headers = []
    lines: list[Line] = []
    for name, template in merged.values():
        known = ctx.constant(template)
        if known is None:
            lines.append(_line(name, template.render))
        else:
            constant.append((name, known))
    if content_type and "content-type" not in merged:
        constant.append(("Content-Type", content_type))
    if not ctx.http.keep_alive and "connection" not in merged:
        constant.append(("Connection", "close"))
    if shown is None or shown.source is not None:
        return constant, lines, shown.source if shown else None
    if shown.constant is not None:
        constant.append(("Authorization", shown.constant))
    else:
        lines.append(_line("Authorization", shown.render))
    return constant, lines, None


def _line(name: str, render: Callable[[Env], str]) -> Line:
    """A header line whose value varies; the name is checked here, once."""
    start = header_line(name, "")[:-2]

    def line(env: Env) -> bytes:
        value = render(env)
        if value.isprintable():
            return b"%b%b\r\n" % (start, value.encode())
        return header_line(name, value)  # a tab is well; a line break is refused

    return line


# -- URL ------------------------------------------------------------------------------------------------------


def _query(query: Mapping[str, str], scope: Scope, ctx: Context) -> Callable[[Env], str] | str:
    """The query string without its question mark; a text when it is constant."""
    parts: list[tuple[str, Text]] = [
        (quote_plus(name), compile_template(text, scope)) for name, text in query.items()
    ]
    known = [(name, ctx.constant(text)) for name, text in parts]
    if all(value is not None for _, value in known):
        return "&".join(f"{name}={quote_plus(value or '')}" for name, value in known)
    return lambda env: "&".join(f"{name}={quote_plus(text.render(env))}" for name, text in parts)


def _with_query(path: str, query: str) -> str:
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query}"


def _build(
    parts: _Parts, targets: tuple[Target, ...], path: Text, ctx: Context
) -> tuple[Build, Request | None]:
    """Builds requests to known targets."""
    templates = [Template(t.origin, parts.method, render_headers(t.origin, parts.headers)) for t in targets]
    prefixes = [target.prefix for target in targets]
    lines, body, query = parts.all_lines, parts.body.render, parts.query
    pick = pick_target(len(templates), ctx)
    known = ctx.constant(path)
    fixed: list[bytes] | None = None
    if known is not None and isinstance(query, str):
        fixed = [encode_target(_with_query(prefix + known, query)) for prefix in prefixes]
    if fixed is not None and not parts.lines and parts.body.constant:
        pairs = list(zip(templates, fixed, strict=True))

        def make(line: bytes) -> list[Request]:
            return [template.request(target, body({}), line) for template, target in pairs]

        if parts.token is not None:
            return _with_token(parts.token, make, pick), None
        requests = make(b"")
        return lambda vu: requests[pick(vu)], requests[0] if len(requests) == 1 else None
    render = path.render

    def target_of(at: int, env: Env) -> bytes:
        if fixed is not None:
            return fixed[at]
        text = prefixes[at] + render(env)
        return encode_target(_with_query(text, query if isinstance(query, str) else query(env)))

    only = lines[0] if len(lines) == 1 else None
    if fixed is not None and len(fixed) == 1:  # the usual case: only headers and body vary
        request_of, target = templates[0].request, fixed[0]

        def build_here(vu: Vu) -> Request:
            env = vu.env
            extra = only(env) if only is not None else b"".join([line(env) for line in lines])
            return request_of(target, body(env), extra)

        return build_here, None

    def build(vu: Vu) -> Request:
        env = vu.env
        at = pick(vu)
        extra = only(env) if only is not None else b"".join([line(env) for line in lines])
        return templates[at].request(target_of(at, env), body(env), extra)

    return build, None


def _with_token(
    token: TokenSource, make: Callable[[bytes], list[Request]], pick: Callable[[Vu], int]
) -> Build:
    """Builds requests in which nothing but the token ever changes: anew when it does."""
    line: bytes | None = None
    requests: list[Request] = []

    def build(vu: Vu) -> Request:
        nonlocal line, requests
        if token.line is not line:
            line = token.line
            requests = make(line)
        return requests[pick(vu)]

    return build


def pick_target(count: int, ctx: Context) -> Callable[[Vu], int]:
    """What says which of `count` base URLs is next, by `http.balancing` and `http.failover`."""
    if count == 1:
        return lambda _: 0
    turns, failover = ctx.turns, ctx.failover
    if failover is not None:
        return _pick_reachable(count, ctx, failover)
    if ctx.http.balancing == "random":
        return lambda vu: vu.rng.randrange(count)
    if ctx.http.balancing == "per-vu":
        return lambda vu: vu.id % count
    return lambda _: next(turns) % count


def _pick_reachable(count: int, ctx: Context, failover: Failover) -> Callable[[Vu], int]:
    turns, choices = ctx.turns, failover.choices
    if ctx.http.balancing == "per-vu":
        return lambda vu: failover.instead_of(vu.id % count)
    if ctx.http.balancing == "random":
        return lambda vu: vu.rng.choice(choices())

    def in_turn(_: Vu) -> int:
        among = choices()
        return among[next(turns) % len(among)]

    return in_turn


def _anywhere(parts: _Parts, url: Text) -> Build:
    """Builds requests whose host is known only when they are sent."""
    query, lines, body = parts.query, parts.all_lines, parts.body.render

    def build(vu: Vu) -> Request:
        env = vu.env
        text = _with_query(url.render(env), query if isinstance(query, str) else query(env))
        origin, target = parse_url(text)
        template = Template(origin, parts.method, render_headers(origin, parts.headers))
        return template.request(target, body(env), b"".join([line(env) for line in lines]))

    return build
