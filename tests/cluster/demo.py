"""All of it at once, for people: `make demo-cluster`.

A cluster of this machine, the images, the chart, and the NFT platform's load test on four shards, whose target fails so much that a threshold
breaks: the load ends, the Job is gone, the verdict stays. The target runs beside each runner, in its pod, so no load leaves a pod.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml
from support.cluster.built import IMAGES, INSTALLED, chart_images, image_archive, prepare_images
from support.cluster.cluster import Cluster, prepare_cluster, running_cluster
from support.cluster.machine import MachineError
from support.cluster.operated import LISTENS
from support.helm import CHART, Helm
from support.kubebin import KubeBinariesError, binaries
from support.longwork import LongWorkError
from support.manifests import ROOT
from support.processes import ProcessError

from squall.errors import ExitCode

EXAMPLE = ROOT / "examples" / "nft-platform"
PLATFORM = ROOT / "examples" / "targets" / "nft_platform"
TEAM = "load-tests"
ERRORS = "0.6"
"""Share of the platform's answers that are failures. The example ends a run when half of them are."""
GONE_SECONDS = 60.0


class Demo:
    """The steps, each shown as it would be typed.

    Args:
        cluster: Where.
        folder: For files that are made on the way.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._kubectl = str(binaries(["kubectl"])["kubectl"])
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.plane.kubeconfig),
            "NFT_PASSWORD": "loadtest",
            "AUTH_TOKEN": "demo-token",
        }

    def run(self) -> int:
        """Take them all; returns 0 when everything went as it should."""
        for target in INSTALLED:
            self._cluster.node.runtime.load(image_archive(target))
        self._install()
        self._prepare()
        artwork = f"artwork.png={EXAMPLE / 'files' / 'artwork.png'}"
        self._write_manifest()
        code = self._squall("run", "--cluster", "loadtest.yaml", "--namespace", TEAM, "--file", artwork)
        gone = self._wait_until_gone()
        self.kubectl("get", "jobs,pods,loadtests", "--namespace", TEAM)
        if code != ExitCode.THRESHOLDS or not gone:
            sys.stderr.write(f"squall ended with {code}, and {'nothing' if gone else 'something'} is left\n")
            return 1
        return 0

    def kubectl(self, *arguments: str, stdin: str = "") -> None:
        """Run kubectl before people's eyes."""
        say(f"$ {shlex.join(['kubectl', *arguments])}")
        command = [self._kubectl, *arguments]
        subprocess.run(command, env=self._environment, input=stdin or None, text=True, check=True)

    def _squall(self, *arguments: str) -> int:
        say(f"$ {shlex.join(['squall', *arguments])}")
        command = [sys.executable, "-m", "squall.cli.main", *arguments]
        return subprocess.run(command, cwd=self._folder, env=self._environment, check=False).returncode

    def _install(self) -> None:
        """The chart, with images that the node has, and a hub without a volume: this cluster has no storage."""
        values = self._folder / "values.yaml"
        chosen = {"images": chart_images(), "hub": {"persistence": {"enabled": False}}}
        values.write_text(yaml.safe_dump(chosen), encoding="utf-8")
        arguments = ("install", "squall", str(CHART), "--namespace", "squall-system", "--create-namespace")
        say(f"$ {shlex.join(['helm', *arguments, '--values', 'values.yaml', '--wait'])}")
        helm = Helm(self._folder, self._cluster.plane.kubeconfig)
        sys.stdout.write(helm(*arguments, "--values", str(values), "--wait", "--timeout", "3m"))

    def _prepare(self) -> None:
        """The team's namespace, and the platform's code for its pods."""
        self.kubectl("create", "namespace", TEAM)
        restricted = "pod-security.kubernetes.io/enforce=restricted"
        self.kubectl("label", "namespace", TEAM, restricted)
        files = [f"--from-file={path}" for path in sorted(PLATFORM.glob("*.py"))]
        self.kubectl("create", "configmap", "nft-platform-target", "--namespace", TEAM, *files)

    def _write_manifest(self) -> None:
        """The example as it is, on four shards, with the platform in each pod."""
        path = EXAMPLE / "loadtest.yaml"
        test = yaml.safe_load(path.read_text(encoding="utf-8"))
        spec = test["spec"]
        platform = {
            "name": "platform",
            "image": IMAGES["runner"],
            "imagePullPolicy": "Never",
            "restartPolicy": "Always",
            "command": ["python3", "/platform", "--port", "8080", "--error-rate", ERRORS],
            "startupProbe": {
                "exec": {"command": ["python3", "-c", LISTENS]},
                "periodSeconds": 1,
                "failureThreshold": 60,
            },
            "volumeMounts": [{"name": "platform", "mountPath": "/platform"}],
        }
        volume = {"name": "platform", "configMap": {"name": "nft-platform-target"}}
        spec["shards"] = 4
        spec["safety"]["errorRate"]["stop"] = "90%"  # the threshold is to be seen at work
        spec["runner"] = {
            "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}, "limits": {"memory": "256Mi"}},
            "template": {"spec": {"initContainers": [platform], "volumes": [volume]}},
        }
        text = yaml.safe_dump(test, sort_keys=False)
        (self._folder / "loadtest.yaml").write_text(text, encoding="utf-8")

    def _wait_until_gone(self) -> bool:
        """Whether the run's Job and pods go within their time."""
        until = time.monotonic() + GONE_SECONDS
        command = [self._kubectl, "get", "jobs,pods", "--namespace", TEAM, "--output", "json"]
        while time.monotonic() < until:
            done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
            if not json.loads(done.stdout)["items"]:
                return True
            time.sleep(0.5)
        return False


def say(text: str) -> None:
    """Show a line before what follows from it."""
    sys.stdout.write(f"\n{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Build what is missing, then show it all; everything is gone afterwards, interrupted or not."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        try:
            prepare_cluster()
            binaries(["kubectl", "helm"])
            prepare_images()
            with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
                return Demo(cluster, Path(folder)).run()
        except (MachineError, KubeBinariesError, LongWorkError, ProcessError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return ExitCode.USER


if __name__ == "__main__":
    sys.exit(main())
