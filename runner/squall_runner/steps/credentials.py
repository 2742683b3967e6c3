"""The `Authorization` header of a request: which credentials a step shows, and how they are written.

A step's own `auth` comes first, then an `Authorization` header of the step, then `http.auth`, then such a header of
`http.headers`. Credentials of `http.auth` are for the base URL only: a step with another URL may lead to anybody.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.expr import compile_template
from squall.spec.quantities import seconds
from squall_runner.auth import Grant
from squall_runner.http import encode_target, parse_url
from squall_runner.load import LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from squall.expr import Env, Scope
    from squall.spec.structs import Auth, BasicAuth, OAuth2
    from squall_runner.auth import TokenSource
    from squall_runner.http import Origin
    from squall_runner.steps.context import Context


@dataclass(frozen=True, slots=True)
class Credentials:
    """Compiled credentials.

    Attributes:
        render: The value of the header.
        constant: The same, when it never changes.
        source: Where it comes from when it is a token that changes with time, for all VUs at once.
    """

    render: Callable[[Env], str]
    constant: str | None = None
    source: TokenSource | None = None


def credentials_of(
    own: Auth | None, headers: Iterable[str], ctx: Context, scope: Scope, *, below_base: bool
) -> Credentials | None:
    """The credentials that a request shows beside its headers, if any.

    Args:
        own: The step's `auth`.
        headers: The names of the step's headers.
        ctx: What the step is compiled with.
        scope: The names that are known there, secrets included.
        below_base: Whether the request goes to a path below the base URL.

    Raises:
        ExpressionError: A template is wrong.
        LoadError: An OAuth2 configuration is not possible.
    """
    if own is not None:
        return compile_auth(own, scope, ctx)
    if ctx.http.auth is None or not below_base or any(name.lower() == "authorization" for name in headers):
        return None
    return compile_auth(ctx.http.auth, scope, ctx)


def compile_auth(auth: Auth, scope: Scope, ctx: Context) -> Credentials:
    """Compile credentials; raises as `credentials_of`."""
    if auth.basic is not None:
        return _basic(auth.basic, scope, ctx)
    if auth.oauth2 is not None:
        source = ctx.tokens.source(_grant(auth.oauth2, scope, ctx))
        return Credentials(lambda _: f"Bearer {source.value}", source=source)
    text = compile_template(f"Bearer {auth.bearer}", scope)
    return Credentials(text.render, ctx.constant(text))


def _basic(basic: BasicAuth, scope: Scope, ctx: Context) -> Credentials:
    username, password = (compile_template(text, scope) for text in (basic.username, basic.password))

    def render(env: Env) -> str:
        pair = f"{username.render(env)}:{password.render(env)}"
        return f"Basic {b64encode(pair.encode()).decode('ascii')}"

    known = ctx.constant(username) is not None and ctx.constant(password) is not None
    return Credentials(render, render(ctx.constants) if known else None)


def _grant(oauth2: OAuth2, scope: Scope, ctx: Context) -> Grant:
    def known(text: str, key: str) -> str:
        value = ctx.constant(compile_template(text, scope))
        if value is None:
            message = f"oauth2.{key} is used before the load, when only variables are known"
            raise LoadError(
                "ManifestInvalid", message, "use ${var.name}, or an http step that extracts a token"
            )
        return value

    origin, target = _endpoint(known(oauth2.token_url, "tokenUrl"), ctx)
    return Grant(
        origin=origin,
        target=target,
        client_id=known(oauth2.client_id, "clientId"),
        client_secret=known(oauth2.client_secret, "clientSecret"),
        scopes=tuple(known(text, "scopes") for text in oauth2.scopes or ()),
        audience=known(oauth2.audience or "", "audience"),
        credentials=oauth2.credentials,
        refresh_before=seconds(oauth2.refresh_before),
    )


def _endpoint(url: str, ctx: Context) -> tuple[Origin, bytes]:
    """Where tokens are asked for; below the first base URL when only a path is given."""
    try:
        if "://" in url.partition("?")[0]:
            return parse_url(url)
        if not ctx.targets:
            message = f"oauth2.tokenUrl {url!r} is only a path, and there is no base URL"
            raise LoadError("NoBaseUrl", message, "set spec.http.baseUrl, or write the whole URL")
        target = ctx.targets[0]
        return target.origin, encode_target(target.prefix + (url if url[:1] in "/?" else f"/{url}"))
    except ValueError as error:
        raise LoadError("RequestInvalid", f"oauth2.tokenUrl: {error}") from error
