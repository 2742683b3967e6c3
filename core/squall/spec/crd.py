"""The CRDs, so that `kubectl apply` refuses a bad manifest before anything runs.

The API server takes structural schemas only (no references, no `string | object`), and bounds what a rule in CEL may cost: its
price times the number of objects it can be asked for, which is the product of all maxima on the way. CEL does not see keys
that take anything (a JSON body). And `kubectl apply` keeps a copy of the CRD in an annotation of at most 256 KiB. From this
follow the shapes here: references are written out; steps within steps are written out once, in a scenario's steps only and
without the longest kinds, and beyond that kept as they are; a rule that CEL cannot have is said in plain schema where that can say it, and otherwise left
to the models, which check everything again.

No defaults are set: they live in the models alone, so that a stored manifest is what its author wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from squall.spec.base import API_GROUP, API_VERSION, Rule
from squall.spec.schema import PRESERVE, Node, Schema, first_paragraph, is_int_or_text, model_name, schema_of

STEP_LEVELS = 2
"""Steps are written out this deep: a scenario's steps, and the steps within these."""
SHALLOW_STEPS = frozenset({("Scenario", "finally"), ("StepBlock", "steps")})
"""Where only the steps themselves are written out: model and key of what is short as a rule."""
LONG_KINDS = frozenset({"poll", "evm", "encrypt", "decrypt", "generate"})
"""Kinds of steps that are written out among a scenario's own steps only, and elsewhere kept as they are: of ten places in which
steps stand, each would take as much of the annotation."""
CEL_OBJECTS = 100_000
"""A rule is given in CEL when at most this many objects can be there; the server refuses dearer CRDs."""

_LIMITS = ("minLength", "maxLength", "pattern", "enum", "minimum", "maximum")
_SIZES = ("minItems", "maxItems", "minProperties", "maxProperties")


@dataclass(frozen=True, slots=True)
class Resource:
    """What a CRD says about a kind beside its schema.

    Attributes:
        plural: The name in URLs.
        short: What `kubectl get` takes as well.
        scope: `Namespaced` or `Cluster`.
        columns: Name, type, JSONPath and priority of what `kubectl get` prints; 1 means with `-o wide` only.
    """

    plural: str
    short: str
    scope: str
    columns: tuple[tuple[str, str, str, int], ...]


_AGE = ("Age", "date", ".metadata.creationTimestamp", 0)
_READY = '.status.conditions[?(@.type=="Ready")]'

RESOURCES = {
    "LoadTest": Resource(
        "loadtests",
        "lt",
        "Namespaced",
        (
            ("Phase", "string", ".status.phase", 0),
            ("Verdict", "string", ".status.verdict.result", 0),
            ("Shards", "string", ".spec.shards", 0),
            ("Suspended", "boolean", ".spec.suspend", 1),
            ("Reason", "string", f"{_READY}.reason", 1),
            ("Message", "string", f"{_READY}.message", 1),
            _AGE,
        ),
    ),
    "LoadTestSchedule": Resource(
        "loadtestschedules",
        "lts",
        "Namespaced",
        (
            ("Schedule", "string", ".spec.schedule", 0),
            ("Zone", "string", ".spec.timeZone", 1),
            ("Suspended", "boolean", ".spec.suspend", 0),
            ("Last", "date", ".status.lastScheduleTime", 0),
            _AGE,
        ),
    ),
    "LoadTestPolicy": Resource(
        "loadtestpolicies",
        "ltp",
        "Cluster",
        (
            ("Halt", "boolean", ".spec.halt", 0),
            ("Max VUs", "integer", ".spec.maxVUs", 0),
            ("Max shards", "integer", ".spec.maxShards", 1),
            _AGE,
        ),
    ),
}


