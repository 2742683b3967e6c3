"""Expressions and `${}` templates, compiled once when the manifest is read and evaluated for every request."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squall.expr.compiled import Evaluate, Part, Render, make_function, text_limit
from squall.expr.errors import EvaluationError, ExpressionError
from squall.expr.limits import to_text
from squall.expr.source import split_template

if TYPE_CHECKING:
    from squall.expr.rewrite import Typed
    from squall.expr.scope import Env, ResponseView, Scope


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression, such as a check.

    Attributes:
        source: What the user wrote.
        names: Root names that it uses, of the environment (RNG and CLOCK included, by functions) and of the response.
        paths: Members of `var`, `data` and `run` that it uses, such as `var.baseUrl`.
        evaluate: Its value for (env, response=None); raises EvaluationError.
    """

    source: str
    names: frozenset[str]
    paths: frozenset[str]
    evaluate: Evaluate


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text with `${...}` in it.

    Attributes:
        source: What the user wrote.
        constant: The text, when it is the same at every evaluation; else None.
        names: Root names that it uses, of the environment (RNG and CLOCK included, by functions) and of the response.
        paths: Members of `var`, `data` and `run` that it uses, such as `data.users.email`.
        render: The text for (env, response=None); raises EvaluationError.
        value: As `render`, but a template that is exactly one `${...}` keeps its value's type.
    """

    source: str
    constant: str | None
    names: frozenset[str]
    paths: frozenset[str]
    render: Render
    value: Evaluate


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A literal text, or an expression, of a template that is being compiled."""

    literal: str
    typed: Typed | None


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """A template before it becomes a function: its parts in order, and the names they use."""

    parts: tuple[TemplatePart, ...]
    names: frozenset[str]
    paths: frozenset[str]


def compile_expression(text: str, scope: Scope) -> Expression:
    """Compile an expression (of a check, `if`, `until`, `failWhen`).

    Args:
        text: The expression, without `${}`.
        scope: The names that are valid where it stands.

    Raises:
        ExpressionError: When it is not allowed or names something unknown.
    """
    if text.lstrip().startswith("${"):
        raise ExpressionError("an expression stands here by itself", 0, "leave out ${ and }")
    part = Part(text, scope)
    return Expression(text, part.names, part.paths, make_function(part.typed.node, text))


def parse_template(text: str, scope: Scope) -> ParsedTemplate:
    """Parse a template; expressions that are constant become literals.

    Raises:
        ExpressionError: With the offset in `text` of what is wrong.
    """
    parts: list[TemplatePart] = []
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    segments = split_template(text)
    for segment in segments:
        if not segment.dynamic:
            parts.append(TemplatePart(segment.text, None))
            continue
        try:
            part = Part(segment.text, scope)
        except ExpressionError as error:
            raise error.shifted(segment.offset) from None
        names |= part.names
        paths |= part.paths
        if len(segments) > 1 and isinstance(part.typed.node, ast.Constant):
            parts.append(TemplatePart(to_text(part.typed.node.value), None))
        else:
            parts.append(TemplatePart("", part.typed))
    return ParsedTemplate(tuple(parts), names, paths)


def compile_template(text: str, scope: Scope) -> Template:
    """Compile a text in which `${...}` holds expressions and `$${` stands for a literal `${`.

    Args:
        text: The text.
        scope: The names that are valid where it stands.

    Raises:
        ExpressionError: When an expression is not allowed or names something unknown; `offset` counts in `text`.
    """
    parsed = parse_template(text, scope)
    if all(part.typed is None for part in parsed.parts):
        constant = "".join(part.literal for part in parsed.parts)
        render = _always(constant)
        return Template(text, constant, parsed.names, parsed.paths, render, render)
    only = parsed.parts[0].typed if len(parsed.parts) == 1 else None
    if only is not None and isinstance(only.node, ast.Constant):
        shown = to_text(only.node.value)
        return Template(
            text, shown, parsed.names, parsed.paths, _always(shown), make_function(only.node, text)
        )
    render = _text_function(parsed, text)
    value = render if only is None else make_function(only.node, text)
    return Template(text, None, parsed.names, parsed.paths, render, value)


def template_errors(text: str, scope: Scope) -> list[ExpressionError]:
    """All that `compile_template` refuses in a text, each thing once; it names only the first itself."""
    try:
        segments = split_template(text)
    except ExpressionError as error:
        return [error]
    errors: dict[str, ExpressionError] = {}
    for segment in segments:
        if segment.dynamic:
            try:
                Part(segment.text, scope)
            except ExpressionError as error:
                errors.setdefault(error.message, error.shifted(segment.offset))
    return list(errors.values())


def _always(constant: str) -> Render:
    def render(env: Env, response: ResponseView | None = None, /) -> str:  # noqa: ARG001 - the signature of Render
        return constant

    return render


def _text_function(parsed: ParsedTemplate, source: str) -> Render:
    """A function whose body is one f-string."""
    values: list[ast.expr] = []
    bounded = False
    literal = 0
    for part in parsed.parts:
        if part.typed is None:
            values.append(ast.Constant(part.literal))
            literal += len(part.literal)
            continue
        node = part.typed.node
        if part.typed.kind == "any":
            node = ast.Call(ast.Name("to_text", ast.Load()), [node], [])
        bounded = bounded or part.typed.kind != "int"
        values.append(ast.FormattedValue(node, -1))
    function: Render = make_function(
        ast.JoinedStr(values), source, limit=text_limit(literal) if bounded else 0
    )
    return function


__all__ = [
    "EvaluationError",
    "Expression",
    "ParsedTemplate",
    "Template",
    "TemplatePart",
    "compile_expression",
    "compile_template",
    "parse_template",
    "template_errors",
]
