"""The Job that runs a run's pods, and the budget that keeps others from moving them.

Pods are as restricted as Kubernetes can ask for, have no credentials, and get whole CPUs. One that fails for its own reasons is
replaced only where the LoadTest says that a run goes on without some of its runners; one that is taken away from outside never counts as
a failure of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from squall.hub.limits import setup_seconds, teardown_seconds
from squall.logs.choices import FORM_VARIABLE, LEVEL_VARIABLE
from squall.spec.quantities import seconds
from squall_operator.images import image_of
from squall_operator.manifests.inputs import FOLDER
from squall_operator.manifests.owned import RUN
from squall_operator.manifests.template import apply_template
from squall_operator.pods import RUNNER

if TYPE_CHECKING:
    from squall.spec.loadtest import LoadTestSpec
    from squall_operator.manifests.inputs import Inputs
    from squall_operator.manifests.owned import Owner
    from squall_operator.settings import RunnerDefaults

USER: Final = 65532
"""Nobody's number: what runs as it owns nothing."""
REPLACEMENTS: Final = 3
"""How often a lost pod is replaced, where the run goes on without it."""
SPARE_SECONDS: Final = 120
"""How much longer a Job may last than its run by all deadlines: Kubernetes ends one that its operator has forgotten, and no other."""
TERMINATION_SECONDS: Final = 15
"""A runner that is told to terminate stops its load at once; this is for the last snapshot."""
_KEEP: Final = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
_RESTRICTED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def processes_of(spec: LoadTestSpec, defaults: RunnerDefaults) -> int:
    """How many runner processes a pod has: one for each CPU, and no more than it has shards."""
    shards = int(spec.runner.shards_per_pod) if spec.runner else 1
    return max(1, min(shards, _whole_cpus(spec, defaults)))


def _whole_cpus(spec: LoadTestSpec, defaults: RunnerDefaults) -> int:
    own = (spec.runner.resources or {}) if spec.runner else {}
    amount = str({**own.get("requests", {}), **own.get("limits", {})}.get("cpu", defaults.cpu))
    if amount.endswith("m"):
        return int(amount[:-1]) // 1000
    return int(float(amount))


def build_job(
    owner: Owner,
    run: str,
    spec: LoadTestSpec,
    inputs: Inputs,
    *,
    pods: int,
    start_seconds: float,
    defaults: RunnerDefaults,
) -> dict[str, Any]:
    """Make the Job.

    Args:
        owner: The LoadTest.
        run: The run's id.
        spec: What is run.
        inputs: What pods mount.
        pods: How many.
        start_seconds: What may pass until all runners are ready.
        defaults: What pods have when the LoadTest does not say otherwise.

    Raises:
        TemplateError: `runner.template` asks for what it must not.
    """
    replaced = spec.safety.on_runner_loss == "continue"
    job_spec: dict[str, Any] = {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimitPerIndex": REPLACEMENTS if replaced else 0,
        "maxFailedIndexes": pods,
        "activeDeadlineSeconds": math.ceil(start_seconds + _run_seconds(spec) + SPARE_SECONDS),
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                # The manifest is as wrong for the next pod as it was for this one.
                {
                    "action": "FailIndex",
                    "onExitCodes": {"containerName": RUNNER, "operator": "In", "values": [104]},
                },
            ]
        },
        "template": _pod_template(owner, run, spec, inputs, defaults),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owner.metadata(run, run),
        "spec": job_spec,
    }


def _run_seconds(spec: LoadTestSpec) -> float:
    """The most that a run may take once its runners are ready, one that loses its hub at the very end included."""
    safety = spec.safety
    around = setup_seconds(spec) + teardown_seconds(spec)
    return around + seconds(safety.max_duration) + seconds(safety.stop_grace) + seconds(safety.lost_control)


def _pod_template(
    owner: Owner, run: str, spec: LoadTestSpec, inputs: Inputs, defaults: RunnerDefaults
) -> dict[str, Any]:
    own = spec.runner
    labels = owner.labels(run)
    amounts = {"cpu": str(defaults.cpu), "memory": defaults.memory}
    container: dict[str, Any] = {
        "name": RUNNER,
        "image": image_of(spec, defaults),
        "args": ["--pod", FOLDER],
        "env": [
            {"name": LEVEL_VARIABLE, "value": defaults.log_level},
            {"name": FORM_VARIABLE, "value": defaults.log_format},
        ],
        "resources": (own.resources if own else None) or {"requests": amounts, "limits": amounts},
        "securityContext": dict(_RESTRICTED),
        "volumeMounts": list(inputs.mounts),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if defaults.pull_policy:
        container["imagePullPolicy"] = defaults.pull_policy
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {RUN: run}},
            }
        ],
        "containers": [container],
        "volumes": list(inputs.volumes),
    }
    if defaults.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in defaults.pull_secrets]
    template = {"metadata": {"labels": labels, "annotations": dict(_KEEP)}, "spec": pod}
    if own is not None and own.template:
        template = apply_template(template, own.template, host_network=defaults.host_network)
    return template


def build_budget(owner: Owner, run: str, *, pods: int) -> dict[str, Any]:
    """The PodDisruptionBudget: draining a node waits for the end of a run.

    It names a number of pods, since how many a Job should have is nothing that the budget's controller can find out.
    """
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(run, run),
        "spec": {"minAvailable": pods, "selector": {"matchLabels": {RUN: run}}},
    }
