"""`--set path=value`: any scalar, list or object of a manifest, changed for one run.

A path is written as problems show it: `scenarios[0].stages[1].target`, or with names in place of numbers
wherever items have one: `scenarios.signup.stages.hold.target`, `files[users.csv].path`. A leading `spec.` may
be left out. The value is YAML, so `--set 'scenarios.signup.stages=[{duration: 1m, target: 5}]'` works.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from squall.spec.document import read_documents
from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.scalars import parse_plain
from squall.spec.shape import Shape, below
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Origin, Path, child, format_path, put, text_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squall.spec.base import Model

_SEGMENT = re.compile(r"\.?([^.\[\]=]+)|\[\"?([^\]\"]+)\"?\]")


class _WrongPathError(Exception):
    """A path that leads nowhere; carries message and hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def apply_sets(root: Node, sets: Sequence[str], model: type[Model]) -> tuple[Node, list[Problem]]:
    """The tree of a LoadTest with each `path=value` set, in their order."""
    problems: list[Problem] = []
    for text in sets:
        name = f"--set {text}"
        written, equals, value = text.partition("=")
        try:
            if not equals:
                raise _WrongPathError("needs a path and a value", "write path=value: http.timeout=5s")  # noqa: TRY301
            path = _resolve(root, _segments(written), model)
            node = _value(value, name, problems)
            root = root if node is None else put(root, path, node)
        except _WrongPathError as wrong:
            problems.append(Problem(name, 0, 0, "", wrong.message, wrong.hint))
        except KeyError as error:
            message = f"{error.args[0]} is not in a mapping or a list"
            problems.append(
                Problem(name, 0, 0, "", message, "check the path: squall show prints the manifest")
            )
    return root, problems


def _segments(written: str) -> list[str]:
    segments: list[str] = []
    position = 0
    while position < len(written):
        match = _SEGMENT.match(written, position)
        if match is None:
            raise _WrongPathError(
                f'"{written}" is not a path', "write it like scenarios.signup.stages[0].target"
            )
        segments.append((match[1] or match[2]).strip())
        position = match.end()
    if not segments:
        raise _WrongPathError("the path is empty", "write path=value: http.timeout=5s")
    return segments if segments[0] == "spec" else ["spec", *segments]


def _resolve(root: Node, segments: list[str], model: type[Model]) -> Path:
    """Segments as keys and indexes of this tree; keys are checked against the models."""
    path: list[str | int] = []
    here: Node | None = root
    shape: Shape | None = Shape(models=[model])
    for segment in segments:
        step: str | int = segment
        if isinstance(here, ListNode):
            step = _index(here, segment, tuple(path))
        elif shape is not None and shape.models and segment not in shape.keys:
            where = format_path(tuple(path[1:])) or "spec"
            raise _WrongPathError(
                f'{where} has no "{segment}"{did_you_mean(segment, shape.keys)}', one_of(shape.keys)
            )
        path.append(step)
        here = child(here, step)
        shape = below(shape, step) if shape else None
    return tuple(path)


def _index(here: ListNode, segment: str, path: Path) -> int:
    names = [text_at(item, "name") for item in here.items]
    if segment in names:
        return names.index(segment)
    where = format_path(path[1:])
    if segment.isdecimal():
        if int(segment) < len(here.items):
            return int(segment)
        count = len(here.items)
        raise _WrongPathError(
            f"{where} has {count} {'item' if count == 1 else 'items'}", "they are counted from 0"
        )
    known = [name for name in names if name]
    hint = one_of(known, "items") or f"use its number: {where}[0]"
    raise _WrongPathError(f'{where} has no item named "{segment}"{did_you_mean(segment, known)}', hint)


def _value(text: str, name: str, problems: list[Problem]) -> Node | None:
    """The value as a tree; None when it is no YAML, which is noted."""
    origin = Origin(name)
    if parse_plain(text.strip()) is None:
        return Leaf(None if text.strip() else "", origin)
    documents, wrong = read_documents(text, name)
    problems += [Problem(name, 0, 0, "", problem.message, problem.hint) for problem in wrong]
    return _moved(documents[0].root, origin) if documents and not wrong else None


def _moved(node: Node, origin: Origin) -> Node:
    match node:
        case MapNode():
            items = {key: _moved(item, origin) for key, item in node.items.items()}
            return MapNode(items, origin, dict.fromkeys(items, origin))
        case ListNode():
            return ListNode(tuple(_moved(item, origin) for item in node.items), origin)
        case Leaf():
            return Leaf(node.value, origin)
