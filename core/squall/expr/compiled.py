"""Rebuilt expressions as Python functions: one call evaluates a whole check or template.

These functions run for every request of every VU. So a template becomes a single f-string, a check a single
expression, and the guard that turns Python's exceptions into the user's words costs nothing while nothing fails
(a `try` block is free since Python 3.11).
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Protocol

from squall.expr.errors import EvaluationError, ExpressionError
from squall.expr.limits import MAX_TEXT
from squall.expr.parsing import parse
from squall.expr.rewrite import GLOBALS, Rewriter, Typed
from squall.expr.source import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.expr.scope import Env, ResponseView, Scope

_SHOWN = 120


class Evaluate(Protocol):
    """Computes a value from a VU's environment and, where there is one, the response."""

    def __call__(self, env: Env, response: ResponseView | None = None, /) -> Any:
        """The value; raises EvaluationError when there is none."""


class Render(Protocol):
    """As Evaluate, for text."""

    def __call__(self, env: Env, response: ResponseView | None = None, /) -> str:
        """The text; raises EvaluationError when there is none."""


class RenderBytes(Protocol):
    """As Evaluate, for bytes."""

    def __call__(self, env: Env, response: ResponseView | None = None, /) -> bytes:
        """The bytes; raises EvaluationError when there are none."""


class Part:
    """One parsed expression of a template, a body or a check.

    Attributes:
        typed: The safe node.
        names: Root names that it uses.
        paths: Members of `var`, `data` and `run` that it uses.
    """

    __slots__ = ("names", "paths", "typed")

    def __init__(self, text: str, scope: Scope) -> None:
        source = prepare(text)
        rewriter = Rewriter(scope, source)
        try:
            self.typed: Typed = rewriter.visit(parse(source))
        except RecursionError:
            raise ExpressionError("nested too deeply") from None
        self.names = frozenset(rewriter.names)
        self.paths = frozenset(rewriter.paths)


_SKELETON = """
def evaluate(env, response=None, /):
    try:
        result = None
    except Exception as error:
        raise translate(error, response) from None
    return result
"""
_BOUNDED_SKELETON = """
def evaluate(env, response=None, /):
    try:
        result = None
        if measure(result) > limit:
            raise too_long
    except Exception as error:
        raise translate(error, response) from None
    return result
"""


def make_function(node: ast.expr, source: str, *, limit: int = 0, extra: dict[str, Any] | None = None) -> Any:
    """Compile a safe node into a function of (env, response).

    Args:
        node: What the function returns, built by Rewriter only.
        source: What the user wrote, for messages.
        limit: Longest result, as `len` counts; 0 for results that cannot be long.
        extra: Further names that `node` uses.

    Returns:
        A function with the signature of Evaluate.
    """
    module = ast.parse(_BOUNDED_SKELETON if limit else _SKELETON)
    guarded: Any = module.body[0]
    guarded.body[0].body[0].value = node
    too_long = EvaluationError(f"the result is longer than {limit} characters")
    namespace = {**GLOBALS, **(extra or {}), "translate": _translator(source)}
    namespace |= {"measure": len, "limit": limit, "too_long": too_long}
    exec(compile(ast.fix_missing_locations(module), "<expression>", "exec"), namespace)  # noqa: S102 - a tree of our own making
    return namespace["evaluate"]


def _translator(source: str) -> Callable[[Exception, Any], EvaluationError]:
    shown = " ".join(source.split())
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."

    def translate(error: Exception, response: Any) -> EvaluationError:
        if isinstance(error, EvaluationError):
            return EvaluationError(f"in `{shown}`: {error.message}", error.hint)
        if isinstance(error, KeyError):
            return EvaluationError(f"in `{shown}`: {error} has no value", "nothing has set it yet")
        if isinstance(error, AttributeError) and response is None:
            return EvaluationError(f"in `{shown}`: there is no response")
        return EvaluationError(f"in `{shown}`: {_plain(error)}")

    return translate


_PLAIN_WORDS = {
    "'NoneType'": "null",
    "'str'": "text",
    "'int'": "number",
    "'float'": "number",
    "'dict'": "mapping",
    "'list'": "list",
    "instances of ": "",
    "NoneType": "null",
}


def _plain(error: Exception) -> str:
    """Python's message with the types' names that users know."""
    text = str(error) or type(error).__name__
    for word, plain in _PLAIN_WORDS.items():
        text = text.replace(word, plain)
    return text


def text_limit(constant: int) -> int:
    """Longest result of a template that holds `constant` literal characters."""
    return MAX_TEXT + constant
