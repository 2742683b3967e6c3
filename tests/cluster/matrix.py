"""Run what a cluster can bring about, case by case: `make test-cluster`.

Most cases wait more than they work, so they run side by side on one cluster, each process with a hub and an operator of its own. Those that
take the API server or the node away from everybody come afterwards, alone.

With SQUALL_TEST_KUBECONFIG the cases run on that cluster, but for those that need one of their own.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.cluster.access import IMAGES_THERE, KUBECONFIG, LOAD_IMAGE, NODE_HERE, is_given
from support.cluster.built import INSTALLED, image_archive, prepare_images
from support.cluster.cluster import Cluster, prepare_cluster, running_cluster
from support.cluster.machine import MachineError
from support.kubebin import KubeBinariesError
from support.leftout import left_out
from support.longwork import LongWorkError
from support.processes import ProcessError

PROCESSES = os.environ.get("MATRIX_PROCESSES", "4")


def run_tests(marks: str, *options: str, **environment: str) -> int:
    """Run tests by their marks; returns pytest's exit code."""
    command = [sys.executable, "-m", "pytest", "-m", marks, *options, *sys.argv[1:]]
    sys.stdout.write(f"\n{shlex.join(command[1:])}\n")
    sys.stdout.flush()
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode


def side_by_side(**environment: str) -> int:
    """Run the cases that share a cluster."""
    return run_tests("matrix and not alone", "-n", PROCESSES, "--dist", "worksteal", **environment)


def shared_by(cluster: Cluster) -> int:
    """Run them on a cluster of this machine."""
    for target in INSTALLED:
        cluster.node.runtime.load(image_archive(target))  # once, not by each process
    load = ["ctr", "--address", str(cluster.node.runtime.socket), "--namespace", "k8s.io", "images", "import"]
    given = {KUBECONFIG: str(cluster.plane.kubeconfig), NODE_HERE: "1", IMAGES_THERE: "1"}
    return side_by_side(**given, **{LOAD_IMAGE: shlex.join(load)})


def shown() -> int:
    """Run what people are shown; returns its exit code."""
    return subprocess.run([sys.executable, str(Path(__file__).with_name("demo.py"))], check=False).returncode


def main() -> int:
    """Run all of them, then what people are shown."""
    if is_given() or left_out("node") or os.geteuid() != 0:
        return side_by_side()
    try:
        prepare_cluster()
        prepare_images()
        with running_cluster() as cluster:
            first = shared_by(cluster)
    except (MachineError, KubeBinariesError, LongWorkError, ProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return run_tests("matrix and alone") or shown() or first


if __name__ == "__main__":
    sys.exit(main())
