"""`helm` as users type it, and the project's chart as it renders it."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from support.kubebin import binaries
from support.kubeclient import Json
from support.manifests import ROOT

CHART = ROOT / "helm" / "squall"
RELEASE = "squall"


class Helm:
    """The `helm` of the tests, with an administrator's access to a cluster, or with none.

    Args:
        home: Where it keeps what it remembers; a folder of the test's own.
        kubeconfig: Access to a cluster.
    """

    def __init__(self, home: Path, kubeconfig: Path | None = None) -> None:
        self._program = binaries(["helm"])["helm"]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))},
            **{f"HELM_{part}_HOME": str(home / part.lower()) for part in ("CACHE", "CONFIG", "DATA")},
            "KUBECONFIG": str(kubeconfig or home / "no-cluster"),
        }

    def __call__(self, *arguments: str) -> str:
        """Run a command; returns what it printed.

        Raises:
            AssertionError: It failed; the message holds what it said.
        """
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            [str(self._program), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def render(self, *options: str, namespace: str = "squall-system") -> str:
        """What the chart makes of values, as text."""
        return self("template", RELEASE, str(CHART), "--namespace", namespace, *options)

    def objects(self, *options: str, namespace: str = "squall-system") -> list[Json]:
        """What the chart makes of values."""
        return parsed(self.render(*options, namespace=namespace))


def parsed(text: str) -> list[Json]:
    """The objects of a text in YAML."""
    # CRDs are large, and libyaml is quick.
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def given(folder: Path, values: Json) -> Sequence[str]:
    """The options that give a chart values."""
    path = folder / f"values-{len(list(folder.glob('values-*')))}.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return ("--values", str(path))
