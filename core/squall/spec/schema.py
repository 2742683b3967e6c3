"""The models as plain schema nodes: one reading of them for the CRDs, the editors' schema and the reference.

Pydantic's JSON schema says what Python does (`X or null`, titles, key patterns as `patternProperties`). The three
generators want what a manifest says. So its output is put into one small normal form here, and each of them is
a plain walk over that.

A node is a dict with the keywords of JSON schema, and of those only: `$ref` (to `#/$defs/<model>`), `type`, `enum`, `anyOf`
(a whole number or a text, nothing else), `items`, `properties`, `required`, `additionalProperties`, `propertyNames`, the limits,
`pattern`, `default`, `description`, `x-kubernetes-preserve-unknown-fields`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from squall.spec.base import Model
from squall.spec.docstrings import attribute_docs
from squall.spec.kinds import KINDS

Node: TypeAlias = dict[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
_REF = "#/$defs/"
_DROPPED = ("title", "anyOf", "patternProperties", "const")


@dataclass(frozen=True, slots=True)
class Schema:
    """One kind of resource.

    Attributes:
        root: The resource itself.
        models: Every object below it, by the name of its class.
        classes: The classes of these, which hold the rules.
    """

    root: Node
    models: dict[str, Node]
    classes: dict[str, type[Model]]


@cache
def schema_of(kind: str) -> Schema:
    """The schema of a kind such as `LoadTest`, by the names of the manifest."""
    raw = KINDS[kind].model_json_schema(by_alias=True, mode="validation")
    known = {cls.__name__: cls for cls in _subclasses(Model)}
    models = {name: _described(_normal(node), known[name]) for name, node in raw.pop("$defs").items()}
    root = _described(_normal(raw), known[kind])
    return Schema(root, models, {name: known[name] for name in (*models, kind)})


def _described(node: Node, model: type[Model]) -> Node:
    """The node of a model, with the meaning of each key."""
    docs = attribute_docs(model)
    for name, info in model.model_fields.items():
        if name in docs:
            key = info.alias or name
            node["properties"][key] = {"description": docs[name], **node["properties"][key]}
    return node


def model_name(node: Node) -> str | None:
    """The name of the model that a node refers to."""
    ref = node.get("$ref")
    return None if ref is None else str(ref).removeprefix(_REF)


def is_int_or_text(node: Node) -> bool:
    """Whether the node takes a whole number or a text, as a scalar does that may be `${var.x}`."""
    return "anyOf" in node


def first_paragraph(text: str) -> str:
    """The first paragraph as one line."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


def _normal(node: Node) -> Node:
    node = _without_null(node)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if result.get("default", ...) is None:
        del result["default"]
    if "const" in node:
        result["enum"] = [node["const"]]
    if "anyOf" in node:
        result["anyOf"] = [_normal(branch) for branch in node["anyOf"]]
        _must_be_int_or_text(result["anyOf"])
    if "items" in node:
        result["items"] = _normal(node["items"])
    if "properties" in node:
        result["properties"] = {key: _normal(value) for key, value in node["properties"].items()}
    if isinstance(values := node.get("additionalProperties"), dict):
        result["additionalProperties"] = _normal(values)
    for pattern, values in node.get("patternProperties", {}).items():
        # Elsewhere the other keys would be free; here every key must match.
        result["additionalProperties"] = _normal(values)
        result["propertyNames"] = {**node.get("propertyNames", {}), "pattern": pattern}
    return result


def _without_null(node: Node) -> Node:
    """`X or null` as X: a key whose value is null counts as not given, here and on the API server."""
    branches = node.get("anyOf")
    if branches is None:
        return node
    kept = [branch for branch in branches if branch.get("type") != "null"]
    if len(kept) > 1:
        return {**node, "anyOf": kept}
    return {**kept[0], **{key: value for key, value in node.items() if key != "anyOf"}}


def _must_be_int_or_text(branches: list[Node]) -> None:
    kinds = sorted(str(branch.get("type")) for branch in branches)
    if kinds != ["integer", "string"]:
        raise TypeError(
            f"only a whole number or a text may share a key, not {kinds}: a CRD can say nothing else"
        )


def _subclasses(cls: type[Model]) -> list[type[Model]]:
    direct = cls.__subclasses__()
    return [*direct, *(below for child in direct for below in _subclasses(child))]
