"""Python steps, looked at without running them: the function is there, is async, and takes a VU and the arguments.

Importing somebody's file to validate a manifest would run it; reading its syntax tree tells enough.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squall.spec.problems import Problem, did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from squall.spec.files import LocalFile


@dataclass(slots=True)
class PythonFile:
    """What a file defines at its top level.

    Attributes:
        functions: Functions by name.
        other: Names bound otherwise (imports, assignments), of which nothing more is known.
        problem: Why it cannot be read as Python.
    """

    functions: dict[str, ast.AsyncFunctionDef | ast.FunctionDef] = field(default_factory=dict)
    other: set[str] = field(default_factory=set)
    problem: Problem | None = None

    def wrong_function(self, name: str, file: str) -> tuple[str, str] | None:
        """Message and hint when `name` cannot be a python step's function; None when it can."""
        function = self.functions.get(name)
        if function is None:
            if self.problem or {name, "*"} & self.other:
                return None
            found = [n for n, f in self.functions.items() if isinstance(f, ast.AsyncFunctionDef)]
            hint = one_of(found, "async functions there") or f"define it: async def {name}(vu): ..."
            return f'{file} defines no function "{name}"{did_you_mean(name, found)}', hint
        if isinstance(function, ast.FunctionDef) and not function.decorator_list:
            return f'"{name}" in {file} is not async', f"write async def {name}(...)"
        takes = function.args
        if not (takes.args or takes.posonlyargs or takes.vararg) and not function.decorator_list:
            return f'"{name}" in {file} takes no VU', f"write async def {name}(vu, ...)"
        return None

    def wrong_arguments(self, name: str, given: Collection[str]) -> tuple[str, str, str] | None:
        """The argument, message and hint when a function that is there cannot be called with these; None when it can."""
        function = self.functions.get(name)
        if function is None or function.decorator_list:
            return None
        takes = function.args
        positional = [each.arg for each in (*takes.posonlyargs, *takes.args)]
        optional = {*positional[:1], *positional[len(positional) - len(takes.defaults) :]}
        named = zip(takes.kwonlyargs, takes.kw_defaults, strict=True)
        required = {*positional, *(each.arg for each, default in named if default is None)} - optional
        known = [*positional[1:], *(each.arg for each in takes.kwonlyargs)]
        for each in given:
            if each not in known and takes.kwarg is None:
                hint = f"it takes {', '.join(known)}" if known else "it takes none but the VU"
                return each, f"{name} has no argument {each}{did_you_mean(each, known)}", hint
        lacking = [each for each in known if each in required.difference(given)]
        hint = f"write args: {{{', '.join(f'{each}: ...' for each in lacking)}}}"
        return ("", f"{name} needs {', '.join(lacking)}", hint) if lacking else None


def read_python(file: LocalFile) -> PythonFile:
    """The top level of a Python file."""
    name = str(file.path) if file.path else file.name
    found = PythonFile()
    try:
        tree = ast.parse(file.read(), filename=name)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        found.problem = Problem(name, line, max(column, 1), "", f"not valid Python: {error.msg}", "")
        return found
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        found.problem = Problem(name, 0, 0, "", f"cannot be read as Python: {error}", "")
        return found
    for statement in tree.body:
        _note(found, statement)
    return found


def _note(found: PythonFile, statement: ast.stmt) -> None:
    if isinstance(statement, ast.AsyncFunctionDef | ast.FunctionDef):
        found.functions[statement.name] = statement
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.other.add(node.id)
        elif isinstance(node, ast.alias):
            found.other.add(node.asname or node.name)
