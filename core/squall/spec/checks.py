"""What a well-formed LoadTest can still get wrong: names that are taken twice, or that name nothing.

All checks work on the tree, not on the models, so that they also say what they know of a manifest in which
something else is wrong. What needs the plan, the metrics or the grammar of thresholds is checked above this
package, in `squall.validation`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING

from squall.expr import (
    ExpressionError,
    Scope,
    compile_expression,
    compile_json,
    name_problem,
    template_errors,
)
from squall.spec.datafiles import DataFile, check_data
from squall.spec.language import WALLET, WALLET_MEMBERS
from squall.spec.modelcheck import problem_at
from squall.spec.problems import Problem, did_you_mean, one_of
from squall.spec.quantities import exact_share, fraction, nanoseconds
from squall.spec.tree import Leaf, MapNode, Node, Path, find, items_at, leaves, maps, text_at
from squall.spec.urls import PROTOCOLS, check_base_url, check_url
from squall.spec.wording import show

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from squall.spec.files import Files
    from squall.spec.variables import Variables

_NAMED = ("variables", "files", "data", "scenarios", "tiers", "thresholds", "variants")
_NOUNS = {"data": "data", "variables": "variable", "files": "file"}
BEFORE_THE_LOAD = frozenset({"var", "run"})


@dataclass(slots=True)
class Checks:
    """The checks of one manifest, with what they need and what they find.

    Attributes:
        root: The tree, variables resolved.
        variables: As resolved.
        files: As found.
        data: What is known of the data files, by the name of the data; filled by the checks.
        problems: What was found.
        warnings: What its author should know.
    """

    root: Node
    variables: Variables
    files: Files
    data: dict[str, DataFile] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def report(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Note a problem at a path."""
        self.problems.append(problem_at(self.root, path, message, hint, key=key))

    def expression_error(self, path: Path, error: ExpressionError) -> None:
        """Note what the compiler of expressions refused at a path."""
        self.report((*path, *error.path), error.message, error.hint)

    def template(self, path: Path, scope: Scope) -> None:
        """Compile the text at a path, if there is one."""
        text = text_at(self.root, *path)
        for error in template_errors(text, scope) if text is not None else ():
            self.expression_error(path, error)

    def templates(self, path: Path, scope: Scope, siblings: frozenset[str] = frozenset()) -> None:
        """Compile every text of free JSON at a path; `siblings` are names that the same step sets, too late for it."""
        node = find(self.root, *path)
        if node is None:
            return
        for below, leaf in _texts(node, path):
            try:
                compile_json(leaf.value, scope)
            except ExpressionError as error:
                if early := _early(str(leaf.value), scope, siblings):
                    message = f"{early} gets its value in this same step, whose keys have no order"
                    self.report(below, message, f"use two steps: set {early} in one before this")
                else:
                    for each in template_errors(str(leaf.value), scope) or [error]:
                        self.expression_error(below, each)

    def expression(self, path: Path, scope: Scope) -> None:
        """Compile the expression at a path, if there is one."""
        text = text_at(self.root, *path)
        if text:
            try:
                compile_expression(text, scope)
            except ExpressionError as error:
                self.expression_error(path, error)

    def new_name(self, path: Path, name: str | None) -> list[str]:
        """The name in a list, after checking that it can be one; it counts as known in any case."""
        if name is None:
            return []
        wrong = name_problem(name)
        if not wrong and name == WALLET and self.wallets:
            wrong = f"{name!r} is the wallet of spec.evm.wallets that the VU acts with"
        if wrong:
            self.report(path, wrong, "choose another name", key=True)
        return [name]

    @property
    def wallets(self) -> bool:
        """Whether VUs have wallets."""
        return find(self.root, "spec", "evm", "wallets") is not None

    def file_name(self, path: Path) -> str | None:
        """The name of a file at a path, after checking that `spec.files` has it."""
        name = text_at(self.root, *path)
        known = names_of(self.root, "files")
        if name is not None and name not in known:
            hint = one_of(known, "files") or "declare it under spec.files"
            self.report(path, f'there is no file "{name}"{did_you_mean(name, known)}', hint)
            return None
        return name


