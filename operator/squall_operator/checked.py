"""The manifest of a LoadTest as the API server has it: checked by the same code as `squall validate`, once per generation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from squall.errors import SquallError
from squall.hub.assignment import pods
from squall.hub.limits import setup_seconds, teardown_seconds
from squall.plan.compile import compile_plan
from squall.spec.problems import Problem
from squall.spec.quantities import seconds
from squall.validation import ManifestError, Options, load_stored
from squall_operator.images import image_of
from squall_operator.manifests.job import processes_of
from squall_operator.manifests.template import TemplateError, apply_template
from squall_operator.model import Plan
from squall_operator.policies import Facts, facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.spec.loadtest import LoadTestSpec
    from squall.validation import EffectiveManifest, Resource
    from squall_operator.settings import RunnerDefaults

_WRITTEN = ("name", "namespace", "labels", "annotations")
_FROM_CLI = (
    "a file with `path` is on somebody's machine",
    "`squall run --cluster` sends it along; or use configMap, secret or volumeClaim",
)
_RESOURCES = (
    "write requests and limits as amounts by name",
    'such as {requests: {cpu: "1", memory: 1Gi}, limits: {cpu: "1", memory: 1Gi}}',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found out about a manifest.

    Attributes:
        problems: What is wrong with it; then the rest is None.
        test: As it will run; secrets are references.
    """

    problems: tuple[Problem, ...] = ()
    test: EffectiveManifest | None = None
    plan: Plan | None = None
    facts: Facts | None = None
    processes: int = 1


def check(body: Mapping[str, Any], defaults: RunnerDefaults) -> Checked:
    """Check a LoadTest as it came from the API server. Whatever is in it, there is an answer: else nobody could stop what it has running."""
    try:
        return _check(body, defaults)
    except Exception as error:  # noqa: BLE001 - a defect here must cost one LoadTest its start, nothing more
        return Checked(problems=(_problem("", f"it cannot be checked: {type(error).__name__}: {error}"),))


def _check(body: Mapping[str, Any], defaults: RunnerDefaults) -> Checked:
    try:
        test = read_stored(body).test
    except ManifestError as error:
        return Checked(problems=error.problems)
    assert test is not None, "a LoadTest was asked for"
    spec = test.model.spec
    problems = [
        replace(_problem(f"spec.files[{number}].path", *_FROM_CLI), where=file.name)
        for number, file in enumerate(spec.files)
        if file.path is not None
    ]
    if spec.runner and spec.runner.template:
        try:
            apply_template(
                {"metadata": {}, "spec": {"containers": [{}]}},
                spec.runner.template,
                host_network=defaults.host_network,
            )
        except TemplateError as error:
            problems += [_problem("spec.runner.template", text) for text in error.problems]
    processes = 1
    try:
        processes = processes_of(spec, defaults)
    except (AttributeError, TypeError, ValueError, OverflowError):
        problems.append(_problem("spec.runner.resources", *_RESOURCES))
    try:
        plan = compile_plan(spec)
    except (SquallError, ValueError) as error:
        problems.append(_problem("", str(error)))
    if problems:
        return Checked(problems=tuple(problems))
    per_pod = int(spec.runner.shards_per_pod) if spec.runner else 1
    return Checked(
        test=test,
        plan=Plan(
            shards=plan.shards,
            pods=-(-plan.shards // per_pod),
            max_seconds=seconds(spec.safety.max_duration),
            stop_seconds=seconds(spec.safety.stop_grace) + teardown_seconds(spec),
            lost_control_seconds=seconds(spec.safety.lost_control),
            setup_seconds=setup_seconds(spec),
            runners=tuple(len(pod) for pod in pods(plan.shards, per_pod, processes)),
            warnings=(
                *(
                    each
                    for each in test.warnings
                    if "has no value here" not in each and "is not here" not in each
                ),
                *_unused(spec),
            ),
        ),
        facts=facts_of(spec, plan, image_of(spec, defaults)),
        processes=processes,
    )


def read_stored(body: Mapping[str, Any]) -> Resource:
    """A resource of any of our kinds as it came from the API server, read by the same code as `squall validate`.

    Raises:
        ManifestError: With everything that is wrong with it.
    """
    metadata = {key: value for key, value in body["metadata"].items() if key in _WRITTEN}
    document = {**{key: body[key] for key in ("apiVersion", "kind", "spec")}, "metadata": metadata}
    return load_stored(document, Options(complete=False, read_files=False), file="spec")


def _unused(spec: LoadTestSpec) -> tuple[str, ...]:
    """What a manifest asks for that does nothing on a cluster."""
    output = spec.outputs.prometheus if spec.outputs else None
    if output is None or output.per_shard:
        return ()
    text = (
        "spec.outputs.prometheus is for one machine: here the hub pushes to the receiver of the installation, if it has one "
        "(perShard: true has each runner push its own series to the receiver of the manifest)"
    )
    return (text,)


def _problem(path: str, message: str, hint: str = "") -> Problem:
    return Problem("spec", 0, 0, path, message, hint)
