"""A way into a cluster, whoever runs it: the tests' own, one that `make test-cluster` shares among its processes, or a user's.

A cluster that is there already is named by SQUALL_TEST_KUBECONFIG, never by KUBECONFIG alone: whoever has production in the
environment does not want tests to run there. SQUALL_TEST_LOAD_IMAGE is the command that brings an image's archive to its nodes, such as
`kind load image-archive`; without it the images are taken to be there.
"""

import base64
import os
import shlex
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from support.cluster.cluster import Cluster
from support.cluster.machine import own_address
from support.kubeclient import Json, KubeClient

KUBECONFIG = "SQUALL_TEST_KUBECONFIG"
LOAD_IMAGE = "SQUALL_TEST_LOAD_IMAGE"
IMAGES_THERE = "SQUALL_TEST_IMAGES_THERE"
"""Set where the project's images have been brought to the nodes already."""
NODE_HERE = "SQUALL_TEST_NODE_HERE"
"""Set where the node of the cluster that is given is this machine: tests may then touch its processes and packets."""


@dataclass(frozen=True, slots=True)
class Access:
    """A way into a cluster.

    Attributes:
        client: An administrator's.
        kubeconfig: The same for other programs.
        address: Of this machine, as the cluster's pods reach it.
        load: Brings an image's archive to the nodes; None where the images are there already.
        node_here: The node is this machine.
    """

    client: KubeClient
    kubeconfig: Path
    address: str
    load: Callable[[Path], None] | None
    node_here: bool


def access_to(cluster: Cluster) -> Access:
    """The way into a cluster of the tests' own."""
    return Access(
        client=cluster.plane.client,
        kubeconfig=cluster.plane.kubeconfig,
        address=cluster.plane.address,
        load=cluster.node.runtime.load,
        node_here=True,
    )


def is_given() -> bool:
    """Whether there is a cluster already."""
    return bool(os.environ.get(KUBECONFIG))


@contextmanager
def given_access() -> Iterator[Access]:
    """The way into the cluster that is given."""
    path = Path(os.environ[KUBECONFIG])
    command = shlex.split(os.environ.get(LOAD_IMAGE, ""))

    def load(archive: Path) -> None:
        subprocess.run([*command, str(archive)], check=True, capture_output=True, timeout=300)

    url, context = _connection(yaml.safe_load(path.read_text(encoding="utf-8")))
    with closing(KubeClient(url, context)) as client:
        yield Access(client, path, own_address(), load if command else None, bool(os.environ.get(NODE_HERE)))


def _connection(config: Json) -> tuple[str, ssl.SSLContext]:
    """Server and credentials of a kubeconfig's current context: client certificates, as test clusters have them."""
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        authority = _file(cluster, "certificate-authority", folder)
        tls = ssl.create_default_context(cafile=str(authority))
        tls.load_cert_chain(_file(user, "client-certificate", folder), _file(user, "client-key", folder))
    return str(cluster["server"]), tls


def _named(entries: list[Json], name: str) -> Json:
    return next(each for each in entries if each["name"] == name)


def _file(entry: Json, key: str, folder: Path) -> Path:
    """A file that a kubeconfig names, or holds."""
    if key in entry:
        return Path(entry[key])
    path = folder / key
    path.write_bytes(base64.b64decode(entry[f"{key}-data"]))
    return path
