"""What the manifest of an assignment says about this process: its plan, its files, where its targets are and how to reach them.

The manifest arrives validated and with its variables resolved, secrets apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squall.expr import Scope, compile_template
from squall.plan.compile import compile_plan
from squall.spec.quantities import seconds, size_bytes
from squall.spec.received import received
from squall.spec.secrets import Secrets
from squall_runner.engine.limits import shared_connections
from squall_runner.http import Limits, Network, NetworkOptions, Proxy, TlsOptions, parse_url
from squall_runner.load import LoadError
from squall_runner.steps.context import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from squall.hub.protocol import Assignment
    from squall.plan.model import TestPlan
    from squall.spec.structs import HttpDefaults, LoadTestSpec


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, ready to be compiled on this machine.

    Attributes:
        name: The LoadTest's.
        spec: The effective spec.
        plan: Its schedule.
        files: Where each of `spec.files` lies.
        secrets: Values never to be shown.
        base: What every environment holds: variables and the run.
        targets: The base URLs.
    """

    name: str
    spec: LoadTestSpec
    plan: TestPlan
    files: dict[str, Path]
    secrets: Secrets
    base: dict[str, Any]
    targets: tuple[Target, ...]


def read_manifest(assignment: Assignment) -> Manifest:
    """Take in what the runner was given.

    Raises:
        LoadError: The manifest is not valid.
        PlanError: Its plan is impossible.
    """
    try:
        test = received(assignment.manifest)
    except ValueError as error:
        raise LoadError("ManifestInvalid", str(error), "check it with `squall validate`") from error
    name = str(test.metadata["name"])
    base = {
        "var": {**assignment.variables, **assignment.secrets},
        "run": {"id": assignment.run, "name": name},
    }
    return Manifest(
        name=name,
        spec=test.spec,
        plan=compile_plan(test.spec),
        files={name: Path(path) for name, path in assignment.files.items()},
        secrets=Secrets(assignment.secrets),
        base=base,
        targets=_targets(test.spec.http, base, base_scope(base)),
    )


def base_scope(base: dict[str, Any], secrets: Secrets | None = None) -> Scope:
    """The names that are known everywhere."""
    return Scope(variables=frozenset(base["var"]), secrets=frozenset(secrets or ()))


def _targets(http: HttpDefaults, base: dict[str, Any], scope: Scope) -> tuple[Target, ...]:
    urls = http.base_urls or ([http.base_url] if http.base_url else [])
    found = []
    for text in urls:
        url = compile_template(text, scope.with_secrets()).render(base)
        try:
            origin, path = parse_url(url)
        except ValueError as error:
            raise LoadError(
                "RequestInvalid", f"spec.http.baseUrl: {error}", "write for example http://host:8080"
            ) from error
        found.append(Target(origin, path.decode("ascii").rstrip("/")))
    return tuple(found)


def make_network(manifest: Manifest, clock: Callable[[], float], assignment: Assignment) -> Network:
    """The network with the manifest's settings, for a runner that carries these shards and keeps these policies.

    Raises:
        LoadError: A file that TLS needs is not there, or the proxy is none.
    """
    http, tls = manifest.spec.http, TlsOptions()
    if http.tls is not None:
        tls = TlsOptions(
            ca_file=_tls_file(manifest, http.tls.ca_file),
            cert_file=_tls_file(manifest, http.tls.cert_file),
            server_name=http.tls.server_name or "",
            insecure_skip_verify=http.tls.insecure_skip_verify,
        )
    options = NetworkOptions(
        limits=Limits(
            max_body_bytes=size_bytes(http.max_body_size), max_discarded_bytes=size_bytes(http.max_body_size)
        ),
        connect_timeout=seconds(http.connect_timeout),
        tls=tls,
        max_redirects=http.max_redirects,
        proxy=_proxy(manifest),
        shared_connections=shared_connections(http, manifest.plan, assignment.shards),
        allowed_hosts=assignment.allowed_hosts,
    )
    network = Network(options, clock=clock)
    origins = [target.origin for target in manifest.targets]
    if options.proxy is not None:
        origins.append(options.proxy.origin)
    if tls != TlsOptions() or any(origin.tls for origin in origins):
        network.prepare_tls()
    return network


def _proxy(manifest: Manifest) -> Proxy | None:
    spec = manifest.spec.http.proxy
    if spec is None:
        return None
    scope = base_scope(manifest.base, manifest.secrets).with_secrets()

    def rendered(text: str) -> str:
        return compile_template(text, scope).render(manifest.base)

    auth = spec.auth
    credentials = (rendered(auth.username), rendered(auth.password)) if auth is not None else None
    try:
        return Proxy.of(rendered(spec.url), credentials, spec.no_proxy)
    except ValueError as error:
        raise LoadError(
            "RequestInvalid", f"spec.http.proxy: {error}", "write for example http://proxy:3128"
        ) from error


def _tls_file(manifest: Manifest, name: str | None) -> str:
    if name is None:
        return ""
    path = manifest.files.get(name)
    if path is None or not path.is_file():
        raise LoadError("FileMissing", f"spec.http.tls: the file {name!r} is not there", "check spec.files")
    return str(path)
