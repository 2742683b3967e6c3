"""A tree against the models: a validated object, or every problem with its place.

pydantic stops checking an object as a whole when one of its fields is wrong, and names places in its own way.
What concerns an object as a whole (exactly one of several keys, the fields of an executor) is therefore
checked here on the tree, so that all problems come at once.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from squall.spec.base import Model, Rule
from squall.spec.problems import Problem, nearest
from squall.spec.scalars import parse_plain
from squall.spec.scenarios import EXECUTOR_FIELDS, ONLY_BY_RATE, Scenario
from squall.spec.shape import Shape, below, shape_at
from squall.spec.tree import (
    Leaf,
    ListNode,
    MapNode,
    Node,
    Path,
    child,
    find,
    format_path,
    names_on,
    origin_of,
    plain,
    put,
    text_at,
)
from squall.spec.wording import missing_key, unknown_key, wrong_value

if TYPE_CHECKING:
    from collections.abc import Iterator

M = TypeVar("M", bound=Model)
_RETYPED = ("int_type", "float_type", "bool_type", "string_type")


def problem_at(root: Node, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    """A problem at a path of a tree, with the place where the value (or the key) was written."""
    origin = origin_of(root, path, key=key)
    return Problem(
        origin.file, origin.line, origin.column, format_path(path), message, hint, names_on(root, path)
    )


def check_model(model: type[M], root: Node) -> tuple[M | None, Node, list[Problem]]:
    """Validate a tree.

    Text that came from outside (`--var`, the environment) carries no type: where the model wants a number or
    a boolean it is read as one, and where it wants text a typed variable is written out.

    Returns:
        The object when there are no problems, the tree with such values in their type, and the problems.
    """
    problems = list(_whole_objects(model, root))
    for _ in range(3):
        try:
            instance = model.model_validate(plain(root), by_alias=True, by_name=False)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            retyped = _retype(root, errors)
            if retyped is root:
                problems += _from_pydantic(model, root, errors)
                break
            root = retyped
        else:
            return (None if problems else instance), root, problems
    return None, root, _without_echoes(model, root, problems)


def _retype(root: Node, errors: Any) -> Node:
    for error in errors:
        path, _ = _tree_path(root, error["loc"])
        leaf = find(root, *path)
        if not isinstance(leaf, Leaf) or not leaf.external or error["type"] not in _RETYPED:
            continue
        value = leaf.value
        if error["type"] == "string_type" and not isinstance(value, str) and not _has_other(errors, error):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            root = put(root, path, Leaf(text, leaf.origin, external=True))
        elif error["type"] != "string_type" and isinstance(value, str):
            typed = parse_plain(value.strip())
            if not isinstance(typed, str):
                root = put(root, path, Leaf(typed, leaf.origin))
    return root


def _has_other(errors: Any, error: Any) -> bool:
    """Whether the value may be something else than text, too."""
    return any(other["loc"][:-1] == error["loc"][:-1] and other is not error for other in errors)


def _tree_path(root: Node, loc: tuple[Any, ...]) -> tuple[Path, tuple[Any, ...]]:
    """The part of a pydantic location that exists in the tree, and the rest (union members' labels)."""
    path: list[str | int] = []
    here: Node | None = root
    for position, segment in enumerate(loc):
        here = child(here, segment)
        if here is None:
            return tuple(path), loc[position:]
        path.append(segment)
    return tuple(path), ()


def _from_pydantic(model: type[Model], root: Node, errors: Any) -> Iterator[Problem]:
    grouped: dict[Path, list[dict[str, Any]]] = {}
    for error in errors:
        path, rest = _tree_path(root, error["loc"])
        if error["type"] == "missing":
            absent = (*path, *rest)
            shape = shape_at(model, absent)
            words = missing_key(str(absent[-1]), shape.description if shape else "")
            yield problem_at(root, absent, *words, key=True)
        elif error["type"] == "extra_forbidden":
            shape = shape_at(model, path[:-1])
            yield problem_at(
                root, path, *unknown_key(str(path[-1]), tuple(shape.keys) if shape else ()), key=True
            )
        elif rest[-1:] == ("[key]",):
            yield _wrong_key(root, path, error)
        elif not (error["type"] == "value_error" and _checked_whole(model, path)):
            grouped.setdefault(path, []).append(error)
    for path, found in grouped.items():
        node = find(root, *path)
        words = wrong_value(found, plain(node) if node else None, shape_at(model, path))
        yield problem_at(root, path, *words)


def _wrong_key(root: Node, path: Path, error: dict[str, Any]) -> Problem:
    message, hint = wrong_value([error], str(path[-1]), None)
    return problem_at(root, path, f"as a key, {message}", hint, key=True)


def _checked_whole(model: type[Model], path: Path) -> bool:
    shape = shape_at(model, path)
    return any(_is_whole(part) for part in (shape.models if shape else ()))


def _is_whole(model: Any) -> bool:
    return bool(getattr(model, "rules", ()))


def _whole_objects(model: type[Model], root: Node) -> Iterator[Problem]:
    """Problems of objects as a whole, everywhere in the tree."""
    for path, node, shape in _objects(root, Shape(models=[model]), ()):
        for part in shape.models:
            if part is Scenario:
                yield from _executor_fields(root, path, node)
            else:
                yield from _broken_rules(root, path, node, part)


def _broken_rules(root: Node, path: Path, node: MapNode, model: Any) -> Iterator[Problem]:
    keys = tuple(info.alias or name for name, info in model.model_fields.items())
    given = frozenset(_given(node, keys))
    values = {
        name: plain(item)
        for name, info in model.model_fields.items()
        if (item := child(node, info.alias or name))
    }
    unchecked = SimpleNamespace(**values)
    for rule in getattr(model, "rules", ()):
        union = _union_of(rule)
        if union:
            yield from _exactly_one(root, path, node, union)
        elif not rule.holds(unchecked, given):
            clash = _clash_of(rule, given)
            place = (*path, clash[1]) if clash else path
            yield problem_at(
                root, place, rule.message, f"leave out {' or '.join(clash)}" if clash else "", key=True
            )


def _union_of(rule: Rule) -> tuple[str, ...]:
    """The keys of which exactly one is wanted, when that is the rule."""
    members = (rule.in_schema or {}).get("oneOf", ())
    required = [member.get("required", ()) for member in members]
    return tuple(keys[0] for keys in required) if all(len(keys) == 1 for keys in required) else ()


def _clash_of(rule: Rule, given: frozenset[str]) -> tuple[str, ...]:
    """Two keys that exclude each other, or have values that do, and are both given, when that is the rule."""
    together = (rule.in_schema or {}).get("not") or {}
    excluded = together.get("anyOf", (together,))
    pairs = [tuple(pair.get("required", ())) for pair in excluded]
    return next((pair for pair in pairs if len(pair) > 1 and given.issuperset(pair)), ())


def _objects(node: Node, shape: Shape, path: Path) -> Iterator[tuple[Path, MapNode, Shape]]:
    if isinstance(node, MapNode):
        yield path, node, shape
        items: list[tuple[str | int, Node]] = list(node.items.items())
    elif isinstance(node, ListNode):
        items = list(enumerate(node.items))
    else:
        return
    for segment, item in items:
        inner = below(shape, segment)
        if inner is not None:
            yield from _objects(item, inner, (*path, segment))


def _given(node: MapNode, keys: tuple[str, ...]) -> list[str]:
    empty = {key for key, item in node.items.items() if isinstance(item, Leaf) and item.value is None}
    return [key for key in keys if key in node.items and key not in empty]


def _exactly_one(root: Node, path: Path, node: MapNode, union: tuple[str, ...]) -> Iterator[Problem]:
    given = _given(node, union)
    wanted = ", ".join(union)
    if len(given) > 1:
        message = f"has {' and '.join(given)}, but can have only one of them"
        yield problem_at(root, (*path, given[1]), message, f"keep one of: {wanted}", key=True)
    elif not given and not any(nearest(key, union) for key in node.items if key not in union):
        yield problem_at(root, path, f"needs one of {wanted}; has none of them", "add one of them")


def _executor_fields(root: Node, path: Path, node: MapNode) -> Iterator[Problem]:
    executor = text_at(node, "executor")
    fields = EXECUTOR_FIELDS.get(executor or "")
    if fields is None:
        return
    known = sorted(set().union(*(other.allowed for other in EXECUTOR_FIELDS.values())))
    given = set(_given(node, tuple(known)))
    unknown = [key for key in node.items if nearest(key, known) and key not in known]
    for key in sorted(fields.required - given):
        if key not in {nearest(other, known) for other in unknown}:
            hint = f"{executor} also takes {', '.join(sorted(fields.allowed - {key}))}"
            yield problem_at(root, (*path, key), f"{executor} needs {key}", hint, key=True)
    for key in sorted(given - fields.allowed):
        takers = [name for name, other in EXECUTOR_FIELDS.items() if key in other.allowed]
        message = f"{key} does not belong to {executor}"
        yield problem_at(root, (*path, key), message, f"it belongs to {', '.join(takers)}", key=True)
    if executor == "capacity" and text_at(node, "search", "by") == "vus":
        for key in sorted(given & set(ONLY_BY_RATE)):
            message = f"{key} does not belong to a search by: vus"
            yield problem_at(root, (*path, key), message, "leave it out, or search by: rate", key=True)


def _without_echoes(model: type[Model], root: Node, problems: list[Problem]) -> list[Problem]:
    """Without the complaint that a key is missing where a misspelt one stands beside it."""
    echoes: set[str] = set()
    for path, node, shape in _objects(root, Shape(models=[model]), ()):
        valid = tuple(shape.keys)
        for key in node.items:
            if shape.models and key not in valid and (close := nearest(key, valid)):
                echoes.add(format_path((*path, close)))
    return [
        problem
        for problem in problems
        if not (problem.path in echoes and problem.message.endswith("is missing"))
    ]
