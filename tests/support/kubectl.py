"""`kubectl` as users type it, of the same release as the tests' API server."""

import os
import subprocess
from pathlib import Path

from support.kubebin import binaries


class Kubectl:
    """The `kubectl` of the tests, with an administrator's access to a cluster."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        self._program = binaries(["kubectl"])["kubectl"]
        self._environment = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}

    def __call__(self, *arguments: str, text: str | None = None) -> str:
        """Run a command; returns what it printed.

        Raises:
            AssertionError: It failed; the message holds what it said.
        """
        done = self.attempt(*arguments, text=text)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            [str(self._program), *arguments],
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
