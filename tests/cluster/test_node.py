"""The node that cluster tests stand on is a real one: pods run, find Services by name, are bounded, and leave nothing behind."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cluster.cluster import Cluster, running_cluster
from support.cluster.images import archive
from support.cluster.machine import HELD, only_node
from support.cluster.node import FOLDER
from support.cluster.runtime import shims
from support.kubeclient import Json
from support.leftout import skip_without_node

pytestmark = pytest.mark.node

IMAGE = "localhost/squall-test-probe:1"
PODS = "/api/v1/namespaces/default/pods"
_SECONDS = 60.0

PROBE = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* `ask NAME`: asks the cluster's DNS for NAME and prints the address; `serve`: answers connections on port 8080;
   `reach ADDRESS`: prints what a server says there; `grow`: takes memory until somebody stops it. */
static int ask(const char *name) {
    unsigned char packet[512] = {0x12, 0x34, 1, 0, 0, 1}, *end = packet + 12;
    while (*name) {
        size_t length = strcspn(name, ".");
        *end++ = (unsigned char)length;
        memcpy(end, name, length);
        end += length;
        name += length + (name[length] == '.');
    }
    end += 2;
    *end++ = 1; *end++ = 0; *end++ = 1;
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
    inet_pton(AF_INET, "10.0.0.10", &server.sin_addr);
    int connection = socket(AF_INET, SOCK_DGRAM, 0);
    sendto(connection, packet, end - packet, 0, (struct sockaddr *)&server, sizeof server);
    ssize_t size = recv(connection, packet, sizeof packet, 0);
    if (size < 16 || packet[7] == 0) return 1;
    printf("%d.%d.%d.%d\n", packet[size - 4], packet[size - 3], packet[size - 2], packet[size - 1]);
    return 0;
}

static int reach(const char *address) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(8080)};
    inet_pton(AF_INET, address, &server.sin_addr);
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&server, sizeof server)) return 1;
    char text[64] = {0};
    ssize_t size = read(connection, text, sizeof text - 1);
    printf("%s\n", text);
    return size > 0 ? 0 : 1;
}

static int serve(void) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int server = socket(AF_INET, SOCK_STREAM, 0);
    bind(server, (struct sockaddr *)&own, sizeof own);
    listen(server, 8);
    for (;;) {
        int connection = accept(server, NULL, NULL);
        write(connection, "hello", 5);
        close(connection);
    }
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IONBF, 0);
    if (count > 2 && !strcmp(words[1], "ask")) return ask(words[2]);
    if (count > 2 && !strcmp(words[1], "reach")) return reach(words[2]);
    if (count > 1 && !strcmp(words[1], "serve")) return serve();
    for (size_t size = 1 << 20;; ) memset(malloc(size), 1, size);
}
"""


KILLED = """
import sys, time
from support.cluster.cluster import running_cluster
from support.cluster.runtime import PAUSE_IMAGE
container = {"name": "pause", "image": PAUSE_IMAGE, "imagePullPolicy": "Never"}
pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pause"}, "spec": {"containers": [container]}}
with running_cluster() as cluster:
    cluster.plane.client.create("/api/v1/namespaces/default/pods", pod)
    while cluster.plane.client.get("/api/v1/namespaces/default/pods/pause")["status"]["phase"] != "Running":
        time.sleep(0.1)
    print(cluster.plane.folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def turn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is this test's turn to run nodes, until its end: nobody else's comes between."""
    skip_without_node()
    with only_node():
        monkeypatch.setenv(HELD, "1")
        yield


@pytest.mark.usefixtures("turn")
def test_it_leaves_nothing_behind_even_where_one_was_killed_before() -> None:
    """The first of this module, while no other node runs."""
    tests = Path(__file__).resolve().parent.parent
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    folder = Path(killed.stdout.readline().strip())
    killed.kill()
    killed.communicate()
    assert shims(FOLDER)
    try:
        with running_cluster() as cluster:
            kubelet = cluster.node.kubelet.pid
    finally:
        shutil.rmtree(folder)
    assert not FOLDER.exists()
    assert not shims(FOLDER)
    assert not Path(f"/proc/{kubelet}").exists()
    assert str(FOLDER) not in Path("/proc/mounts").read_text()
    assert "KUBE-" not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert (
        "10.88.0." not in subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    )


@pytest.fixture(scope="module")
def cluster(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The cluster, with an image that can ask, answer and grow."""
    folder = tmp_path_factory.mktemp("probe")
    source, program = folder / "probe.c", folder / "probe"
    source.write_text(PROBE, encoding="ascii")
    subprocess.run(["gcc", "-static", "-O1", "-w", "-o", str(program), str(source)], check=True)
    cluster.node.runtime.load(archive(folder / "probe.tar", IMAGE, {"probe": program}, ["/probe"]))
    return cluster


def test_a_pod_runs_and_its_log_can_be_read(cluster: Cluster) -> None:
    _run(cluster, "names", "ask", "kubernetes.default.svc.cluster.local")
    _wait(lambda: _phase(cluster, "names") == "Succeeded")
    assert _log(cluster, "names") == "10.0.0.1\n"


def test_a_pod_reaches_another_by_its_service(cluster: Cluster) -> None:
    client = cluster.plane.client
    _run(cluster, "server", "serve", labels={"app": "server"})
    service = client.create(
        "/api/v1/namespaces/default/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "server"},
            "spec": {"selector": {"app": "server"}, "ports": [{"port": 8080}]},
        },
    )
    _wait(lambda: _phase(cluster, "server") == "Running")
    # A pod that comes before the Service's rules is refused, fails, and is started again.
    _run(cluster, "caller", "reach", service["spec"]["clusterIP"], restart="OnFailure")
    _wait(lambda: _phase(cluster, "caller") == "Succeeded")
    assert _log(cluster, "caller") == "hello\n"


def test_a_container_beyond_its_memory_limit_is_killed(cluster: Cluster) -> None:
    _run(cluster, "greedy", "grow", limits={"memory": "32Mi"})
    _wait(lambda: _phase(cluster, "greedy") == "Failed")
    status = cluster.plane.client.get(f"{PODS}/greedy")["status"]
    assert status["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def _run(
    cluster: Cluster,
    name: str,
    *words: str,
    labels: dict[str, str] | None = None,
    limits: dict[str, str] | None = None,
    restart: str = "Never",
) -> None:
    container: Json = {"name": "probe", "image": IMAGE, "imagePullPolicy": "Never", "args": list(words)}
    if limits:
        container["resources"] = {"limits": limits}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": [container], "restartPolicy": restart, "terminationGracePeriodSeconds": 0},
    }
    cluster.plane.client.create(PODS, pod)


def _phase(cluster: Cluster, name: str) -> str:
    return str(cluster.plane.client.get(f"{PODS}/{name}")["status"]["phase"])


def _log(cluster: Cluster, name: str) -> str:
    return cluster.plane.client.text(f"{PODS}/{name}/log")


def _wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it took longer than a minute"
        time.sleep(0.1)
