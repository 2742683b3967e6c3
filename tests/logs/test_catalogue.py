"""The catalogue of events and the code agree: nothing is logged that it does not know, and nothing stands in it that nobody logs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from squall.logs import events
from squall.logs.choices import LEVELS

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for part in ("core/squall", "runner/squall_runner", "operator/squall_operator")
    for path in sorted((ROOT / part).rglob("*.py"))
    if path.name != "events.py" or path.parent.name != "logs"
]
CONSTANTS = {name: value for name, value in vars(events).items() if name.isupper() and isinstance(value, str)}
_CALLED = {"note", "_note", "say", "_say", "tell", "_warn_once", "complain", "info", "warning"}
"""What makes lines, or has others make them."""
_FIRST = {"_warn_once", "complain", "info", "warning"}
"""Of these, what takes no level."""


def logged() -> Iterator[tuple[str, frozenset[str], str]]:
    """Each event that is logged by name: with the fields that are given by name, and where."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            name = _event(called, node.args)
            if name:
                fields = frozenset(word.arg for word in node.keywords if word.arg)
                yield name, fields, f"{path.relative_to(ROOT)}:{node.lineno}"


def _event(called: str, arguments: list[ast.expr]) -> str:
    """The event that a call logs, if it logs one and names it."""
    if called not in _CALLED:
        return ""
    first = arguments[0]
    if called in _FIRST or isinstance(first, ast.Attribute):
        return _named(first)
    if isinstance(first, ast.Constant) and first.value in LEVELS and len(arguments) > 1:
        return _named(arguments[1]) or _literal(arguments[1])
    return _literal(first) if called == "_warn_once" else ""


def _named(expression: ast.expr) -> str:
    if isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
        return CONSTANTS.get(expression.attr, "") if expression.value.id in ("events", "logged") else ""
    return ""


def _literal(expression: ast.expr) -> str:
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if isinstance(value, str) and " " not in value else ""  # else it is a sentence


LOGGED = list(logged())


def test_the_code_is_read_at_all() -> None:
    assert len(LOGGED) > 40
    assert {"request", "flow_start", "step_failed", "RunnerLeaves", "TooFewFiles", "round_failed"} <= {
        name for name, _, _ in LOGGED
    }


@pytest.mark.parametrize(("name", "fields", "place"), LOGGED, ids=[place for *_, place in LOGGED])
def test_what_is_logged_is_in_the_catalogue(name: str, fields: frozenset[str], place: str) -> None:
    assert name in events.CATALOGUE, place
    assert fields <= {*events.CATALOGUE[name].fields, *events.COMMON}, place


def test_what_is_in_the_catalogue_is_logged() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    by_name = {value: name for name, value in CONSTANTS.items()}
    missing = {
        name
        for name in events.CATALOGUE
        if f'"{name}"' not in text
        and not (name in by_name and f".{by_name[name]}" in text)
        and not name.endswith(("_request", "_action"))
        and name != events.LINES_LOST
    }
    assert missing == set()


def test_each_event_is_there_once() -> None:
    groups = (events.ITERATIONS, events.RUNNER, events.RUN, events.SERVICES, events.EVERYWHERE)
    assert sum(map(len, groups)) == len(events.CATALOGUE)
