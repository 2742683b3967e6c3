"""What a Job and its pods say, in the operator's words: how many there are, what keeps them from running, and which are lost.

Kubernetes spreads the answer to "why does it not start" over conditions, container states, reasons and events. Each of them is
named here once, with how long it may last: images are pulled again and nodes are added, but a ConfigMap that is missing stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall_operator.model import Lost, Pods, Trouble
from squall_operator.times import unix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Object = Mapping[str, Any]

INDEX: Final = "batch.kubernetes.io/job-completion-index"
RUNNER: Final = "runner"
"""The container of a runner pod that carries the load; others come from the `template`."""


@dataclass(frozen=True, slots=True)
class _Known:
    reason: str
    grace_seconds: float
    text: str


_WAITING: Final = {
    "ErrImagePull": _Known("ImagePullFailed", 60, "its image cannot be pulled"),
    "ImagePullBackOff": _Known("ImagePullFailed", 60, "its image cannot be pulled"),
    "ErrImageNeverPull": _Known("ImagePullFailed", 10, "its image is not on the node and must not be pulled"),
    "InvalidImageName": _Known("ImagePullFailed", 0, "its image has no valid name"),
    "CreateContainerConfigError": _Known(
        "ConfigMissing", 30, "a ConfigMap or Secret that it needs is not there"
    ),
    "CreateContainerError": _Known("ContainerFailed", 30, "its container cannot be made"),
    "RunContainerError": _Known("ContainerFailed", 30, "its container cannot be started"),
    "CrashLoopBackOff": _Known("RunnerCrashed", 30, "its container ends again and again"),
}
"""Why a container waits, by Kubernetes' word for it."""
_CREATING: Final = ("ContainerCreating", "PodInitializing")
_SANDBOX: Final = "PodReadyToStartContainers"
"""The condition that tells a pod whose image is being pulled, which may take its time, from one whose volumes or network do not come."""
_MOUNTING_SECONDS: Final = 60.0
_NO_PODS_SECONDS: Final = 20.0
_SETTLED_SECONDS: Final = 5.0
"""Pods are made and begun within this; only what takes longer needs an explanation."""
_KILLED_FOR_MEMORY: Final = Lost("OOMKilled", "was killed for using more memory than its limit (OOMKilled)")
_TERMINATED: Final = 143
_EXITS: Final = {
    0: Lost("RunnerCrashed", "ended before it was told to"),
    1: Lost("RunnerCrashed", "crashed (exit code 1)"),
    70: Lost("LostControl", "had lost its hub for safety.lostControl and stopped its load (exit code 70)"),
    104: Lost("BadManifest", "could not use what it was given (exit code 104)"),
    137: Lost("RunnerCrashed", "was killed (SIGKILL)"),
    _TERMINATED: Lost("RunnerTerminated", "was told to terminate (SIGTERM)"),
}
"""What a runner's exit code tells."""
_REFUSED: Final = (
    ("exceeded quota", "QuotaExceeded"),
    ("serviceaccount", "ServiceAccountMissing"),
    ("violates PodSecurity", "PodSecurityViolated"),
)
"""What the API server says when it does not let the Job's pods be made, and our word for it."""


def latest(pods: Iterable[Object]) -> dict[int, Object]:
    """The newest pod of each index, in the indexes' order: a Job makes another one for one that has failed."""
    found: dict[int, Object] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))):
        found[int(pod["metadata"].get("annotations", {}).get(INDEX, 0))] = pod
    return dict(sorted(found.items()))


def needs_notices(job: Object | None, pods: Mapping[int, Object], now: float) -> bool:
    """Whether only Events can tell what is wrong: pods are missing, or do not get further, for longer than they need.

    Args:
        job: See `look`.
        pods: Likewise.
        now: Unix time.
    """
    if job is None or "deletionTimestamp" in job["metadata"] or _is_over(job):
        return False
    if len(pods) < _wanted(job):
        return now - unix_of(str(job["metadata"].get("creationTimestamp", ""))) > _SETTLED_SECONDS
    return any(
        _has_no_sandbox(pod) and now - unix_of(str(pod["status"].get("startTime") or "")) > _SETTLED_SECONDS
        for pod in pods.values()
    )


