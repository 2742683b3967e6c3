"""What `LoadTestPolicy` resources allow: limits that a LoadTest has to keep, a queue, and a stop for everything. Pure.

A LoadTest has to keep all limits of every policy that selects its namespace. Hosts are looked at here as far as the manifest
names them; where a connection really goes is looked at again by the runner, after names are resolved and redirects followed.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from squall.spec.base import nanoseconds
from squall.spec.policy import LoadTestPolicySpec
from squall_operator.model import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from squall.plan.model import TestPlan
    from squall.spec.loadtest import LoadTestSpec


_SECOND = 10**9
_HOST_KNOWN = re.compile(r"https?://[^/?#]*\$\{", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What policies ask about a LoadTest.

    Attributes:
        hosts: That the manifest names, without ports.
        max_vus: At any moment.
        max_rate: Iterations per second at any moment.
        duration_ns: Of the plan.
        image: Of its runners.
        python: Whether it has `python` steps.
    """

    hosts: tuple[str, ...]
    shards: int
    max_vus: int
    max_rate: float
    duration_ns: int
    image: str
    python: bool


def facts_of(spec: LoadTestSpec, plan: TestPlan, default_image: str) -> Facts:
    """What policies ask about, of a manifest that is right."""
    plain = spec.model_dump(by_alias=True, exclude_none=True)
    return Facts(
        hosts=tuple(sorted(set(_hosts(plain)))),
        shards=plan.shards,
        max_vus=plan.max_vus,
        max_rate=sum(each.peak for each in plan.scenarios if each.is_open),
        duration_ns=plan.duration_ns,
        image=(spec.runner.image if spec.runner else None) or default_image,
        python=any(key == "python" for key, _ in _walk(plain.get("scenarios")))
        or any(key == "python" for part in ("setup", "teardown") for key, _ in _walk(plain.get(part))),
    )


def selects(policy: LoadTestPolicySpec, namespace: str) -> bool:
    """Whether a policy is about a namespace."""
    return policy.namespaces is None or any(
        fnmatch.fnmatchcase(namespace, each) for each in policy.namespaces
    )


def allow(
    policies: Mapping[str, LoadTestPolicySpec],
    namespace: str,
    labels: Mapping[str, str],
    facts: Facts | None,
    *,
    active: Sequence[str],
    before: Sequence[str],
) -> Allowance:
    """What the policies say of a LoadTest.

    Args:
        policies: All there are, by name.
        namespace: The LoadTest's.
        labels: The LoadTest's.
        facts: What its manifest says; None for one that is wrong.
        active: The namespace of each run that is active, its own excepted.
        before: The namespace of each LoadTest that waits and came before this one.
    """
    own = {name: policy for name, policy in sorted(policies.items()) if selects(policy, namespace)}
    violations = tuple(
        f"{text} (LoadTestPolicy {name})"
        for name, policy in own.items()
        if facts is not None
        for text in _violations(policy, labels, facts)
    )
    ahead = 0
    for policy in own.values():
        if policy.max_concurrent_runs is not None:
            there = sum(selects(policy, each) for each in (*active, *before))
            ahead = max(ahead, there - policy.max_concurrent_runs + 1)
    halted = next((name for name, policy in own.items() if policy.halt), "")
    return Allowance(violations=violations, halted=halted, ahead=ahead)


def _violations(policy: LoadTestPolicySpec, labels: Mapping[str, str], facts: Facts) -> Iterator[str]:
    limits = (
        ("shards", facts.shards, policy.max_shards),
        ("VUs", facts.max_vus, policy.max_vus),
        ("iterations per second", facts.max_rate, policy.max_rate),
    )
    for what, wanted, limit in limits:
        if limit is not None and wanted > limit:
            yield f"{wanted:g} {what} are more than the {limit} that are allowed"
    if policy.max_duration is not None and facts.duration_ns > nanoseconds(policy.max_duration):
        yield f"{facts.duration_ns / _SECOND:g} s are longer than the {policy.max_duration} that are allowed"
    for host in facts.hosts:
        if policy.allowed_hosts is not None and not host_allowed(host, policy.allowed_hosts):
            yield f"load may not go to {host}: allowed are {', '.join(policy.allowed_hosts) or 'no hosts'}"
    if policy.images is not None and not any(
        fnmatch.fnmatchcase(facts.image, each) for each in policy.images
    ):
        yield f"the runner image {facts.image} is not allowed"
    for label in policy.required_labels or ():
        if label not in labels:
            yield f"the label {label} is required"
    if facts.python and not policy.allow_python:
        yield "python steps are not allowed"


def host_allowed(host: str, patterns: Iterable[str]) -> bool:
    """Whether a host, by name or address, is covered by a name, a wildcard (`*.test.example`) or a network."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return any(fnmatch.fnmatchcase(host.lower(), each.lower()) for each in patterns)
    return any(_in_network(address, each) for each in patterns)


def _in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, pattern: str) -> bool:
    if pattern == "*":
        return True
    try:
        return address in ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False


def _hosts(plain: Mapping[str, Any]) -> Iterator[str]:
    """Hosts of all URLs in a spec, as far as they are written out."""
    for key, value in _walk(plain):
        texts = value if isinstance(value, list) else [value]
        if key in ("url", "baseUrl", "baseUrls", "tokenUrl"):
            for text in texts:
                if (
                    isinstance(text, str)
                    and not _HOST_KNOWN.match(text)
                    and (host := urlsplit(text).hostname)
                ):
                    yield host


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys below a value, with what they hold."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def read(body: Mapping[str, Any]) -> LoadTestPolicySpec | None:
    """The spec of a LoadTestPolicy from the API; None for one that is no longer understood, which then limits nothing.

    The CRD refuses such a policy; only an older operator than its CRD can meet one.
    """
    try:
        return LoadTestPolicySpec.model_validate(body["spec"])
    except ValidationError:
        return None
