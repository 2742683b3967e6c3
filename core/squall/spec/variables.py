"""`${var.x}`: what a manifest takes from outside, resolved once, before anything is admitted or run.

Sources, the first that has it: `--var x=...`; the environment variable named by `env` (one machine only; an empty
one counts as not given); `value`, or the Secret of `secret`.

- A scalar that is exactly `${var.x}` takes the variable's value with its type; text from outside is read as a
  number or a boolean where the manifest wants one. Within a longer text the value is written out.
- Everywhere in `spec` but in `variables`, `variants` and inline files.
- Inside requests (steps, `http`, connectivity) and where `evm` is evaluated by the runner, where `${...}` is evaluated for each request, a value that itself
  contains `${` stays a reference, so that no value is ever evaluated as a template.
- Secrets always stay references; they may stand in requests, in the arguments of `python` and `evm` steps, in passwords, and in seed, keys
  and endpoints of `evm` only, and their values are returned apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from squall.spec.modelcheck import problem_at
from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.secrets import Secrets
from squall.spec.tree import Leaf, ListNode, MapNode, Node, Path, Scalar, find, items_at, map_leaves, text_at

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"(?<!\$)\$\{\s*var\.([A-Za-z_][A-Za-z0-9_]*)\s*\}")
_TEMPLATE = re.compile(r"(?<!\$)\$\{")
_REQUEST_KEYS = frozenset({"url", "query", "headers", "auth", "json", "form", "multipart", "raw"})
_SECRET_ARGUMENTS = frozenset(
    {
        ("python", "args"),
        ("call", "args"),
        ("transaction", "args"),
        ("deploy", "args"),
        ("rpc", "params"),
        ("encrypt", "password"),
        ("decrypt", "password"),
    }
)
"""Keys of steps, and what below them may hold a secret."""
_STEP_LISTS = frozenset({"steps", "finally"})
_FREE_TEXT = frozenset({"query", "template"})
"""Keys outside requests whose text may hold `${` of another language: PromQL, pod templates."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of a manifest as resolved.

    Attributes:
        values: Those that are no secrets, by name.
        secrets: The secret ones that have a value here.
        absent: Secret ones that have none here, each with the sentence that says how to give it.
    """

    values: dict[str, int | str] = field(default_factory=dict)
    secrets: Secrets = field(default_factory=Secrets)
    absent: dict[str, str] = field(default_factory=dict)

    @property
    def secret_names(self) -> frozenset[str]:
        """All secret variables, given here or not."""
        return frozenset(self.secrets) | frozenset(self.absent)


@dataclass(slots=True)
class _Resolver:
    root: Node
    given: Mapping[str, str]
    environ: Mapping[str, str]
    complete: bool
    problems: list[Problem] = field(default_factory=list)
    values: dict[str, int | str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)
    """Declared, but without a value: reported once, where they are declared."""

    def declared(self) -> None:
        """Find a value for each entry of `spec.variables`."""
        items = items_at(self.root, "spec", "variables")
        for index, item in enumerate(items):
            name = text_at(item, "name")
            if name:
                self._one(("spec", "variables", index), item, name)
        known = [name for item in items if (name := text_at(item, "name"))]
        for name in self.given:
            if name not in known:
                message = f'the manifest has no variable "{name}"{did_you_mean(name, known)}'
                hint = one_of(known, "variables of this manifest") or "declare it under spec.variables"
                self.problems.append(Problem(f"--var {name}", 0, 0, "", message, hint))

    def _one(self, path: Path, item: Node, name: str) -> None:
        environment = text_at(item, "env")
        outside = self.given.get(name)
        if outside is None and environment:
            outside = self.environ.get(environment) or None
        ways = f"give --var {name}=..." + (
            f", or set the environment variable {environment}" if environment else ""
        )
        if find(item, "secret") is not None:
            if outside is not None:
                self.secrets[name] = outside
                return
            self.absent[name] = ways
            if self.complete:
                self.problems.append(
                    problem_at(self.root, path, f'the secret variable "{name}" has no value here', ways)
                )
            return
        declared = find(item, "value")
        written = declared.value if isinstance(declared, Leaf) else None
        if outside is not None:
            self._outside(path, name, written, outside, environment if name not in self.given else None)
        elif isinstance(written, int | str) and not isinstance(written, bool):
            self.values[name] = written
        else:
            self.unresolved.add(name)
            if declared is None:
                more = f"{ways}, or write a value into the manifest"
                self.problems.append(problem_at(self.root, path, f'the variable "{name}" has no value', more))

    def _outside(self, path: Path, name: str, written: Scalar, text: str, environment: str | None) -> None:
        if not isinstance(written, int) or isinstance(written, bool):
            self.values[name] = text
            return
        try:
            self.values[name] = int(text.strip())
        except ValueError:
            source = f"the environment variable {environment}" if environment else f"--var {name}"
            self.unresolved.add(name)
            self.problems.append(
                problem_at(
                    self.root,
                    path,
                    f'the variable "{name}" is a whole number, but {source} gives "{text[:60]}"',
                    "give a whole number, or quote the value in the manifest to make it text",
                )
            )

    def leaf(self, path: Path, leaf: Leaf) -> Leaf:
        """The scalar with references replaced by values."""
        text = leaf.value
        if not isinstance(text, str) or "${" not in text or not _substituted(path):
            return leaf
        request = evaluated_later(path)
        self._check(path, text, request=request)
        whole = _REFERENCE.fullmatch(text)
        if whole:
            value = self.values.get(whole[1])
            keep = value is None or (request and isinstance(value, str) and "${" in value)
            return leaf if keep else Leaf(value, leaf.origin, external=True)

        def written_out(match: re.Match[str]) -> str:
            value = self.values.get(match[1])
            return match[0] if value is None or (request and "${" in str(value)) else str(value)

        return replace(leaf, value=_REFERENCE.sub(written_out, text))

    def _check(self, path: Path, text: str, *, request: bool) -> None:
        secret = {*self.secrets, *self.absent}
        known = {*self.values, *secret, *self.unresolved}
        for match in _REFERENCE.finditer(text):
            name = match[1]
            if name not in known:
                message = f'there is no variable "{name}"{did_you_mean(name, known)}'
                hint = one_of(known, "variables") or "declare it under spec.variables"
                self.problems.append(problem_at(self.root, path, message, hint))
            elif name in secret and not secrets_allowed(path):
                message = f'the secret variable "{name}" cannot be used here'
                hint = "secrets may stand only inside requests, in arguments of python and evm steps, in passwords, seed and keys, and in outputs.prometheus.auth"
                self.problems.append(problem_at(self.root, path, message, hint))
        if not request and not _FREE_TEXT.intersection(path) and _TEMPLATE.search(_REFERENCE.sub("", text)):
            message = "only ${var.name} can stand here; nothing else is known before the run"
            hint = "other ${...} belong into steps; write $${ for the two characters themselves"
            self.problems.append(problem_at(self.root, path, message, hint))


def _substituted(path: Path) -> bool:
    if path[:1] != ("spec",) or path[1:2] in (("variables",), ("variants",)):
        return False
    return not (path[1:2] == ("files",) and path[-1] == "inline")


def evaluated_later(path: Path) -> bool:
    """Whether `${...}` at this path of a LoadTest is evaluated by the runner, for each request or step."""
    match path[1:]:
        case ("setup" | "teardown" | "http", *_):
            return True
        case ("scenarios", int(), key, *_):
            return key in _STEP_LISTS
        case ("safety", "connectivity", "url", *_) | ("evm", "funding", "keys", *_):
            return True
        case ("evm", "endpoints", int(), "url" | "webSocket" | "headers", *_):
            return True
        case ("evm", "contracts", int(), "address") | ("evm", "wallets", "seed"):
            return True
        case _:
            return False


def secrets_allowed(path: Path) -> bool:
    """Whether a secret may stand at this path: what is sent or signed with, a python step's arguments, or to push metrics with."""
    if path[1:2] == ("http",):
        below = path[3:4] if path[2:3] == ("proxy",) else path[2:3]
        return below in (("url",), ("auth",), ("baseUrl",), ("baseUrls",), ("headers",))
    if path[1:3] == ("safety", "connectivity"):
        return path[-1] == "url"
    if path[1:4] == ("outputs", "prometheus", "auth"):
        return True
    if not evaluated_later(path):
        return False
    if path[1:2] == ("evm",):
        return path[2:3] != ("contracts",)
    pairs = list(pairwise(path))
    return any(a == "http" and b in _REQUEST_KEYS for a, b in pairs) or not _SECRET_ARGUMENTS.isdisjoint(
        pairs
    )


