"""A JSON schema for editors, so that a manifest is completed and checked while it is being typed.

For yaml-language-server and whatever else reads JSON schema (draft 2020-12). It says more than the CRD can, since it may refer to
itself: steps are checked at any depth, the keys of maps too, and which fields an executor takes.
"""

from __future__ import annotations

from typing import Any

from squall.spec.base import API_GROUP, Rule
from squall.spec.scenarios import EXECUTOR_FIELDS
from squall.spec.schema import PRESERVE, Node, Schema, first_paragraph, schema_of

_NODES = ("items", "additionalProperties")


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of the manifests of one kind."""
    schema = schema_of(kind)
    root = _strict(_plain(schema.root))
    root["required"] = ["apiVersion", "kind", "metadata", "spec"]
    root["properties"]["metadata"] = {
        "description": "As for every Kubernetes object: name, labels, annotations.",
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 253}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://{API_GROUP}/schema/{kind.lower()}.schema.json",
        "title": kind,
        **root,
        "$defs": {name: _model(schema, name) for name in schema.models},
    }


def _model(schema: Schema, name: str) -> Node:
    node = _strict(_plain(schema.models[name]))
    conditions = [*_in_schema(schema.classes[name].rules), *(_executors() if name == "Scenario" else [])]
    return {**node, "allOf": conditions} if conditions else node


def _in_schema(rules: tuple[Rule, ...]) -> list[Node]:
    return [rule.in_schema for rule in rules if rule.in_schema is not None]


def _executors() -> list[Node]:
    """What each executor needs, and what belongs to other executors only."""
    every = frozenset().union(*(fields.allowed for fields in EXECUTOR_FIELDS.values()))
    return [
        {
            "if": {"properties": {"executor": {"const": name}}, "required": ["executor"]},
            "then": {
                "required": sorted(fields.required),
                "properties": dict.fromkeys(sorted(every - fields.allowed), False),
            },
        }
        for name, fields in EXECUTOR_FIELDS.items()
    ]


def _strict(node: Node) -> Node:
    return {**node, "additionalProperties": False}


def _plain(node: Node) -> Node:
    """The node without what only Kubernetes reads, each description in one paragraph."""
    result = {key: value for key, value in node.items() if key != PRESERVE}
    if "description" in node:
        result["description"] = first_paragraph(node["description"])
    if "properties" in node:
        result["properties"] = {key: _plain(value) for key, value in node["properties"].items()}
    for key in _NODES:
        if isinstance(node.get(key), dict):
            result[key] = _plain(node[key])
    if "$ref" in node:
        result.pop("default", None)
    return result
