"""Which Secrets and ServiceAccounts a LoadTest has its pods use.

Whoever may write a LoadTest has pods made in their name, by an operator that asks nobody. What these pods mount or run as must be no more than
their author could have had without: so here are all places that name such a thing, to be asked about one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from squall.spec.loadtest import LoadTestSpec

_DEFAULT = "default"
"""The ServiceAccount of pods that name none: naming it changes nothing."""
_CONTAINERS = ("containers", "initContainers")


@dataclass(frozen=True, slots=True)
class Reference:
    """A thing that pods use.

    Attributes:
        kind: Of it.
        name: Of it, in the namespace of the LoadTest.
        path: The place in the manifest that names it.
    """

    kind: Literal["Secret", "ServiceAccount"]
    name: str
    path: str


def references_of(spec: LoadTestSpec, at: str = "spec") -> tuple[Reference, ...]:
    """What a LoadTest that is right names, in the order of the manifest; several places may name the same.

    Args:
        spec: Of the LoadTest.
        at: The path of the spec.
    """
    template = (spec.runner.template if spec.runner else None) or {}
    pod = f"{at}.runner.template.spec"
    return (*_of_manifest(spec, at), *_of_pod(template.get("spec") or {}, pod))


def _of_manifest(spec: LoadTestSpec, at: str) -> Iterator[Reference]:
    for number, variable in enumerate(spec.variables):
        if variable.secret is not None:
            yield Reference("Secret", variable.secret.name, f"{at}.variables[{number}].secret")
    for number, file in enumerate(spec.files):
        if file.secret is None:
            continue
        place = f"{at}.files[{number}].secret"
        if file.secret.pieces is None:
            yield Reference("Secret", file.secret.name, place)
        for piece in range(file.secret.pieces or 0):
            yield Reference("Secret", f"{file.secret.name}-{piece}", place)


def _of_pod(pod: Mapping[str, Any], at: str) -> Iterator[Reference]:
    account = pod.get("serviceAccountName")
    if account and account != _DEFAULT:
        yield Reference("ServiceAccount", account, f"{at}.serviceAccountName")
    for number, pull in enumerate(pod.get("imagePullSecrets") or ()):
        yield from _secret(pull, "name", f"{at}.imagePullSecrets[{number}]")
    for number, volume in enumerate(pod.get("volumes") or ()):
        place = f"{at}.volumes[{number}]"
        yield from _secret(volume.get("secret"), "secretName", f"{place}.secret")
        for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            yield from _secret(source.get("secret"), "name", f"{place}.projected.sources[{index}].secret")
    for kind in _CONTAINERS:
        for number, container in enumerate(pod.get(kind) or ()):
            yield from _of_container(container, f"{at}.{kind}[{number}]")


def _of_container(container: Mapping[str, Any], at: str) -> Iterator[Reference]:
    for number, variable in enumerate(container.get("env") or ()):
        source = (variable.get("valueFrom") or {}).get("secretKeyRef")
        yield from _secret(source, "name", f"{at}.env[{number}].valueFrom.secretKeyRef")
    for number, source in enumerate(container.get("envFrom") or ()):
        yield from _secret(source.get("secretRef"), "name", f"{at}.envFrom[{number}].secretRef")


def _secret(source: Mapping[str, Any] | None, key: str, at: str) -> Iterator[Reference]:
    if source and source.get(key):
        yield Reference("Secret", str(source[key]), at)
