"""JSON bodies with `${}` in their strings, rendered without building the tree again for every request.

What does not change is escaped and joined when the manifest is read; a request only formats the values in between.
A string that is exactly one `${...}` becomes a JSON value of its type: `{"count": "${iter}"}` sends a number.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from squall.expr.compiled import RenderBytes, make_function, text_limit
from squall.expr.errors import EvaluationError, ExpressionError
from squall.expr.limits import to_json_text, to_text
from squall.expr.template import TemplatePart, parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from squall.expr.scope import Env, ResponseView, Scope

_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class JsonTemplate:
    """A compiled JSON body.

    Attributes:
        constant: The UTF-8 bytes, when they are the same at every evaluation; else None.
        names: Root names that it uses.
        paths: Members of `var`, `data` and `run` that it uses.
        render: The UTF-8 bytes for (env, response=None); raises EvaluationError.
    """

    constant: bytes | None
    names: frozenset[str]
    paths: frozenset[str]
    render: RenderBytes


@dataclass(frozen=True, slots=True)
class _Hole:
    """A place for a value: a JSON value of its own, or a part of a string."""

    node: ast.expr
    number: bool
    inside: bool


class _Writer:
    """Walks a tree and notes JSON text and holes in the order in which they are sent."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.names: frozenset[str] = frozenset()
        self.paths: frozenset[str] = frozenset()

    def walk(self, value: Any, depth: int = 0) -> Iterator[str | _Hole]:
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {_MAX_DEPTH} levels")
        if isinstance(value, str):
            yield from self._string(value, key=False)
        elif isinstance(value, dict):
            yield from self._mapping(value, depth)
        elif isinstance(value, (list, tuple)):
            yield "["
            for index, element in enumerate(value):
                yield "," if index else ""
                yield from self._below(index, element, depth)
            yield "]"
        elif value is None or isinstance(value, (bool, int, float)):
            yield to_json_text(value)
        else:
            raise ExpressionError(f"{type(value).__name__} is not a JSON value", hint="write it as text")

    def _mapping(self, value: dict[Any, Any], depth: int) -> Iterator[str | _Hole]:
        yield "{"
        for index, (key, element) in enumerate(value.items()):
            yield "," if index else ""
            try:
                yield from self._string(key if isinstance(key, str) else to_text(key), key=True)
            except ExpressionError as error:
                raise error.below(str(key)) from None
            yield ":"
            yield from self._below(key, element, depth)
        yield "}"

    def _below(self, key: str | int, element: Any, depth: int) -> Iterator[str | _Hole]:
        try:
            yield from self.walk(element, depth + 1)
        except ExpressionError as error:
            raise error.below(key) from None

    def _string(self, text: str, *, key: bool) -> Iterator[str | _Hole]:
        parsed = parse_template(text, self._scope)
        self.names |= parsed.names
        self.paths |= parsed.paths
        if len(parsed.parts) == 1 and parsed.parts[0].typed is not None and not key:
            typed = parsed.parts[0].typed
            if isinstance(typed.node, ast.Constant):
                yield to_json_text(typed.node.value)
            else:
                yield _Hole(typed.node, number=typed.kind == "int", inside=False)
            return
        yield '"'
        for part in parsed.parts:
            yield self._piece(part)
        yield '"'

    def _piece(self, part: TemplatePart) -> str | _Hole:
        if part.typed is not None:
            return _Hole(part.typed.node, number=part.typed.kind == "int", inside=True)
        try:
            return escape(part.literal)
        except EvaluationError as error:
            raise ExpressionError(error.message) from None


def escape(text: str) -> str:
    """`text` as it stands between the quotes of a JSON string.

    Raises:
        EvaluationError: When it is no valid Unicode.
    """
    try:
        return msgspec.json.encode(text).decode()[1:-1]
    except ValueError:
        raise EvaluationError("the text cannot be written as UTF-8") from None


def compile_json(value: Any, scope: Scope) -> JsonTemplate:
    """Compile a JSON-like tree (dict, list, str, int, float, bool, None) with templates in strings and keys.

    Args:
        value: The tree.
        scope: The names that are valid where it stands.

    Raises:
        ExpressionError: With `path` leading to the string that is wrong.
    """
    writer = _Writer(scope)
    pieces: list[str | _Hole] = []
    for piece in writer.walk(value):
        if isinstance(piece, str) and pieces and isinstance(pieces[-1], str):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    render: RenderBytes
    if all(isinstance(piece, str) for piece in pieces):
        constant = "".join(str(piece) for piece in pieces).encode()
        render = _always(constant)
        return JsonTemplate(constant, writer.names, writer.paths, render)
    literal = sum(len(piece) for piece in pieces if isinstance(piece, str))
    body = ast.Call(
        ast.Attribute(ast.JoinedStr([_formatted(piece) for piece in pieces]), "encode", ast.Load()), [], []
    )
    helpers = {"escape_text": _escape_value, "to_json_text": to_json_text}
    render = make_function(body, "the JSON body", limit=text_limit(4 * literal), extra=helpers)
    return JsonTemplate(None, writer.names, writer.paths, render)


def _formatted(piece: str | _Hole) -> ast.expr:
    if isinstance(piece, str):
        return ast.Constant(piece)
    if piece.number:
        return ast.FormattedValue(piece.node, -1)
    helper = "escape_text" if piece.inside else "to_json_text"
    return ast.FormattedValue(ast.Call(ast.Name(helper, ast.Load()), [piece.node], []), -1)


def _escape_value(value: Any) -> str:
    return escape(to_text(value))


def _always(constant: bytes) -> RenderBytes:
    def render(env: Env, response: ResponseView | None = None, /) -> bytes:  # noqa: ARG001 - the signature of RenderBytes
        return constant

    return render