def crd(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, as `kubectl apply` takes it."""
    resource = RESOURCES[kind]
    group, version = API_VERSION.split("/")
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": resource.plural,
        "singular": kind.lower(),
        "shortNames": [resource.short],
        "categories": ["squall"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{API_GROUP}"},
        "spec": {
            "group": group,
            "scope": resource.scope,
            "names": names,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": _root(kind)},
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, priority: int) -> Node:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})


def _root(kind: str) -> Node:
    schema = schema_of(kind)
    properties = schema.root["properties"]
    walk = _Walk(schema)
    return {
        "type": "object",
        "description": schema.root["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": walk.node(properties["spec"], _Place()),
            "status": walk.node(properties["status"], _Place()),
        },
    }


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk is: how many objects can be there, and how deep in steps within steps it is."""

    objects: int = 1
    step_level: int = 0

    def within(self, maximum: int) -> _Place:
        return replace(self, objects=self.objects * maximum)

    @property
    def described(self) -> bool:
        """Descriptions are given once; in nested steps they would double the size of the CRD."""
        return self.step_level < STEP_LEVELS


@dataclass(frozen=True, slots=True)
class _Walk:
    """Writes nodes out as structural schemas."""

    schema: Schema

    def node(self, node: Node, place: _Place) -> Node:
        result = self._shape(node, place)
        model = self.schema.models.get(model_name(node) or "", {})
        description = node.get("description") or model.get("description")
        if description and place.described:
            result = {"description": first_paragraph(description), **result}
        return result

    def _shape(self, node: Node, place: _Place) -> Node:
        name = model_name(node)
        if name is not None:
            return self._object(name, place)
        if is_int_or_text(node):
            limits: Node = {}
            for branch in node["anyOf"]:
                limits |= {key: branch[key] for key in _LIMITS if key in branch}
            return {"x-kubernetes-int-or-string": True, **limits}
        if node.get("type") == "array":
            return self._list(node, place)
        if node.get("type") == "object":
            return self._map(node, place)
        if PRESERVE in node:
            return {PRESERVE: True}
        scalar = {key: node[key] for key in ("type", *_LIMITS) if key in node}
        return scalar | ({"format": "int64"} if node["type"] == "integer" else {})

    def _object(self, name: str, place: _Place) -> Node:
        model = self.schema.models[name]
        properties = {}
        for key, value in model["properties"].items():
            if name == "Step" and key in LONG_KINDS and place.step_level > 1:
                properties[key] = {"type": "object", PRESERVE: True}
                continue
            shallow = (name, key) in SHALLOW_STEPS
            properties[key] = self.node(value, replace(place, step_level=1) if shallow else place)
        result: Node = {"type": "object", "properties": properties}
        if required := model.get("required"):
            result["required"] = required
        unseen = {key for key, value in properties.items() if _unseen_by_cel(value)}
        return result | _rules(self.schema.classes[name].rules, unseen, place)

    def _list(self, node: Node, place: _Place) -> Node:
        item_name = model_name(node["items"])
        below = place.within(node["maxItems"])
        if item_name == "Step":
            below = replace(below, step_level=place.step_level + 1)
        result = {"type": "array", **{key: node[key] for key in _SIZES if key in node}}
        if item_name is not None and self.schema.classes[item_name].named_list:
            result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        if below.step_level > STEP_LEVELS:
            return {**result, "items": {"type": "object", PRESERVE: True}}
        return {**result, "items": self.node(node["items"], below)}

    def _map(self, node: Node, place: _Place) -> Node:
        values = node.get("additionalProperties")
        if not isinstance(values, dict):
            return {"type": "object", PRESERVE: True}
        sizes = {key: node[key] for key in _SIZES if key in node}
        below = place.within(node["maxProperties"])
        return {"type": "object", **sizes, "additionalProperties": self.node(values, below)}


def _unseen_by_cel(node: Node) -> bool:
    """Whether a key takes values of no declared type, itself or in what it holds."""
    below = node.get("items") or node.get("additionalProperties")
    return _unseen_by_cel(below) if below else PRESERVE in node and "type" not in node


def _rules(rules: tuple[Rule, ...], unseen: set[str], place: _Place) -> Node:
    in_cel, in_schema = [], []
    for rule in rules:
        seen = unseen.isdisjoint(re.findall(r"self\.(\w+)", rule.cel))
        if seen and place.objects <= CEL_OBJECTS:
            in_cel.append({"rule": rule.cel, "message": rule.message})
        elif rule.in_schema is not None:
            in_schema.append(rule.in_schema)
    return ({"x-kubernetes-validations": in_cel} if in_cel else {}) | (
        {"allOf": in_schema} if in_schema else {}
    )
