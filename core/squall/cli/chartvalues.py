"""What a chart's `values.yaml` says about itself: its reference page and its schema.

Values are described where they stand, so that nothing else has to be kept in step with them. A comment that begins with `--` describes
the key below it, and begins with what the value may be, in parentheses:

    string, bool, int, number, object       of that type; `string, not empty`
    string /PATTERN/                        that matches the pattern
    int >= 1 <= 6, number > 0               within limits
    "a" | "b"                               one of these
    [TYPE], {TYPE}                          a list of these; a map from names to these
    NAME                                    what the definition of that name says

A key without one holds other keys, and no others than it shows.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DESCRIPTION: Final = re.compile(r"-- (?:\((?P<kind>.+?)\) )?(?P<text>[^(].*)")
_LIMITS: Final = {
    ">=": "minimum",
    "<=": "maximum",
    ">": "exclusiveMinimum",
}
_TYPES: Final = {
    "string": "string",
    "bool": "boolean",
    "int": "integer",
    "number": "number",
    "object": "object",
}


class ValuesError(ValueError):
    """`values.yaml` does not describe itself; the message names the key and says what is missing."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key.

    Attributes:
        path: Its own name and those of the keys above it.
        kind: What it may be; empty where it holds other keys.
        text: What it is for.
        default: What it is when nobody says otherwise.
        below: The keys that it holds.
    """

    path: tuple[str, ...]
    kind: str
    text: str
    default: Any
    below: tuple[Value, ...]


def read(text: str) -> tuple[Value, ...]:
    """The keys of a `values.yaml`.

    Raises:
        ValuesError: A key is not described.
    """
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(node, yaml.MappingNode), "values are a mapping"
    return tuple(_children((), node, text.splitlines()))


def _children(path: tuple[str, ...], node: yaml.MappingNode, lines: list[str]) -> Iterator[Value]:
    for key, value in node.value:
        own = (*path, key.value)
        kind, told = _described(lines, key.start_mark.line)
        below: tuple[Value, ...] = ()
        if not kind:
            if not isinstance(value, yaml.MappingNode) or value.flow_style:
                raise ValuesError(
                    f"{'.'.join(own)}: write what it may be above it, such as `# -- (string) ...`"
                )
            below = tuple(_children(own, value, lines))
        yield Value(own, kind, told, yaml.safe_load(yaml.serialize(value)), below)


def _described(lines: list[str], line: int) -> tuple[str, str]:
    comment = lines[line - 1].strip().removeprefix("#").strip() if line else ""
    found = _DESCRIPTION.fullmatch(comment)
    return (found["kind"] or "", found["text"]) if found else ("", "")


def reference(values: tuple[Value, ...]) -> str:
    """The keys as tables in Markdown, one for each key at the top that holds others."""
    alone = [each for each in values if each.kind]
    parts = [_section(each.path[-1], each.text, _leaves(each.below)) for each in values if not each.kind]
    return "\n".join([*parts, _section("Everything else", "", alone)])


def _section(name: str, text: str, values: list[Value]) -> str:
    rows = [
        f"| `{'.'.join(each.path)}` | {_cell(each.kind)} | `{json.dumps(each.default)}` | {each.text} |"
        for each in values
    ]
    head = [f"### {name}", "", *([text, ""] if text else [])]
    return "\n".join(
        [*head, "| key | may be | default | what it is |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _leaves(values: tuple[Value, ...]) -> list[Value]:
    return [leaf for each in values for leaf in ([each] if each.kind else _leaves(each.below))]


def _cell(kind: str) -> str:
    return kind.replace("|", "\\|")


def schema(values: tuple[Value, ...], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The keys as a JSON schema, that takes nothing else.

    Args:
        values: The keys.
        definitions: What may be named as a type.

    Raises:
        ValuesError: A type is not one.
    """
    root = _mapping(values, definitions)
    # What Helm itself gives to a chart that another one depends on.
    root["properties"] |= {"global": {"type": "object"}, "enabled": {"type": "boolean"}}
    # The draft that every Helm 3 understands.
    return {"$schema": "http://json-schema.org/draft-07/schema#", **root, "definitions": dict(definitions)}


def _mapping(values: tuple[Value, ...], definitions: Mapping[str, Any]) -> dict[str, Any]:
    properties = {}
    for each in values:
        node = (
            _mapping(each.below, definitions) if not each.kind else _node(each.kind, each.path, definitions)
        )
        properties[each.path[-1]] = {**({"description": each.text} if each.text else {}), **node}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _node(kind: str, path: tuple[str, ...], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a type."""
    if kind.startswith("[") and kind.endswith("]"):
        return {"type": "array", "items": _node(kind[1:-1], path, definitions)}
    if kind.startswith("{") and kind.endswith("}"):
        return {"type": "object", "additionalProperties": _node(kind[1:-1], path, definitions)}
    if kind.startswith('"'):
        return {"enum": [json.loads(each) for each in kind.split(" | ")]}
    if kind in definitions:
        return {"$ref": f"#/definitions/{kind}"}
    name, _, rest = kind.partition(" ")
    known = _TYPES.get(name.removesuffix(","))
    if known is None:
        raise ValuesError(f"{'.'.join(path)}: `{kind}` is no type")
    return {"type": known, **_limits(rest, path)}


def _limits(text: str, path: tuple[str, ...]) -> dict[str, Any]:
    if text.startswith("/") and text.endswith("/"):
        return {"pattern": text[1:-1]}
    if text == "not empty":
        return {"minLength": 1}
    words = text.split()
    limits = dict(zip(words[::2], words[1::2], strict=True)) if len(words) % 2 == 0 else {text: ""}
    if not limits.keys() <= _LIMITS.keys():
        raise ValuesError(f"{'.'.join(path)}: `{text}` limits nothing")
    return {_LIMITS[sign]: int(number) for sign, number in limits.items()}
