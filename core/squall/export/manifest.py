"""`outputs.prometheus` of a manifest as what an exporter has to know."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from squall.export.model import Form, Receiver, RemoteWrite
from squall.spec.quantities import size_bytes
from squall.spec.variables import with_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall.export.names import Labels
    from squall.spec import structs
    from squall.spec.loadtest import LoadTest
    from squall.spec.outputs import PrometheusOutput, ReceiverAuth


def settings_of(
    output: PrometheusOutput | structs.PrometheusOutput,
    *,
    secrets: Mapping[str, str],
    files: Mapping[str, str],
    policies: tuple[tuple[str, ...], ...] = (),
) -> RemoteWrite:
    """What an exporter has to know.

    Args:
        output: Of a manifest that is right, its variables resolved.
        secrets: Values of the manifest's secret variables.
        files: Where each of its files lies.
        policies: Where pushing may go, see `Receiver`.

    Raises:
        KeyError: A secret or a file is missing.
    """
    tls = output.tls
    header = authorization(output.auth, secrets)
    return RemoteWrite(
        receiver=Receiver(
            url=output.remote_write_url,
            authorization=lambda: header,
            tenant=output.tenant or "",
            ca_file=files[tls.ca_file] if tls and tls.ca_file else "",
            cert_file=files[tls.cert_file] if tls and tls.cert_file else "",
            server_name=(tls.server_name if tls else None) or "",
            insecure_skip_verify=tls.insecure_skip_verify if tls else False,
            policies=policies,
        ),
        form=Form(
            histograms=output.histograms,
            schema=output.histogram_schema,
            labels=tuple(sorted((output.labels or {}).items())),
            max_series=output.max_series,
        ),
        buffer_bytes=size_bytes(output.buffer),
    )


def authorization(auth: ReceiverAuth | structs.ReceiverAuth | None, secrets: Mapping[str, str]) -> str:
    """The header `Authorization`; empty for none.

    Raises:
        KeyError: A secret is missing.
    """
    if auth is None:
        return ""
    if auth.basic is not None:
        name, password = (with_secrets(each, secrets) for each in (auth.basic.username, auth.basic.password))
        return basic(name, password)
    return f"Bearer {with_secrets(auth.bearer or '', secrets)}"


def basic(name: str, password: str) -> str:
    """Name and password as a header (RFC 7617)."""
    return "Basic " + b64encode(f"{name}:{password}".encode()).decode()


def run_labels(test: LoadTest | structs.LoadTest, run: str) -> Labels:
    """The labels of every series of a run."""
    named = {
        "loadtest": str(test.metadata["name"]),
        "namespace": str(test.metadata.get("namespace") or ""),
        "run": run,
    }
    return tuple(sorted((name, value) for name, value in named.items() if value))
