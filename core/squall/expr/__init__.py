"""Safe expressions and `${}` templates: the small language inside a manifest's strings.

A user must be able to write `${random.int(1, 9)}` or `len(body.nfts) > 0`, and nobody must be able to reach the
machine through it. Expressions are a whitelisted subset of Python's, compiled once into functions; they read plain
data from an environment (see `squall.expr.scope`) and a response, and call the functions of `catalogue()`.

    scope = Scope().with_names(["token"])
    compile_template("Bearer ${token}", scope).render(env)
    compile_json({"id": "${iter}"}, scope).render(env)                      # b'{"id":7}'
    compile_expression("status == 200 and duration < 2s", scope.with_response()).evaluate(env, response)

In expressions `a.b` and `a["b"]` look up a key. Numbers may carry units: times become seconds (`2s`, `1m30s`,
`500ms`), sizes bytes (`10KiB`, `1MB`), `50%` becomes 0.5; a modulo of literals needs its right side at once or a
space before it (`10 % 3`). `true`, `false` and `null` are constants.
"""

from __future__ import annotations

from squall.expr.compiled import Evaluate, Render, RenderBytes
from squall.expr.errors import EvaluationError, ExpressionError, nearest
from squall.expr.jsonbody import JsonTemplate, compile_json
from squall.expr.limits import to_text
from squall.expr.regex import compile_pattern
from squall.expr.registry import FunctionDoc, catalogue, load_libraries
from squall.expr.scope import BASE_NAMES, CLOCK, RESPONSE_NAMES, RNG, Env, ResponseView, Scope, name_problem
from squall.expr.template import Expression, Template, compile_expression, compile_template, template_errors

__all__ = [
    "BASE_NAMES",
    "CLOCK",
    "RESPONSE_NAMES",
    "RNG",
    "Env",
    "Evaluate",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "FunctionDoc",
    "JsonTemplate",
    "Render",
    "RenderBytes",
    "ResponseView",
    "Scope",
    "Template",
    "catalogue",
    "compile_expression",
    "compile_json",
    "compile_pattern",
    "compile_template",
    "load_libraries",
    "name_problem",
    "nearest",
    "template_errors",
    "to_text",
]
