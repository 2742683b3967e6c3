"""The product's own client of the Kubernetes API, for the control plane of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from support.controlplane import ControlPlane

from squall.kube.api import Kube


@asynccontextmanager
async def client_of(plane: ControlPlane, kubeconfig: Path | None = None) -> AsyncIterator[Kube]:
    """The operator's client as an administrator, or as whoever a kubeconfig is for."""
    configuration = Configuration()
    file = str(kubeconfig or plane.kubeconfig)
    await load_kube_config(config_file=file, client_configuration=configuration)
    kube = Kube(ApiClient(configuration), "squall-operator")
    try:
        yield kube
    finally:
        await kube.close()
