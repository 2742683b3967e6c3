"""What a log may show of a URL, and of a text that a step's values may have come into.

A URL as it was sent may hold anything that a step has extracted, that stands in a row of data, and what was made of it: a token in the path, a
signature in the query. None of that can be told from an innocent number by looking at it. So a URL is shown as it was sent only where
nothing but numbers of VUs and the like went into it, and else as the manifest writes it, with the values of its variables,
secret ones excepted. VU and iteration stand beside it, and who needs the rest tries the manifest: `squall try` shows it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from squall.expr import BASE_NAMES, CLOCK, RNG, compile_template
from squall.spec.secrets import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Env, Scope
    from squall.spec.structs import Http
    from squall_runner.http import Request
    from squall_runner.steps.context import Context

_VARIABLE = re.compile(r"(?<!\$)\$\{\s*var\.([A-Za-z_][A-Za-z0-9_]*)\s*\}")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_HIDDEN = rf"\1{MASK}"
_TELLING = re.compile(
    r"([?&][^=&]*(?:auth|code|credential|key|pass|pwd|secret|session|sig|token)[^=&]*=)[^&#]*", re.IGNORECASE
)
"""Parameters of a query that hold credentials by their name, even where the manifest writes them out."""
_HARMLESS = frozenset({"vu", "iter", "shard", "scenario", "run", "var", RNG, CLOCK})
"""Names that a URL may use and be shown as it was sent, secret variables excepted."""
_WORTH_HIDING = 8
"""Characters: shorter values are numbers and states, and no tokens."""


def origin_only(request: Request) -> str:
    """Where the URL is a Python function's word, only where it leads."""
    return request.origin.key


def shown_url(http: Http, scope: Scope, ctx: Context) -> Callable[[Request], str]:
    """What is shown of the URL of a step's request; not of one that a redirect has led to.

    Args:
        http: The request.
        scope: The names that are known there, secrets included.
        ctx: What its step is compiled with.
    """
    texts = (http.url, *(http.query or {}).values())
    if all(_is_harmless(text, scope) for text in texts):
        return lambda request: _TELLING.sub(_HIDDEN, request.url)

    def known(text: str) -> str:
        return _VARIABLE.sub(lambda found: value(found[1], found[0]), text)

    def value(name: str, reference: str) -> str:
        return reference if name in scope.secrets else str(ctx.constants["var"].get(name, reference))

    text = known(http.url)
    query = "&".join(f"{quote_plus(name)}={known(value)}" for name, value in (http.query or {}).items())
    if query:
        text += f"{'&' if '?' in text else '?'}{query}"
    text = _TELLING.sub(_HIDDEN, text)
    if text.startswith("${") or "://" in text.partition("?")[0]:
        return lambda _: text
    path = text if text[:1] in "/?" else f"/{text}"
    # Of base URLs that differ only in their paths, the first is shown.
    urls = {
        target.origin.key: f"{target.origin.key}{target.prefix}{path}" for target in reversed(ctx.targets)
    }
    return lambda request: urls.get(request.origin.key, path)


def _is_harmless(text: str, scope: Scope) -> bool:
    names = compile_template(text, scope.with_secrets()).names
    return names <= _HARMLESS and not (scope.secrets and scope.secrets.intersection(_WORD.findall(text)))


def without_values(text: str, env: Env) -> str:
    """A text in which values that steps have extracted or set are shown by their names, as `${token}`."""
    for name, value in env.items():
        if isinstance(value, str) and _WORTH_HIDING <= len(value) <= len(text) and name not in BASE_NAMES:
            for written in {value, quote(value, safe=""), quote(value)}:
                text = text.replace(written, f"${{{name}}}")
    return text
