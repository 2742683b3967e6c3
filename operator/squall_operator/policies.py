"""What `LoadTestPolicy` resources allow: limits that a LoadTest has to keep, a queue, and a stop for everything. Pure.

A LoadTest has to keep all limits of every policy that selects its namespace. Hosts are looked at here as far as the manifest
names them; where a connection really goes is looked at again by the runner, after names are resolved and redirects followed.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from squall.spec.hosts import HostRules
from squall.spec.policy import LoadTestPolicySpec
from squall.spec.quantities import nanoseconds
from squall_operator.model import Allowance

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from squall.plan.model import TestPlan
    from squall.spec.loadtest import LoadTestSpec


_SECOND = 10**9
CONTENT = frozenset(
    {"json", "form", "multipart", "query", "headers", "args", "set", "params", "typedData", "where"}
)
"""What requests carry: an address in it is none that a request goes to."""
_HOST_KNOWN = re.compile(r"(?:http|ws)s?://[^/?#]*\$\{", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What policies ask about a LoadTest.

    Attributes:
        hosts: That the manifest names, without ports; whatever its template does to what names lead to is among them.
        max_vus: At any moment.
        max_rate: Iterations per second at any moment.
        duration_ns: Of the plan.
        images: Of its runners, and of what else its template puts into their pods.
        python: Whether it has `python` steps.
    """

    hosts: tuple[str, ...]
    shards: int
    max_vus: int
    max_rate: float
    duration_ns: int
    images: tuple[str, ...]
    python: bool


def facts_of(spec: LoadTestSpec, plan: TestPlan, image: str) -> Facts:
    """What policies ask about, of a manifest that is right and whose runners have this image."""
    plain = spec.model_dump(by_alias=True, exclude_none=True)
    pod = ((spec.runner.template if spec.runner else None) or {}).get("spec") or {}
    return Facts(
        hosts=tuple(sorted({*_hosts(plain), *_receivers(spec), *_addresses(pod)})),
        shards=plan.shards,
        max_vus=plan.max_vus,
        max_rate=sum(each.peak for each in plan.scenarios if each.is_open),
        duration_ns=plan.duration_ns,
        images=(image, *_images(pod)),
        python=any(key == "python" for key, _ in walk(plain.get("scenarios")))
        or any(key == "python" for part in ("setup", "teardown") for key, _ in walk(plain.get(part))),
    )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A policy that this operator does not understand. What it allows nobody knows, so it allows nothing.

    Attributes:
        namespaces: That it selects; None for all, also when that cannot be read.
        why: For people.
    """

    namespaces: list[str] | None
    why: str


def selects(policy: LoadTestPolicySpec | Unreadable, namespace: str) -> bool:
    """Whether a policy is about a namespace."""
    return policy.namespaces is None or any(
        fnmatch.fnmatchcase(namespace, each) for each in policy.namespaces
    )


def allow(
    policies: Mapping[str, LoadTestPolicySpec | Unreadable],
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
        before: The namespace of each LoadTest that waits and came before this one, the oldest first.
    """
    selected = {name: policy for name, policy in sorted(policies.items()) if selects(policy, namespace)}
    own = {name: policy for name, policy in selected.items() if not isinstance(policy, Unreadable)}
    unknown = tuple(
        f"LoadTestPolicy {name} is not understood, so nothing is allowed: {policy.why}"
        for name, policy in selected.items()
        if isinstance(policy, Unreadable)
    )
    violations = unknown + tuple(
        f"{text} (LoadTestPolicy {name})"
        for name, policy in own.items()
        if facts is not None
        for text in _violations(policy, labels, facts)
    )
    limiting = [each for each in policies.values() if not isinstance(each, Unreadable)]
    ahead = _ahead(limiting, namespace, active=active, before=before)
    halted = next((name for name, policy in own.items() if policy.halt), "")
    hosts = tuple(tuple(policy.allowed_hosts) for policy in own.values() if policy.allowed_hosts is not None)
    return Allowance(violations=violations, halted=halted, ahead=ahead, hosts=hosts)


