"""What a log may show of a URL: what the manifest says of it.

A URL as it was sent may hold anything that a step has extracted, and what was made of it: a token in the path, a signature in the query. None of
that can be told from an innocent number by looking at it. So a log shows the URL as the manifest writes it, with the values
of its variables, secret ones excepted. The line beside it names VU and iteration; and as the texts are few, they can be counted by.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from squall.spec.secrets import MASK

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr import Scope
    from squall.spec.http import Http
    from squall_runner.http import Origin
    from squall_runner.steps.context import Context

_VARIABLE = re.compile(r"(?<!\$)\$\{\s*var\.([A-Za-z_][A-Za-z0-9_]*)\s*\}")
_TELLING = re.compile(
    r"([?&][^=&]*(?:auth|code|credential|key|pass|pwd|secret|session|sig|token)[^=&]*=)[^&#]*", re.IGNORECASE
)
"""Parameters of a query that hold credentials by their name, even where the manifest writes them out."""


def origin_only(origin: Origin) -> str:
    """Where the URL is a Python function's word, only where it leads."""
    return origin.key


def shown_url(http: Http, scope: Scope, ctx: Context) -> Callable[[Origin], str]:
    """What is shown of a request's URL, by where it leads.

    Args:
        http: The request.
        scope: The names that are known there, secrets included.
        ctx: What its step is compiled with.
    """

    def known(text: str) -> str:
        return _VARIABLE.sub(lambda found: value(found[1], found[0]), text)

    def value(name: str, reference: str) -> str:
        return reference if name in scope.secrets else str(ctx.constants["var"].get(name, reference))

    text = known(http.url)
    query = "&".join(f"{quote_plus(name)}={known(value)}" for name, value in (http.query or {}).items())
    if query:
        text += f"{'&' if '?' in text else '?'}{query}"
    text = _TELLING.sub(rf"\1{MASK}", text)
    if text.startswith("${") or "://" in text.partition("?")[0]:
        return lambda _: text
    path = text if text[:1] in "/?" else f"/{text}"
    # Of base URLs that differ only in their paths, the first is shown.
    urls = {
        target.origin.key: f"{target.origin.key}{target.prefix}{path}" for target in reversed(ctx.targets)
    }
    return lambda origin: urls.get(origin.key, path)
