"""What is said of a resource that somebody wants to store: everything that is wrong with it, who forbids it, and what its author should know.

It is judged by the same code that judges it before a run, so what is let in here is refused later only where something else has changed: a policy,
or the operator. Pure; what has to be asked of the API server comes in, or goes out as something to ask. The format of requests and answers
is Kubernetes' AdmissionReview, admission.k8s.io/v1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from squall.kube.runs import BESIDE
from squall.spec.base import API_VERSION
from squall.spec.hosts import HostRules
from squall.spec.kinds import KINDS
from squall.spec.problems import Problem, plural
from squall.validation import ManifestError
from squall_operator import policies
from squall_operator.admission.references import references_of
from squall_operator.admission.room import demand_of
from squall_operator.checked import check, read_stored
from squall_operator.manifests.scheduled import load_test
from squall_operator.schedules import Make

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from squall.spec.policy import LoadTestPolicySpec
    from squall_operator.admission.references import Reference
    from squall_operator.admission.room import Demand
    from squall_operator.checked import Checked
    from squall_operator.settings import RunnerDefaults

    Policies = Mapping[str, LoadTestPolicySpec | policies.Unreadable]

SHOWN: Final = 100
"""Problems of one manifest that are told; whoever has more of them has made one mistake a hundred times."""
MOST_REFERENCES: Final = 256
"""Secrets and ServiceAccounts of one manifest: each is a question to the API server, whose answers have to come in time."""
_WARNING: Final = 250
"""Characters of a warning; Kubernetes cuts off what is longer than 256."""
_IN_SCHEDULE: Final = "spec.loadTestTemplate.spec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants to store.

    Attributes:
        uid: Of the request; the answer has to name it.
        kind: One of ours.
        user: `userInfo` of whoever asks, as a SubjectAccessReview wants it: `username`, `groups` and so on.
        body: The object as it would be stored.
        old: As it is stored now; None for a new one.
    """

    uid: str
    kind: str
    namespace: str
    user: Mapping[str, Any]
    body: Mapping[str, Any]
    old: Mapping[str, Any] | None

    @property
    def username(self) -> str:
        """Who asks."""
        return str(self.user.get("username", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found about a request, before anybody is asked.

    Attributes:
        problems: What is wrong with the manifest.
        violations: What policies have against it; each a sentence.
        warnings: What its author should know.
        references: What its author has to be allowed to use.
        demand: Of CPUs, when it is a LoadTest that is right.
    """

    problems: tuple[Problem, ...] = ()
    violations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    demand: Demand | None = None


def read_request(review: Any) -> Request:
    """The request of an AdmissionReview.

    Raises:
        ValueError: It is none, or is about something else than our kinds.
    """
    try:
        request = review["request"]
        found = Request(
            uid=str(request["uid"]),
            kind=str(request["kind"]["kind"]),
            namespace=str(request.get("namespace", "")),
            user=dict(request.get("userInfo") or {}),
            body=dict(request["object"]),
            old=dict(request["oldObject"]) if request.get("oldObject") else None,
        )
        _ = found.body["metadata"]["name"], dict(found.body["spec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"this is no AdmissionReview (admission.k8s.io/v1) with an object: {error!r}"
        ) from error
    if found.body.get("apiVersion") != API_VERSION or found.kind not in KINDS:
        raise ValueError(f"{found.body.get('apiVersion')} {found.kind} is none of Squall's kinds")
    return found


def is_admitted_already(request: Request) -> bool:
    """Whether this changes nothing that would be judged: not what is run, but when, how long it is kept, or its metadata.

    What was let in may be held, stopped, labelled and deleted, whatever policies have come since.
    """
    if request.old is None:
        return False
    if "deletionTimestamp" in request.body["metadata"]:
        return True
    before, after = (_judged(each.get("spec") or {}) for each in (request.old, request.body))
    return before == after


def _judged(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in BESIDE}


def review(request: Request, known: Policies, defaults: RunnerDefaults) -> Findings:
    """Judge a request.

    Args:
        request: What somebody wants to store.
        known: All policies there are.
        defaults: What runner pods have when a LoadTest does not say otherwise.
    """
    if request.kind == "LoadTest":
        return _load_test(request, request.body, known, defaults)
    try:
        read_stored(request.body)
    except ManifestError as error:
        return Findings(problems=error.problems)
    if request.kind == "LoadTestPolicy":
        return Findings(warnings=tuple(_idle_patterns(request.body["spec"].get("allowedHosts") or ())))
    metadata = {"uid": "", "namespace": request.namespace, **request.body["metadata"]}
    made = load_test({**request.body, "metadata": metadata}, Make("made", 0))
    found = _load_test(request, made, known, defaults)
    moved = tuple(
        replace(each, path=each.path.replace("spec", _IN_SCHEDULE, 1)) if each.path else each
        for each in found.problems
    )
    return replace(found, problems=moved)


def _load_test(
    request: Request, body: Mapping[str, Any], known: Policies, defaults: RunnerDefaults
) -> Findings:
    checked = check(body, defaults)
    labels = body["metadata"].get("labels") or {}
    allowance = policies.allow(known, request.namespace, labels, checked.facts, active=(), before=())
    if checked.test is None or checked.plan is None:
        return Findings(problems=checked.problems, violations=allowance.violations)
    spec = checked.test.model.spec
    try:
        used = references_of(spec, "spec" if request.kind == "LoadTest" else _IN_SCHEDULE)
    except (AttributeError, TypeError):
        # What a template holds is looked at in full only by the API server, when it is asked for the Job.
        text = "something in it does not have the shape that it has in a pod template"
        return Findings(problems=(Problem("spec", 0, 0, "spec.runner.template", text),))
    problems: tuple[Problem, ...] = ()
    if len({(each.kind, each.name) for each in used}) > MOST_REFERENCES:
        text = f"it names more than {MOST_REFERENCES} Secrets and ServiceAccounts"
        problems = (Problem("spec", 0, 0, "", text, "put what belongs together into one Secret"),)
        used = ()
    return Findings(
        problems=problems,
        violations=allowance.violations,
        warnings=tuple(_warnings(request, checked, allowance.halted)),
        references=used,
        demand=demand_of(spec, checked.plan.pods, defaults),
    )


def _warnings(request: Request, checked: Checked, halted: str) -> Iterator[str]:
    assert checked.test is not None, "only what is right has warnings"
    assert checked.plan is not None, "only what is right has warnings"
    spec = checked.test.model.spec
    yield from checked.plan.warnings
    if not spec.thresholds and not spec.tiers:
        yield "spec.thresholds: there are none, so whatever the target does, nothing fails this run"
    receiver = spec.outputs.prometheus if spec.outputs else None
    for place, tls in (("http", spec.http.tls), ("outputs.prometheus", receiver.tls if receiver else None)):
        if tls is not None and tls.insecure_skip_verify:
            yield f"spec.{place}.tls.insecureSkipVerify: anybody on the way can read and change what is sent"
    if halted:
        yield f"LoadTestPolicy {halted} halts all load tests: nothing starts until that ends"
    run = ((request.old or {}).get("status") or {}).get("run") or {}
    if request.kind == "LoadTest" and run.get("phase") not in (None, "Finished"):
        yield f"run {run.get('id')} is active: this stops it, and begins another"


def _idle_patterns(patterns: Sequence[str]) -> Iterator[str]:
    """Patterns of hosts that cover nothing: neither a network nor anything that a host's name can be."""
    for number, pattern in enumerate(patterns):
        if HostRules.of([pattern]).names and set(pattern) & set("/:@ "):
            yield (
                f"spec.allowedHosts[{number}]: {pattern} covers no host; write a name, a wildcard such as *.test.example, "
                "or a network such as 10.0.0.0/8"
            )


# -- answers --------------------------------------------------------------------------------------------------


def missing_right(reference: Reference, user: str, namespace: str) -> str:
    """Why somebody may not name a Secret or a ServiceAccount."""
    verb = "get the Secret" if reference.kind == "Secret" else "impersonate the ServiceAccount"
    return (
        f"{reference.path}: {user} may not {verb} {reference.name} in namespace {namespace}\n"
        "    only who may use it without Squall may have runners use it; docs/admission.md tells how that is given"
    )


def allow(request: Request, warnings: Iterable[str] = ()) -> dict[str, Any]:
    """The answer that lets a request through."""
    told = [_short(each) for each in dict.fromkeys(warnings)]
    return _answer(request, {"allowed": True, **({"warnings": told} if told else {})})


def refuse(request: Request, findings: Findings, rights: Sequence[str] = ()) -> dict[str, Any]:
    """The answer that keeps a resource out and says everything that is to be done.

    Args:
        request: What is refused.
        findings: Why.
        rights: What its author lacks; each a sentence.
    """
    reasons = [*(each.explained for each in findings.problems), *findings.violations, *rights]
    code = HTTPStatus.BAD_REQUEST if findings.problems else HTTPStatus.FORBIDDEN
    shown = "\n".join(f"- {each}" for each in reasons[:SHOWN])
    rest = f"\nand {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    message = f"{plural(len(reasons), 'problem')}\n{shown}{rest}"
    status = {"code": code.value, "reason": code.phrase.replace(" ", ""), "message": message}
    return _answer(request, {"allowed": False, "status": status})


def _answer(request: Request, response: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": request.uid, **response},
    }


def _short(warning: str) -> str:
    text = " ".join(warning.split())
    return text if len(text) <= _WARNING else f"{text[: _WARNING - 3]}..."
