"""What an installation decides: where hubs are, which image runners have, how long things may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squall.logs.choices import DEFAULT_FORM, DEFAULT_LEVEL, Form, Level
from squall_operator.model import Deadlines

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerDefaults:
    """How runner pods look when a LoadTest does not say otherwise.

    Attributes:
        image: Of the runner.
        evm_image: Of the runner where a LoadTest acts on a chain or encrypts; empty where `image` has the packages for that.
        pull_policy: `Always`, `IfNotPresent` or `Never`; empty for Kubernetes' default.
        cpu: Whole CPUs, requested and allowed: a runner that is throttled measures itself.
        memory: Requested and allowed.
        pull_secrets: Names of image pull secrets in the namespaces of LoadTests.
        host_network: Whether a LoadTest's `template` may ask for the node's network.
        log_level: The least level of what runners log, where a LoadTest names none.
        log_format: `json`, `console` or `auto`, as for the operator itself.
    """

    image: str
    evm_image: str = ""
    pull_policy: str = ""
    cpu: int = 1
    memory: str = "1Gi"
    pull_secrets: tuple[str, ...] = ()
    host_network: bool = False
    log_level: Level = DEFAULT_LEVEL
    log_format: Form = DEFAULT_FORM


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Where the webhook is served, and with which certificate.

    Attributes:
        address: To listen on.
        host: The name or address that the API server calls it by.
        configuration: The name of the ValidatingWebhookConfiguration that has it called.
        namespace: Where the Secret with the certificate is.
        files: Certificate and key that somebody else keeps; without them the operator keeps its own.
    """

    address: tuple[str, int]
    host: str
    configuration: str
    namespace: str
    files: tuple[Path, Path] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """An installation.

    Attributes:
        hubs: Base URLs of the hubs as the operator and the runners reach them; each run is given to one.
        hub_key: The installation's key, which makes the tokens of runs and opens the hubs' API.
        hub_ca: Certificates in PEM that vouch for the hubs; empty for those that the image trusts.
        namespaces: Those that are looked after; empty for all.
        prometheus_url: Where thresholds with a `query` are asked.
        webhook: Where the webhook is served; None for an installation without one.
        egress: Whether each run gets a NetworkPolicy that keeps its pods to where load may go.
    """

    hubs: tuple[str, ...]
    hub_key: bytes
    runner: RunnerDefaults
    hub_ca: str = ""
    namespaces: tuple[str, ...] = ()
    prometheus_url: str = ""
    webhook: WebhookSettings | None = None
    egress: bool = False
    deadlines: Deadlines = field(default_factory=Deadlines)
