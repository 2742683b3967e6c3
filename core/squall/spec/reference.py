"""The reference pages: every key of a manifest with its type, default, limits and meaning.

Written from the models, since a page kept by hand is wrong after the second change. Sections follow the manifest from the top
down; each object has one, wherever it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.spec import base
from squall.spec.scenarios import EXECUTOR_FIELDS
from squall.spec.schema import (
    PRESERVE,
    Node,
    Schema,
    first_paragraph,
    is_int_or_text,
    model_name,
    schema_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAIN_KIND = "LoadTest"

VALUES = {
    "duration": (
        base.DURATION_PATTERN,
        "A length of time as Go writes it: `500ms`, `30s`, `1m30s`, `2h`, `0`.",
    ),
    "share": (base.PERCENT_PATTERN, "A part of a whole: `5%` or `0.05` (as text, in quotes)."),
    "size": (base.SIZE_PATTERN, "A number of bytes: `512`, `10KiB`, `64MiB`, `2MB`."),
    "name": (
        base.NAME_PATTERN,
        "Letters, digits, `_`, `.` and `-`, at most 63, the first and the last no sign.",
    ),
    "label": (base.LABEL_PATTERN, 'Any text of at most 80 characters without `{`, `}`, `"`, `,` and `:`.'),
    "identifier": (base.IDENTIFIER_PATTERN, "A letter, then letters, digits and `_`, at most 63."),
}
"""What a text with a known pattern is called, and what it looks like."""
_MAY_BE_VARIABLE = ("duration", "share", "size")
_CALLED = {pattern: name for name, (pattern, _) in VALUES.items()} | {
    base.INT_PATTERN: "whole number or `${var.x}`"
}
_SIMPLE = {"string": "text", "integer": "whole number", "boolean": "true or false"}


def reference(kind: str) -> str:
    """The page of one kind, in Markdown."""
    schema = schema_of(kind)
    linked = {} if kind == MAIN_KIND else schema_of(MAIN_KIND).models
    title = [
        f"# {kind}",
        "",
        *_paragraphs(schema.root["description"]),
        "",
        "Generated from the models; do not edit.",
        "",
    ]
    sections = [line for name in _in_order(schema, linked) for line in _section(schema, name, linked)]
    values = _values() if kind == MAIN_KIND else []
    return "\n".join([*title, *_top(schema, kind), *sections, *values]).rstrip() + "\n"


def _top(schema: Schema, kind: str) -> list[str]:
    spec = model_name(schema.root["properties"]["spec"])
    return [
        "```yaml",
        f"apiVersion: {base.API_VERSION}",
        f"kind: {kind}",
        "metadata: {name: ...}",
        f"spec: ...   # see {spec}",
        "```",
        "",
    ]


def _in_order(schema: Schema, linked: dict[str, Node]) -> list[str]:
    """Every model once, in the order in which a reader of the manifest meets it."""
    found: dict[str, None] = {}
    waiting = [schema.root["properties"]["spec"]]
    while waiting:
        for name in _referred(waiting.pop(0)):
            if name not in found and name not in linked:
                found[name] = None
                waiting[:0] = schema.models[name].get("properties", {}).values()
    return list(found)


def _referred(node: Node) -> Iterator[str]:
    if name := model_name(node):
        yield name
    for below in (node.get("items"), node.get("additionalProperties")):
        if isinstance(below, dict):
            yield from _referred(below)


def _section(schema: Schema, name: str, linked: dict[str, Node]) -> list[str]:
    model = schema.models[name]
    required = model.get("required", [])
    lines = [f"## {name}", "", *_paragraphs(model["description"]), ""]
    lines += ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, node in model["properties"].items():
        default = "**required**" if key in required else _default(node)
        meaning = first_paragraph(node.get("description") or _meaning_of_type(schema, node))
        cells = (f"`{key}`", f"{_type(node, linked)}{_limits(node)}", default, meaning)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if name == "Scenario":
        return [*lines, "", *_executors()]
    rules = [f"- {rule.message[0].upper()}{rule.message[1:]}." for rule in schema.classes[name].rules]
    return [*lines, "", *(["Rules:", "", *rules, ""] if rules else [])]


def _meaning_of_type(schema: Schema, node: Node) -> str:
    name = next(_referred(node), None)
    return str(schema.models[name]["description"]) if name else ""


def _default(node: Node) -> str:
    value = node.get("default")
    if value is None or "$ref" in node or value == []:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(node: Node, linked: dict[str, Node]) -> str:
    if name := model_name(node):
        return f"[{name}]({MAIN_KIND.lower() + '.md' if name in linked else ''}#{name.lower()})"
    if node.get("type") == "array":
        return f"list of {_type(node['items'], linked)}"
    if isinstance(values := node.get("additionalProperties"), dict):
        keys = _CALLED.get(node.get("propertyNames", {}).get("pattern", ""), "text")
        return f"map of {keys} to {_type(values, linked)}"
    return _scalar_type(node)


def _scalar_type(node: Node) -> str:
    if is_int_or_text(node):
        text = next(branch for branch in node["anyOf"] if branch["type"] == "string")
        return _CALLED.get(text.get("pattern", ""), "whole number or text")
    if PRESERVE in node or node.get("type") == "object":
        return "object" if node.get("type") == "object" else "anything"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    return _CALLED.get(node.get("pattern", ""), _SIMPLE[node["type"]])


def _limits(node: Node) -> str:
    """What is limited beyond what the type's name says."""
    if is_int_or_text(node):
        number, text = sorted(node["anyOf"], key=lambda branch: str(branch["type"]))
        return f", from {number['minimum']}" if text.get("pattern") == base.INT_PATTERN else ""
    for least, most, unit in (
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " keys"),
        ("minimum", "maximum", ""),
    ):
        if most in node:
            return f", {node.get(least, 0)} to {node[most]:,}{unit}"
    if node.get("type") != "string" or "enum" in node or node.get("pattern") in _CALLED:
        return ""
    pattern = f", `{node['pattern']}`" if "pattern" in node else ""
    return f", up to {node['maxLength']:,} characters{pattern}"


def _executors() -> list[str]:
    lines = [
        "Which keys belong to which executor:",
        "",
        "| executor | needs | may have |",
        "| --- | --- | --- |",
    ]
    for name, fields in EXECUTOR_FIELDS.items():
        needs, may = (
            ", ".join(f"`{key}`" for key in sorted(keys))
            for keys in (fields.required, fields.allowed - fields.required)
        )
        lines.append(f"| `{name}` | {needs} | {may} |")
    return [*lines, ""]


def _values() -> list[str]:
    lines = ["## Values", ""]
    for name, (_, meaning) in VALUES.items():
        variable = " Or `${var.x}`." if name in _MAY_BE_VARIABLE else ""
        lines.append(f"- **{name}**: {meaning}{variable}")
    return [*lines, ""]


def _paragraphs(text: str) -> list[str]:
    return text.strip().split("\n")
