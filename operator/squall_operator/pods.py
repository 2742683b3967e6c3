"""What a Job and its pods say, in the operator's words: how many there are, what keeps them from running, and which are lost.

Kubernetes spreads the answer to "why does it not start" over conditions, container states, reasons and events. Each of them is
named here once, with how long it may last: images are pulled again and nodes are added, but a ConfigMap that is missing stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from squall_operator.model import Pods, Trouble
from squall_operator.times import unix_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
_CREATING: Final = "ContainerCreating"
_MOUNTING_SECONDS: Final = 60.0
_UNSCHEDULABLE_SECONDS: Final = 120.0
_NO_PODS_SECONDS: Final = 20.0
_EXITS: Final = {
    0: "ended before it was told to",
    1: "crashed (exit code 1)",
    70: "had lost its hub for safety.lostControl and stopped its load (exit code 70)",
    104: "could not use what it was given (exit code 104)",
    137: "was killed (SIGKILL)",
    143: "was terminated (SIGTERM)",
}
_REFUSED: Final = (
    ("exceeded quota", "QuotaExceeded"),
    ("serviceaccount", "ServiceAccountMissing"),
    ("violates PodSecurity", "PodSecurityViolated"),
)
"""What the API server says when it does not let the Job's pods be made, and our word for it."""


def look(job: Object | None, pods: Iterable[Object], events: Iterable[Object], *, processes: int = 1) -> Pods:
    """What there is of a run.

    Args:
        job: The Job; None when there is none.
        pods: Its pods, those that have ended included.
        events: Warnings about the Job, the newest last.
        processes: Runners in each pod.
    """
    if job is None:
        return Pods()
    latest = _latest(pods)
    troubles = [trouble for pod in latest.values() if (trouble := _trouble(pod)) is not None]
    if not latest:
        troubles += _not_made(job, events)
    lost = {
        index * processes + process: text
        for index, pod in latest.items()
        if (text := _ended_badly(pod))
        for process in range(processes)
    }
    return Pods(
        job=True,
        deleting="deletionTimestamp" in job["metadata"],
        pods=sum(_phase(pod) not in ("Succeeded", "Failed") for pod in latest.values()),
        troubles=tuple(sorted(troubles, key=lambda trouble: trouble.grace_seconds)),
        lost=lost,
    )


def _latest(pods: Iterable[Object]) -> dict[int, Object]:
    """The newest pod of each index: a Job makes another one for one that has failed."""
    found: dict[int, Object] = {}
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", ""))):
        found[int(pod["metadata"].get("annotations", {}).get(INDEX, 0))] = pod
    return dict(sorted(found.items()))


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _name(pod: Object) -> str:
    return f"pod {pod['metadata']['name']}"


def _trouble(pod: Object) -> Trouble | None:
    """What keeps a pod from running, or has ended it."""
    status = pod.get("status", {})
    ended = _ended_badly(pod)
    if ended:
        return Trouble(reason=_reason_of_end(pod), message=f"{_name(pod)} {ended}")
    scheduled = _condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("status") == "False":
        text = str(scheduled.get("message") or "no node takes it")
        return Trouble(
            reason="Unschedulable",
            message=f"{_name(pod)} cannot be scheduled: {text}",
            grace_seconds=_UNSCHEDULABLE_SECONDS,
            since=unix_of(str(scheduled.get("lastTransitionTime") or "")),
        )
    since = unix_of(str(status.get("startTime") or ""))
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting")
        if waiting is not None and (trouble := _waiting(pod, waiting, since)) is not None:
            return trouble
    return None


def _waiting(pod: Object, waiting: Object, since: float) -> Trouble | None:
    reason = str(waiting.get("reason", ""))
    known = _WAITING.get(reason)
    if known is not None:
        more = f": {waiting['message']}" if waiting.get("message") else ""
        return Trouble(
            reason=known.reason,
            message=f"{_name(pod)}: {known.text}{more}",
            grace_seconds=known.grace_seconds,
            since=since,
        )
    if reason == _CREATING:
        # A volume whose ConfigMap or Secret is missing shows only as a pod that never gets further.
        text = "its volumes are not there yet, or its network is not: see its events"
        return Trouble(
            reason="VolumesMissing",
            message=f"{_name(pod)}: {text}",
            grace_seconds=_MOUNTING_SECONDS,
            since=since,
        )
    return None


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


def _ended_badly(pod: Object) -> str:
    """What became of a pod that is lost, as a part of a sentence; empty while it is well, and when it has succeeded."""
    if _phase(pod) == "Succeeded":
        return ""
    told = _disrupted(pod) or _exited(pod)
    if not told and "deletionTimestamp" in pod["metadata"]:
        return "is being deleted"
    return told


def _disrupted(pod: Object) -> str:
    """What took a pod away from outside, if anything did."""
    status = pod.get("status", {})
    condition = _condition(pod, "DisruptionTarget")
    if condition is not None and condition.get("status") == "True":
        return f"was disrupted ({condition.get('reason')}): {condition.get('message', '')}".rstrip(": ")
    if status.get("reason") in ("Evicted", "NodeLost", "Shutdown", "Terminated"):
        return f"was lost ({status['reason']}): {status.get('message', '')}".rstrip(": ")
    return ""


def _exited(pod: Object) -> str:
    """How the runner of a pod has ended, if it has ended badly."""
    ended, status = _terminated(pod), pod.get("status", {})
    if ended is not None and ended.get("reason") == "OOMKilled":
        return "was killed for using more memory than its limit (OOMKilled)"
    if ended is not None and (int(ended.get("exitCode", 0)) or _phase(pod) == "Failed"):
        code = int(ended.get("exitCode", 0))
        return _EXITS.get(code, f"ended with exit code {code}")
    if _phase(pod) == "Failed":
        reason = status.get("reason") or "no reason given"
        return f"has failed ({reason}): {status.get('message', '')}".rstrip(": ")
    return ""


def _reason_of_end(pod: Object) -> str:
    ended = _terminated(pod)
    if ended is not None and ended.get("reason") == "OOMKilled":
        return "OOMKilled"
    if _condition(pod, "DisruptionTarget") is not None:
        return "PodDisrupted"
    reason = pod.get("status", {}).get("reason")
    if reason in ("Evicted", "NodeLost"):
        return "PodDisrupted"
    if ended is not None and int(ended.get("exitCode", 0)) == 104:
        return "BadManifest"
    if "deletionTimestamp" in pod["metadata"] and ended is None:
        return "PodDeleted"
    return "RunnerCrashed"


def _not_made(job: Object, events: Iterable[Object]) -> list[Trouble]:
    """Why a Job has no pods, which only its events tell."""
    since = unix_of(str(job["metadata"].get("creationTimestamp", "")))
    for event in reversed(list(events)):
        text = str(event.get("message", ""))
        if event.get("reason") == "FailedCreate":
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