def with_secrets(text: str, secrets: Mapping[str, str]) -> str:
    """A text outside of steps in which only references to secrets are left, with their values.

    Raises:
        KeyError: One has no value here.
    """
    return _REFERENCE.sub(lambda match: secrets[match[1]], text).replace("$${", "${")


def resolve(
    root: Node, *, given: Mapping[str, str], environ: Mapping[str, str], complete: bool
) -> tuple[Node, Variables, list[Problem]]:
    """Replace the references in a LoadTest by values.

    Args:
        root: The tree of a LoadTest.
        given: Values of `--var`.
        environ: The environment; empty on a cluster.
        complete: Whether a secret without a value is a problem (it is for a run, not for checking).

    Returns:
        The tree, in whose `spec.variables` the values are the resolved ones; the values; the problems.
    """
    resolver = _Resolver(root, given, environ, complete)
    resolver.declared()
    resolved = map_leaves(root, resolver.leaf)
    variables = Variables(resolver.values, Secrets(resolver.secrets), resolver.absent)
    return _settled(resolved, variables), variables, resolver.problems


def _settled(root: Node, variables: Variables) -> Node:
    """The tree whose variables have the values they were resolved to, whatever the environment says later."""
    spec = find(root, "spec")
    declared = find(spec, "variables")
    if not isinstance(root, MapNode) or not isinstance(spec, MapNode) or not isinstance(declared, ListNode):
        return root
    items: list[Node] = []
    for item in declared.items:
        name = text_at(item, "name")
        if isinstance(item, MapNode) and name in variables.values:
            value = Leaf(variables.values[name], (find(item, "value") or item).origin)
            item = item.without("env").with_item("value", value)  # noqa: PLW2901 - the item with its value
        items.append(item)
    return root.with_item("spec", spec.with_item("variables", replace(declared, items=tuple(items))))