def _early(text: str, scope: Scope, siblings: frozenset[str]) -> str:
    """The names among `siblings` that are all that a text lacks; empty when something else is wrong with it."""
    try:
        names = compile_json(text, scope.with_names(siblings)).names
    except ExpressionError:
        return ""
    return ", ".join(sorted(names & siblings))


def _texts(node: Node, path: Path) -> list[tuple[Path, Leaf]]:
    """The texts of free JSON, keys that are templates included."""
    keys = [
        ((*here, key), Leaf(key, node.origin))
        for here, inner in maps(node, path)
        for key in inner.items
        if "${" in key
    ]
    return keys + [(below, leaf) for below, leaf in leaves(node, path) if isinstance(leaf.value, str)]


def names_of(root: Node, key: str) -> list[str]:
    """The names in a list of `spec`."""
    return [name for item in items_at(root, "spec", key) if (name := text_at(item, "name"))]


def check_document(checks: Checks) -> None:
    """All checks of this module but those of steps."""
    for key in _NAMED:
        duplicate_names(checks, ("spec", key), _NOUNS.get(key, key.rstrip("s")))
    _check_data(checks)
    _check_defaults(checks)
    _check_limits(checks)
    for index, _ in enumerate(items_at(checks.root, "spec", "tiers")):
        duplicate_names(checks, ("spec", "tiers", index, "thresholds"), "threshold")


def duplicate_names(checks: Checks, path: Path, noun: str) -> None:
    """Report items of a list whose name an earlier one has."""
    first: dict[str, int] = {}
    for index, item in enumerate(items_at(checks.root, *path)):
        name = text_at(item, "name")
        if name is None:
            continue
        if name in first:
            line = _line(checks.root, (*path, first[name], "name"))
            message = f'the {noun} "{name}" is there twice{line}'
            checks.report((*path, index, "name"), message, "rename one of them")
        first.setdefault(name, index)


def _line(root: Node, path: Path) -> str:
    leaf = find(root, *path)
    return f"; the first is in line {leaf.origin.line}" if leaf is not None and leaf.origin.line else ""


def _check_data(checks: Checks) -> None:
    for index, item in enumerate(items_at(checks.root, "spec", "data")):
        path: Path = ("spec", "data", index)
        name = text_at(item, "name")
        for kind in ("csv", "jsonl"):
            if find(item, kind) is None:
                continue
            file_name = checks.file_name((*path, kind))
            file = checks.files.found.get(file_name or "")
            if name and file:
                delimiter = text_at(item, "delimiter") or ","
                known = check_data(
                    file,
                    kind=kind,
                    path=f"spec.data[{index}]",
                    delimiter=delimiter if len(delimiter) == 1 else ",",
                )
                checks.data[name] = known
                checks.problems += known.problems


def _check_defaults(checks: Checks) -> None:
    scope = base_scope(checks)
    request = scope.with_secrets()
    checks.template(("spec", "http", "baseUrl"), request)
    urls = [("spec", "http", "baseUrl"), *(("spec", "http", "baseUrls", i) for i in range(32))]
    for path in urls:
        check_base_url(checks, path)
    for section in ("baseUrls", "headers"):
        checks.templates(("spec", "http", section), request)
    check_auth(checks, ("spec", "http"), request)
    _check_proxy(checks, replace(request, names=BEFORE_THE_LOAD))
    for key in ("caFile", "certFile"):
        checks.file_name(("spec", "http", "tls", key))
    connectivity: Path = ("spec", "safety", "connectivity", "url")
    checks.template(connectivity, replace(request, names=BEFORE_THE_LOAD))
    check_url(checks, connectivity)