def look(
    job: Object | None,
    pods: Mapping[int, Object],
    notices: Iterable[Object],
    *,
    runners: Sequence[int] = (),
    schedule_seconds: float = 120.0,
) -> Pods:
    """What there is of a run.

    Args:
        job: The Job; None when there is none.
        pods: Its pods as `latest` gives them, those that have ended included.
        notices: Warnings about the Job and its pods, the newest last.
        runners: How many each pod has, by index; without it one each.
        schedule_seconds: How long a pod may wait for a node.
    """
    if job is None:
        return Pods()
    told = list(notices)
    ends = {index: end for index, pod in pods.items() if (end := _lost(pod)) is not None}
    found = (
        Trouble(reason=ends[index].reason, message=ends[index].message)
        if index in ends
        else _waits(pod, told, schedule_seconds)
        for index, pod in pods.items()
    )
    troubles = [trouble for trouble in found if trouble is not None]
    if len(pods) < _wanted(job):
        troubles += _not_made(job, told)
    gone = Lost("PodDeleted", "its pod was deleted")
    ends |= {index: gone for index in _failed_indexes(job) if index not in pods}
    lost = {runner: end for index, end in ends.items() for runner in _runners_of(index, runners)}
    return Pods(
        job=True,
        deleting="deletionTimestamp" in job["metadata"],
        pods=sum(_phase(pod) not in ("Succeeded", "Failed") for pod in pods.values()),
        scheduled=_scheduled(job, pods),
        troubles=tuple(sorted(troubles, key=lambda trouble: trouble.grace_seconds)),
        lost=lost,
    )


def _runners_of(index: int, runners: Sequence[int]) -> range:
    """The numbers of a pod's runners, which are counted through all pods, however many each of them has."""
    if not runners:
        return range(index, index + 1)
    first = sum(runners[:index])
    return range(first, first + sum(runners[index : index + 1]))


def _failed_indexes(job: Object) -> Iterator[int]:
    """The indexes whose pods the Job will not replace; of a pod that is gone nothing else is left. `1,3-5` means four of them."""
    text = str(job.get("status", {}).get("failedIndexes") or "")
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _wanted(job: Object) -> int:
    """How many pods there should be."""
    return int(job.get("spec", {}).get("completions") or 1)


def _scheduled(job: Object, pods: Mapping[int, Object]) -> float:
    """When the last of all pods got its node; 0 while one has none."""
    found = [_condition(pod, "PodScheduled") or {} for pod in pods.values()]
    if len(found) < _wanted(job) or any(each.get("status") != "True" for each in found):
        return 0.0
    return max(unix_of(str(each.get("lastTransitionTime") or "")) for each in found)


def _is_over(job: Object) -> bool:
    """Whether a Job will make no more pods."""
    conditions: Sequence[Object] = job.get("status", {}).get("conditions") or ()
    return any(
        each.get("type") in ("Complete", "Failed") and each.get("status") == "True" for each in conditions
    )


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _name(pod: Object) -> str:
    return f"pod {pod['metadata']['name']}"