def _ahead(
    policies: Sequence[LoadTestPolicySpec], namespace: str, *, active: Sequence[str], before: Sequence[str]
) -> int:
    """How many runs have to end before another one may begin in a namespace.

    Who came before has its place first, unless it waits for a limit that is none of this namespace: that may take for ever, and must not be in
    the way of others.
    """
    limits = [
        (policy, policy.max_concurrent_runs) for policy in policies if policy.max_concurrent_runs is not None
    ]
    own = [selects(policy, namespace) for policy, _ in limits]
    taken = [sum(selects(policy, each) for each in active) for policy, _ in limits]
    for each in before:
        its = [number for number, (policy, _) in enumerate(limits) if selects(policy, each)]
        if all(own[number] or taken[number] < limits[number][1] for number in its):
            for number in its:
                taken[number] += 1
    over = [there - limit + 1 for there, (_, limit), mine in zip(taken, limits, own, strict=True) if mine]
    return max([0, *over])


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
        # A name that may lead to an allowed network is left to the runner, who knows where it leads.
        if policy.allowed_hosts is not None and not HostRules.of(policy.allowed_hosts).may_cover(host):
            yield f"load may not go to {host}: allowed are {', '.join(policy.allowed_hosts) or 'no hosts'}"
    for image in facts.images:
        if policy.images is not None and not any(fnmatch.fnmatchcase(image, each) for each in policy.images):
            yield f"the runner image {image} is not allowed"
    for label in policy.required_labels or ():
        if label not in labels:
            yield f"the label {label} is required"
    if facts.python and not policy.allow_python:
        yield "python steps are not allowed"


def _hosts(plain: Mapping[str, Any]) -> Iterator[str]:
    """Hosts of all URLs that requests go to, as far as they are written out."""
    for key, value in walk(plain, besides=CONTENT):
        texts = value if isinstance(value, list) else [value]
        if key in ("url", "webSocket", "baseUrl", "baseUrls", "tokenUrl"):
            for text in texts:
                if isinstance(text, str) and not _HOST_KNOWN.match(text):
                    yield from _host_of(text)


def _receivers(spec: LoadTestSpec) -> Iterator[str]:
    """Hosts that runners push metrics to; the hub has its own, whatever a manifest says."""
    output = spec.outputs.prometheus if spec.outputs else None
    if output is not None and output.per_shard:
        yield from _host_of(output.remote_write_url)


def _host_of(url: str) -> Iterator[str]:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = url  # no URL, and no host that any policy allows
    if host:
        yield host


def walk(value: Any, besides: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """All keys below a value, with what they hold; what is below `besides` is left out."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            if key not in besides:
                yield from walk(inner, besides)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, besides)


def _images(pod: Mapping[str, Any]) -> Iterator[str]:
    """Images that a template adds."""
    for kind in ("containers", "initContainers"):
        for container in pod.get(kind) or ():
            if "image" in container:
                yield str(container["image"])


def _addresses(pod: Mapping[str, Any]) -> Iterator[str]:
    """Where a template leads names to, or has them asked of: who may choose that could lead any name anywhere.

    So could a domain to search in: most names have so few dots that they are first asked for within it.
    """
    for alias in pod.get("hostAliases") or ():
        yield str(alias.get("ip", ""))
    resolver = pod.get("dnsConfig") or {}
    for server in (*(resolver.get("nameservers") or ()), *(resolver.get("searches") or ())):
        yield str(server).rstrip(".")


def read(body: Mapping[str, Any]) -> LoadTestPolicySpec | Unreadable:
    """The spec of a LoadTestPolicy from the API.

    The CRD refuses what is wrong, so only an operator that is older than its CRD meets one that it does not understand.
    """
    spec = body.get("spec")
    try:
        return LoadTestPolicySpec.model_validate(spec)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        found = spec.get("namespaces") if isinstance(spec, dict) else None
        known = isinstance(found, list) and all(isinstance(each, str) for each in found)
        place = ".".join(str(part) for part in ("spec", *first["loc"]))
        return Unreadable(found if known else None, f"{place}: {first['msg']}")
