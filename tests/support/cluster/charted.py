"""Squall as users install it by Helm; it then looks like any other installation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from support.cluster.access import Access
from support.cluster.built import chart_images
from support.cluster.installed import Installed
from support.helm import CHART, RELEASE, Helm


class Charted(Installed):
    """One release.

    Args:
        access: To the cluster.
        folder: For values, and for the hub's volume where the cluster has no storage.
        namespace: Where operator and hub are.
        values: More of them.
    """

    def __init__(self, access: Access, folder: Path, namespace: str, **values: Any) -> None:
        self.helm = Helm(folder, access.kubeconfig)
        self._values = values
        super().__init__(access, folder, "", namespace)

    def _write(self, base: Path, components: Sequence[Path]) -> None:
        """What a user writes beside the repository: images that the nodes have already."""
        del base, components
        values = {"images": chart_images(), "runner": {"memory": "256Mi"}, **self._values}
        (self.overlay / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    def apply(self, *options: str) -> None:
        """Install it, or bring it up to date."""
        given = ("--namespace", self.namespace, "--values", str(self.overlay / "values.yaml"))
        self.helm("upgrade", "--install", RELEASE, str(CHART), *given, *options)

    def rollback(self, revision: int) -> None:
        """Go back to an earlier revision."""
        self.helm("rollback", RELEASE, str(revision), "--namespace", self.namespace)

    def remove(self) -> None:
        """Take it away again."""
        self.helm("uninstall", RELEASE, "--namespace", self.namespace, "--ignore-not-found")

    def told(self) -> str:
        """How the release and its pods are, for the message of a test that fails."""
        history = self.helm.attempt("history", RELEASE, "--namespace", self.namespace)
        return f"{re.sub(' +', ' ', history.stdout)}\n{super().told()}"
