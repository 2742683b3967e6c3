"""The request of an http step, rendered as far as it is known before the run.

A request whose every part is constant is built once. Of any other, the header lines that are constant are bytes
already, checked names of headers stay checked, and bodies are compiled templates: what is left is filling in values.
"""

from __future__ import annotations

import re
from base64 import b64encode
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from squall.expr import Env, Scope
    from squall.expr import Template as Text
    from squall.spec.http import Auth, Http
    from squall_runner.engine.vu import Vu
    from squall_runner.http import Origin
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
    body: Body


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
    headers, lines = _headers(http, body.content_type, scope, ctx)
    url = compile_template(http.url, scope)
    known = ctx.constant(url)
    text = url.source if known is None else known.replace("${", "$${")
    parts = _Parts(http.method, _query(http.query or {}, scope, ctx), headers, lines, body)
    located = _ORIGIN.match(text)
    if text.startswith("${") or (located and "${" in located[1]):
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


def _headers(http: Http, content_type: str, scope: Scope, ctx: Context) -> tuple[Headers, list[Line]]:
    """Constant header fields, and renderers of those that vary."""
    merged: dict[str, tuple[str, Text]] = {}
    for fields in (ctx.http.headers, http.headers, _auth(http.auth)):
        for name, text in (fields or {}).items():
            merged[name.lower()] = (name, compile_template(text, scope))
    if http.auth is not None and http.auth.basic is not None:
        basic = http.auth.basic
        pair = (compile_template(basic.username, scope), compile_template(basic.password, scope))
        return _sorted_out(merged, content_type, ctx, pair)
    return _sorted_out(merged, content_type, ctx, None)


def _auth(auth: Auth | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {auth.bearer}"} if auth is not None and auth.bearer is not None else {}


def _sorted_out(
    merged: dict[str, tuple[str, Text]], content_type: str, ctx: Context, basic: tuple[Text, Text] | None
) -> tuple[Headers, list[Line]]:
    constant: Headers = []
    lines: list[Line] = []
    for name, text in merged.values():
        known = ctx.constant(text)
        if known is None:
            lines.append(_line(name, text))
        else:
            constant.append((name, known))
    if basic is not None:
        username, password = (ctx.constant(part) for part in basic)
        if username is None or password is None:
            lines.append(_basic_line(*basic))
        else:
            constant.append(("Authorization", _basic(username, password)))
    if content_type and "content-type" not in merged:
        constant.append(("Content-Type", content_type))
    if not ctx.http.keep_alive and "connection" not in merged:
        constant.append(("Connection", "close"))
    return constant, lines


def _line(name: str, text: Text) -> Line:
    """A header line whose value varies; the name is checked here, once."""
    start = header_line(name, "")[:-2]
    render = text.render

    def line(env: Env) -> bytes:
        value = render(env)
        if value.isprintable():
            return b"%b%b\r\n" % (start, value.encode())
        return header_line(name, value)  # a tab is well; a line break is refused

    return line


def _basic_line(username: Text, password: Text) -> Line:
    def line(env: Env) -> bytes:
        return header_line("Authorization", _basic(username.render(env), password.render(env)))

    return line


def _basic(username: str, password: str) -> str:
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


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
    lines, body, query = parts.lines, parts.body.render, parts.query
    pick = pick_target(len(templates), ctx)
    known = ctx.constant(path)
    fixed: list[bytes] | None = None
    if known is not None and isinstance(query, str):
        fixed = [encode_target(_with_query(prefix + known, query)) for prefix in prefixes]
    if fixed is not None and not lines and parts.body.constant:
        requests = [t.request(target, body({})) for t, target in zip(templates, fixed, strict=True)]
        return lambda vu: requests[pick(vu)], requests[0] if len(requests) == 1 else None
    render = path.render

    def target_of(at: int, env: Env) -> bytes:
        if fixed is not None:
            return fixed[at]
        text = prefixes[at] + render(env)
        return encode_target(_with_query(text, query if isinstance(query, str) else query(env)))

    only = lines[0] if len(lines) == 1 else None

    def build(vu: Vu) -> Request:
        env = vu.env
        at = pick(vu)
        extra = only(env) if only is not None else b"".join([line(env) for line in lines])
        return templates[at].request(target_of(at, env), body(env), extra)

    return build, None


def pick_target(count: int, ctx: Context) -> Callable[[Vu], int]:
    """What says which of `count` base URLs is next, by `http.balancing`."""
    if count == 1:
        return lambda _: 0
    turns = ctx.turns
    if ctx.http.balancing == "random":
        return lambda vu: vu.rng.randrange(count)
    if ctx.http.balancing == "per-vu":
        return lambda vu: vu.id % count
    return lambda _: next(turns) % count


def _anywhere(parts: _Parts, url: Text) -> Build:
    """Builds requests whose host is known only when they are sent."""
    query, lines, body = parts.query, parts.lines, parts.body.render

    def build(vu: Vu) -> Request:
        env = vu.env
        text = _with_query(url.render(env), query if isinstance(query, str) else query(env))
        origin, target = parse_url(text)
        template = Template(origin, parts.method, render_headers(origin, parts.headers))
        return template.request(target, body(env), b"".join([line(env) for line in lines]))

    return build
