"""Which documents are Squall's, and whether their heads (`apiVersion`, `kind`, `metadata`) are right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from squall.spec.base import API_GROUP, API_VERSION
from squall.spec.kinds import KINDS
from squall.spec.modelcheck import problem_at
from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.tree import Leaf, MapNode, Node, find, plain, text_at
from squall.spec.wording import show

if TYPE_CHECKING:
    from squall.spec.document import Document

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_HINT = "use small letters, digits, - and . ; begin and end with a letter or digit"
_LONGEST_NAME = 253
_METADATA = (
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    # What a server adds, so that `kubectl get -o yaml | squall validate -` works.
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
)


def is_ours(document: Document) -> bool:
    """Whether a document says that it is one of Squall's resources."""
    version = text_at(document.root, "apiVersion") or ""
    return version == API_GROUP or version.startswith(f"{API_GROUP}/")


def head_problems(root: Node) -> list[Problem]:
    """What is wrong with a named document before any model can look at it; empty when its kind is known."""
    if not isinstance(root, MapNode):
        return [
            problem_at(
                root, (), "a manifest is a mapping: apiVersion, kind, metadata, spec", "see the examples"
            )
        ]
    problems: list[Problem] = []
    version, kind = text_at(root, "apiVersion"), text_at(root, "kind")
    if version is None:
        problems.append(
            problem_at(root, ("apiVersion",), '"apiVersion" is missing', f"write apiVersion: {API_VERSION}")
        )
    elif version != API_VERSION:
        guess = did_you_mean(version, [API_VERSION])
        message = f'apiVersion "{version}" is none of Squall\'s{guess}'
        problems.append(problem_at(root, ("apiVersion",), message, f"write apiVersion: {API_VERSION}"))
    if kind is None:
        problems.append(problem_at(root, ("kind",), '"kind" is missing', one_of(KINDS, "kinds")))
    elif kind not in KINDS:
        message = f'there is no kind "{kind}"{did_you_mean(kind, KINDS)}'
        problems.append(problem_at(root, ("kind",), message, one_of(KINDS, "kinds")))
    return problems


def metadata_problems(root: Node) -> list[Problem]:
    """What is wrong with `metadata`, which Kubernetes defines and refuses in its own words."""
    metadata = find(root, "metadata")
    if not isinstance(metadata, MapNode):
        return []  # the models say that it is missing or no mapping
    problems = [
        problem_at(
            root,
            ("metadata", key),
            f'unknown key "{key}"{did_you_mean(key, _METADATA)}',
            one_of(_METADATA),
            key=True,
        )
        for key in metadata.items
        if key not in _METADATA
    ]
    name = metadata.items.get("name")
    if name is None:
        problems.append(
            problem_at(root, ("metadata", "name"), '"name" is missing', "write metadata: {name: my-test}")
        )
    elif not isinstance(name, Leaf) or not _is_name(name.value):
        problems.append(
            problem_at(
                root, ("metadata", "name"), f"{show(plain(name))} is not a resource's name", _NAME_HINT
            )
        )
    return problems


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_NAME and _NAME.fullmatch(value) is not None
