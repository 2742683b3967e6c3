"""`squall-operator`: watches LoadTests and acts, as the one leader of however many replicas there are.

Everything can be given as an option or as an environment variable of the same name (`--hub` is SQUALL_HUB): manifests write the latter.
What can be given more than once is separated by spaces there.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squall import __version__
from squall.errors import SquallError
from squall.kube.api import Kube
from squall.logs.choices import DEFAULT_FORM, DEFAULT_LEVEL, FORMS, LEVELS, STANDARD_ERROR
from squall.logs.log import Log
from squall_operator.events import FIELD_MANAGER
from squall_operator.manifests.egress import EgressError, hub_peer
from squall_operator.model import Deadlines
from squall_operator.replica import Replica
from squall_operator.settings import RunnerDefaults, Settings, WebhookSettings
from squall_operator.telemetry import Telemetry

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from squall.logs.choices import Form, Level


@click.command(context_settings={"auto_envvar_prefix": "SQUALL", "show_default": True})
@click.option(
    "--hub",
    "hubs",
    envvar="SQUALL_HUB",
    multiple=True,
    required=True,
    help="Base URL of a hub, as runners reach it too.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Holds the installation's key.",
)
@click.option(
    "--hub-ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificates that vouch for the hubs (PEM).",
)
@click.option("--runner-image", required=True, help="Image of the runners.")
@click.option(
    "--runner-evm-image",
    default="",
    help="Image of runners that act on chains or encrypt; by default that of all.",
)
@click.option("--runner-pull-policy", type=click.Choice(["Always", "IfNotPresent", "Never"]))
@click.option("--runner-cpu", type=click.IntRange(min=1), default=1, help="Whole CPUs of a runner pod.")
@click.option("--runner-memory", default="1Gi", help="Memory of a runner pod.")
@click.option(
    "--runner-pull-secret",
    "pull_secrets",
    envvar="SQUALL_RUNNER_PULL_SECRET",
    multiple=True,
    help="Name of an image pull secret.",
)
@click.option(
    "--allow-host-network", is_flag=True, help="Let LoadTests put their runners on the node's network."
)
@click.option(
    "--run-egress", is_flag=True, help="Make a NetworkPolicy for each run from the allowedHosts of policies."
)
@click.option(
    "--watch-namespace",
    "namespaces",
    envvar="SQUALL_WATCH_NAMESPACE",
    multiple=True,
    help="Look after these only; by default after all.",
)
@click.option("--lease-namespace", default="default", help="Where the Lease for leader election is.")
@click.option("--prometheus-url", default="", help="Where thresholds with a query are asked.")
@click.option(
    "--start-deadline", type=float, default=300.0, help="Seconds from the launch until the load begins."
)
@click.option(
    "--schedule-deadline", type=float, default=120.0, help="Seconds that a runner pod may wait for a node."
)
@click.option("--listen", default="0.0.0.0:8080", help="Address of health, readiness and metrics.")
@click.option("--webhook-listen", default="", help="Address of the validating webhook; none without it.")
@click.option("--webhook-host", default="", help="Name or address that the API server calls the webhook by.")
@click.option("--webhook-configuration", default="squall", help="Name of the ValidatingWebhookConfiguration.")
@click.option(
    "--webhook-cert-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificate of the webhook that somebody else keeps (PEM); else the operator keeps its own.",
)
@click.option(
    "--webhook-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Private key of that certificate (PEM).",
)
@click.option(
    "--log-level", type=click.Choice(LEVELS), default=DEFAULT_LEVEL, help="Leave out lines below it."
)
@click.option(
    "--log-format",
    type=click.Choice(FORMS),
    default=DEFAULT_FORM,
    help="Of runners' logs too; auto: words for a terminal, else JSON.",
)
@click.option(
    "--runner-log-level",
    type=click.Choice(LEVELS),
    show_default="that of the operator",
    help="Of runners' logs, where a LoadTest names none.",
)
@click.version_option(__version__)
def main(  # noqa: PLR0917 - click gives them by name
    hubs: tuple[str, ...],
    key_file: Path,
    hub_ca_file: Path | None,
    runner_image: str,
    runner_evm_image: str,
    runner_pull_policy: str | None,
    runner_cpu: int,
    runner_memory: str,
    pull_secrets: tuple[str, ...],
    allow_host_network: bool,  # noqa: FBT001
    run_egress: bool,  # noqa: FBT001
    namespaces: tuple[str, ...],
    lease_namespace: str,
    prometheus_url: str,
    start_deadline: float,
    schedule_deadline: float,
    listen: str,
    webhook_listen: str,
    webhook_host: str,
    webhook_configuration: str,
    webhook_cert_file: Path | None,
    webhook_key_file: Path | None,
    log_level: Level,
    log_format: Form,
    runner_log_level: Level | None,
) -> None:
    """Run LoadTests on this cluster."""
    files = (webhook_cert_file, webhook_key_file)
    webhook = _webhook(webhook_listen, webhook_host, webhook_configuration, lease_namespace, files)
    try:
        settings = Settings(
            hubs=tuple(url.rstrip("/") for url in hubs),
            hub_key=_key(key_file),
            hub_ca=hub_ca_file.read_text(encoding="ascii") if hub_ca_file else "",
            runner=RunnerDefaults(
                image=runner_image,
                evm_image=runner_evm_image,
                pull_policy=runner_pull_policy or "",
                cpu=runner_cpu,
                memory=runner_memory,
                pull_secrets=pull_secrets,
                host_network=allow_host_network,
                log_level=runner_log_level or log_level,
                log_format=log_format,
            ),
            namespaces=namespaces,
            prometheus_url=prometheus_url,
            egress=run_egress,
            webhook=webhook,
            deadlines=Deadlines(start=start_deadline, schedule=schedule_deadline),
        )
        for hub in settings.hubs if run_egress else ():
            hub_peer(hub)  # what every run would be told is better told at once
    except (OSError, UnicodeDecodeError, EgressError) as error:
        raise click.ClickException(f"{error}") from error
    address = _address(listen, "--listen")
    log = Log(STANDARD_ERROR, "operator", level=log_level, form=log_format)
    log.take_over()
    try:
        asyncio.run(_run(settings, lease_namespace, address, log.lines))
    except SquallError as error:
        raise click.ClickException(f"{error}" + (f"; {error.hint}" if error.hint else "")) from error
    finally:
        log.close()


def _webhook(
    listen: str, host: str, configuration: str, namespace: str, files: tuple[Path | None, Path | None]
) -> WebhookSettings | None:
    """What was given about the webhook; None when there is to be none."""
    if not listen:
        return None
    certificate, key = files
    if (certificate is None) != (key is None):
        raise click.UsageError("give --webhook-cert-file and --webhook-key-file together")
    if certificate is None and not host:
        raise click.UsageError("give --webhook-host, which the certificate is made for")
    return WebhookSettings(
        address=_address(listen, "--webhook-listen"),
        host=host,
        configuration=configuration,
        namespace=namespace,
        files=(certificate, key) if certificate and key else None,
    )


def _address(text: str, option: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise click.BadParameter("write HOST:PORT", param_hint=option)
    return host, int(port)


def _key(path: Path) -> bytes:
    key = path.read_bytes().strip()
    if not key:
        raise click.ClickException(f"{path} is empty; it must hold the installation's key")
    return key


async def _run(
    settings: Settings, lease_namespace: str, address: tuple[str, int], lines: FilteringBoundLogger
) -> None:
    """Work until told to terminate."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    telemetry = Telemetry(lines)
    kube = await Kube.connect(FIELD_MANAGER, telemetry.called)
    try:
        await Replica(settings, kube, telemetry, lease_namespace).run(address, told)
    finally:
        await kube.close()


if __name__ == "__main__":
    sys.exit(main())