def _check_proxy(checks: Checks, scope: Scope) -> None:
    proxy: Path = ("spec", "http", "proxy")
    for key in ("url", "auth"):
        checks.templates((*proxy, key), scope)
    url, path = text_at(checks.root, *proxy, "url") or "${", (*proxy, "url")
    if not url.startswith((*PROTOCOLS, "${")):
        message = f"{show(url)} is no HTTP proxy"
        checks.report(path, message, "write http://host:port, or https://host:port to speak TLS with it")
    elif "@" in url:
        message = "credentials in the URL of a proxy are not sent"
        checks.report(path, message, "write them into http.proxy.auth, best as a variable from a Secret")
    for index in range(len(items_at(checks.root, *proxy, "noProxy"))):
        path = (*proxy, "noProxy", index)
        host = text_at(checks.root, *path)
        if host is not None and not _bypasses(host):
            message = f"{show(host)} is neither a host nor a network"
            checks.report(path, message, "write for example shop.example, .example.com or 10.0.0.0/8")


def _bypasses(text: str) -> bool:
    """Whether a text of `noProxy` can mean something."""
    if "/" not in text:
        return not any(c.isspace() or c in "*@" for c in text)
    try:
        return bool(ip_network(text))
    except ValueError:
        return False


def _check_limits(checks: Checks) -> None:
    """A warning that would come only after the stop is a mistake in one of the two."""
    for key, sign, more in (
        ("errorRate", 1, "above"),
        ("responseTime", 1, "above"),
        ("throughput", -1, "below"),
    ):
        path: Path = ("spec", "safety", key)
        warn, stop = (_limit(find(checks.root, *path, level)) for level in ("warn", "stop"))
        if warn is not None and stop is not None and sign * warn > sign * stop:
            message = f"the warning is {more} the stop, so it would never be given"
            checks.report((*path, "warn"), message, "exchange them")


def _limit(node: Node | None) -> float | None:
    """A share, a duration or a number as a number; None when it is nothing of them."""
    value = node.value if isinstance(node, Leaf) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    for read in (fraction, lambda text: float(nanoseconds(str(text)))):
        try:
            return read(value)
        except ValueError:
            continue
    return None


def check_auth(checks: Checks, path: Path, scope: Scope) -> None:
    """Check the `auth` of the requests at a path; `scope` is what their texts know, secrets included."""
    for key in ("basic", "bearer"):
        checks.templates((*path, "auth", key), scope)
    oauth2: Path = (*path, "auth", "oauth2")
    checks.templates(oauth2, replace(scope, names=BEFORE_THE_LOAD))
    check_url(checks, (*oauth2, "tokenUrl"))
    headers = find(checks.root, *path, "headers")
    if not isinstance(headers, MapNode) or not isinstance(find(checks.root, *path, "auth"), MapNode):
        return
    for name in headers.items:
        if name.lower() == "authorization":
            message = "beside auth, this would be a second credential"
            checks.report((*path, "headers", name), message, "leave out one of the two", key=True)


def base_scope(checks: Checks) -> Scope:
    """What expressions know at the beginning of an iteration, before anything was extracted or set."""
    columns: Mapping[str, frozenset[str] | None] = {
        name: checks.data[name].columns or None if name in checks.data else None
        for name in names_of(checks.root, "data")
    }
    scope = Scope(
        variables=frozenset(names_of(checks.root, "variables")),
        data=columns,
        secrets=checks.variables.secret_names,
    )
    return scope.with_members(WALLET, WALLET_MEMBERS) if checks.wallets else scope


def length_at(node: Node | None, *path: str | int) -> int | None:
    """The duration at a path in nanoseconds; None when there is none."""
    text = text_at(node, *path)
    try:
        return None if text is None else nanoseconds(text)
    except ValueError:
        return None


def share_at(node: Node | None, *path: str | int) -> Fraction | None:
    """The share at a path as a number; None when there is none."""
    leaf = find(node, *path)
    value = leaf.value if isinstance(leaf, Leaf) else None
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return exact_share(value)
    except (ValueError, ZeroDivisionError):
        return None