def _waits(pod: Object, notices: Sequence[Object], schedule_seconds: float) -> Trouble | None:
    """What keeps a pod from running that is not lost."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        text = str(scheduled.get("message") or "no node takes it")
        return Trouble(
            reason="Unschedulable",
            message=f"{_name(pod)} cannot be scheduled: {text}",
            grace_seconds=schedule_seconds,
            since=unix_of(str(scheduled.get("lastTransitionTime") or "")),
        )
    return _without_sandbox(pod, notices) if _has_no_sandbox(pod) else _waiting(pod)


def _waiting(pod: Object) -> Trouble | None:
    """What a container waits for, if it is one of what should not be."""
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting") or {}
        known = _WAITING.get(str(waiting.get("reason", "")))
        if known is not None:
            more = f": {waiting['message']}" if waiting.get("message") else ""
            return Trouble(
                reason=known.reason,
                message=f"{_name(pod)}: {known.text}{more}",
                grace_seconds=known.grace_seconds,
                since=unix_of(str(status.get("startTime") or "")),
            )
    return None


def _has_no_sandbox(pod: Object) -> bool:
    """Whether a pod that has a node still waits for its volumes or its network, neither of which takes long."""
    condition, status = _condition(pod, _SANDBOX), pod.get("status", {})
    if condition is None or condition.get("status") != "False" or _phase(pod) != "Pending":
        return False
    containers = (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
    return all((each.get("state", {}).get("waiting") or {}).get("reason") in _CREATING for each in containers)


def _without_sandbox(pod: Object, notices: Sequence[Object]) -> Trouble:
    """A volume whose ConfigMap or Secret is missing shows only as a pod that never gets further, and in its Events."""
    name = pod["metadata"]["name"]
    own = (each for each in reversed(notices) if each.get("involvedObject", {}).get("name") == name)
    told = next((str(each.get("message", "")) for each in own), "")
    return Trouble(
        reason="VolumesMissing",
        message=f"{_name(pod)}: its volumes or its network do not come" + (f": {told}" if told else ""),
        grace_seconds=_MOUNTING_SECONDS,
        since=unix_of(str(pod.get("status", {}).get("startTime") or "")),
    )


def _condition(pod: Object, kind: str) -> Object | None:
    conditions: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), None)


def _terminated(pod: Object) -> Object | None:
    """How the runner's container has ended, if it has."""
    for container in pod.get("status", {}).get("containerStatuses", ()):
        if container.get("name") == RUNNER:
            found: Object | None = container.get("state", {}).get("terminated")
            return found
    return None


def _lost(pod: Object) -> Lost | None:
    """What became of a pod that is lost; None while it is well, and when it has succeeded."""
    if _phase(pod) == "Succeeded":
        return None
    end = _disrupted(pod) or _exited(pod)
    if end is None and "deletionTimestamp" in pod["metadata"]:
        end = Lost("PodDeleted", "is being deleted")
    return None if end is None else Lost(end.reason, f"{_name(pod)} {end.message}")


def _disrupted(pod: Object) -> Lost | None:
    """What took a pod away from outside, if anything did."""
    status, condition = pod.get("status", {}), _condition(pod, "DisruptionTarget")
    if condition is not None and condition.get("status") == "True":
        text = f"was disrupted ({condition.get('reason')}): {condition.get('message', '')}"
    elif status.get("reason") in ("Evicted", "NodeLost", "Shutdown", "Terminated"):
        text = f"was lost ({status['reason']}): {status.get('message', '')}"
    else:
        return None
    return Lost("PodDisrupted", text.rstrip(": "))


def _exited(pod: Object) -> Lost | None:
    """How the runner of a pod has ended, if it has ended badly."""
    ended, status = _terminated(pod), pod.get("status", {})
    if ended is not None and ended.get("reason") == "OOMKilled":
        return _KILLED_FOR_MEMORY
    code = int(ended.get("exitCode", 0)) if ended is not None else 0
    if code == _TERMINATED and "deletionTimestamp" in pod["metadata"]:
        return Lost("PodDeleted", "was deleted")
    if ended is not None and (code or _phase(pod) == "Failed"):
        return _EXITS.get(code, Lost("RunnerCrashed", f"ended with exit code {code}"))
    if _phase(pod) == "Failed":
        reason = status.get("reason") or "no reason given"
        text = f"has failed ({reason}): {status.get('message', '')}".rstrip(": ")
        return Lost("RunnerCrashed", text)
    return None


def _not_made(job: Object, notices: Iterable[Object]) -> list[Trouble]:
    """Why a Job has too few pods, which only Events tell."""
    since = unix_of(str(job["metadata"].get("creationTimestamp", "")))
    for notice in reversed(list(notices)):
        text = str(notice.get("message", ""))
        if notice.get("reason") == "FailedCreate":
            reason = next((word for part, word in _REFUSED if part in text), "PodsRefused")
            return [
                Trouble(
                    reason=reason,
                    message=f"the pods of Job {job['metadata']['name']} are not let in: {text}",
                    grace_seconds=_NO_PODS_SECONDS,
                    since=since,
                )
            ]
    return []
