"""The product's own client of the Kubernetes API, for the control plane of the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from support.controlplane import ControlPlane

from squall.kube.api import Kube


@asynccontextmanager
async def client_of(plane: ControlPlane) -> AsyncIterator[Kube]:
    """The operator's client as an administrator."""
    configuration = Configuration()
    await load_kube_config(config_file=str(plane.kubeconfig), client_configuration=configuration)
    kube = Kube(ApiClient(configuration), "squall-operator")
    try:
        yield kube
    finally:
        await kube.close()
