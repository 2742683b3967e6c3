"""`squall` with a cluster that has an API server and no operator: a test writes the statuses at the moments that it wants."""

import gzip
import os
import secrets
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import yaml
from support.kubeclient import Json, KubeClient

from squall.kube.runs import run_id
from squall.remote.seen import key_of
from squall.report.model import Summary

SECONDS = 60.0


def until(holds: Callable[[], Any], what: Callable[[], str], seconds: float = SECONDS) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what()}"
        time.sleep(0.05)
    return found


class Command:
    """A `squall` process, its output in a file."""

    def __init__(self, folder: Path, kubeconfig: Path, *arguments: str, **environment: str) -> None:
        self._output = folder / f"output-{secrets.token_hex(4)}"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "squall.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "KUBECONFIG": str(kubeconfig)} | environment,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(encoding="utf-8")

    def says(self, text: str, seconds: float = SECONDS) -> None:
        """Wait until it has printed something."""
        until(lambda: text in self.output, lambda: f"{text!r} in {self.output}", seconds)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self, seconds: float = SECONDS) -> int:
        """Wait for its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it has not ended: {self.output}") from None

    def kill(self) -> None:
        """End it, whatever it does."""
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


class Stage:
    """A namespace, `squall` in it, and the pen that writes statuses."""

    def __init__(self, kube: KubeClient, kubeconfig: Path, folder: Path, namespace: str = "") -> None:
        self.kube, self._kubeconfig, self.folder = kube, kubeconfig, folder
        self.namespace = namespace or f"cli-{secrets.token_hex(4)}"
        if not namespace:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
            self.kube.create("/api/v1/namespaces", body)
        self._commands: list[Command] = []

    def squall(self, *arguments: str, **environment: str) -> Command:
        """Start a command in the namespace."""
        command = Command(
            self.folder, self._kubeconfig, *arguments, "--namespace", self.namespace, **environment
        )
        self._commands.append(command)
        return command

    def close(self) -> None:
        """End all commands, and take away what was made."""
        for command in self._commands:
            command.kill()
        self.kube.delete(f"/apis/squall.dev/v1alpha1/namespaces/{self.namespace}/loadtests")

    def write(self, manifest: Json) -> str:
        """Write a manifest; returns its file."""
        path = self.folder / "loadtest.yaml"
        path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
        return str(path)

    def path(self, name: str) -> str:
        """The path of a LoadTest."""
        return f"/apis/squall.dev/v1alpha1/namespaces/{self.namespace}/loadtests/{name}"

    def core(self, plural: str, name: str = "") -> str:
        """The path of ConfigMaps or Secrets."""
        return f"/api/v1/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def applied(self, name: str, but: str = "") -> Json:
        """Wait for a LoadTest that asks for a run with another key."""

        def there() -> Json | None:
            assert self._commands[-1].process.poll() is None, self._commands[-1].output
            body = self.kube.get(self.path(name)) if self.kube.exists(self.path(name)) else None
            return body if body is not None and key_of(body) != but else None

        return dict(until(there, lambda: f"{name}: {[each.output for each in self._commands]}"))

    def status(self, name: str, **status: Any) -> None:
        """Replace the status of a LoadTest by this."""
        body = self.kube.get(self.path(name))
        generation = body["metadata"]["generation"]
        full = {"observedGeneration": generation, **status}
        self.kube.request("PUT", self.path(name) + "/status", {**body, "status": full})

    def runs(self, name: str, **status: Any) -> Json:
        """The operator has begun the run that is asked for; returns how it names it."""
        body = self.kube.get(self.path(name))
        key = key_of(body)
        run = {"id": run_id(name, body["metadata"]["uid"], key), "key": key, "phase": "Running"}
        live = {"elapsedSeconds": 1, "requestsPerSecond": 20.5, "requests": 41, "vus": 2, "p95Seconds": 0.02}
        self.status(
            name, **({"phase": "Running", "message": "the load is on", "run": run, "live": live} | status)
        )
        return run

    def ends(self, name: str, run: Json, summary: Summary | None, **verdict: Any) -> None:
        """The run is over: its report is kept, the status has its verdict."""
        report = f"{run['id']}-report"
        if summary is not None:
            packed = gzip.compress(msgspec.json.encode(summary))
            self.kube.apply(
                self.core("configmaps", report),
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": report, "namespace": self.namespace},
                    "binaryData": {"summary.json.gz": b64encode(packed).decode()},
                },
            )
        past = {
            "id": run["id"],
            "key": run["key"],
            "result": verdict["result"],
            "reason": verdict.get("reason", ""),
        }
        history = self.kube.get(self.path(name)).get("status", {}).get("history", [])
        self.status(
            name,
            phase=verdict["result"],
            message=verdict.get("message", verdict["result"]),
            run={**run, "phase": "Finished"},
            verdict=verdict,
            history=[past | ({"report": report} if summary is not None else {}), *history],
        )
