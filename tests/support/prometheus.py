"""A real Prometheus for tests that ask PromQL or push by remote write.

A stand-in would answer what its author expects; query errors, staleness and native histograms behave only in the real
server as they do for users. It is taken from the PATH, from `PROMETHEUS_BINARY`, or unpacked from Debian's package into the
cache: unpacked, not installed, so no system service is ever started and no root is needed.
"""

import json
import os
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support.debianpackages import DebianPackagesError, unpack
from support.leftout import missing, skip_if_left_out
from support.processes import Process, free_ports

PART = "prometheus"
READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    url: str
    process: Process

    @property
    def remote_write_url(self) -> str:
        """Where it takes samples."""
        return f"{self.url}/api/v1/write"

    def query(self, promql: str, *, time: float | None = None) -> list[dict[str, Any]]:
        """Return the result vector of an instant query (`time`: Unix seconds, by default now)."""
        parameters = {"query": promql} | ({} if time is None else {"time": repr(time)})
        answer = _get(f"{self.url}/api/v1/query?{urllib.parse.urlencode(parameters)}")
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return result

    def value(self, promql: str, time: float) -> float:
        """The value of a query that finds one series."""
        (sample,) = self.query(promql, time=time)
        return float(sample["value"][1])

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the series of a range query, from and to Unix seconds."""
        parameters = {"query": promql, "start": repr(start), "end": repr(end), "step": repr(step)}
        answer = _get(f"{self.url}/api/v1/query_range?{urllib.parse.urlencode(parameters)}")
        result: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        return result

    def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        """Return the values of a label of the series that a selector finds, sorted."""
        parameters = {"match[]": selector, "start": repr(start), "end": repr(end)}
        answer = _get(f"{self.url}/api/v1/label/{label}/values?{urllib.parse.urlencode(parameters)}")
        values: list[str] = json.loads(answer)["data"]
        return values


@contextmanager
def running_prometheus(
    scrape_configs: Sequence[dict[str, Any]] = (), *, rules: Path | None = None, address: str = "127.0.0.1"
) -> Iterator[Prometheus]:
    """Run Prometheus on a free port with remote write and native histograms, and stop it at the end.

    Args:
        scrape_configs: The `scrape_configs` of its configuration file, as dictionaries.
        rules: A file of rules that it evaluates.
        address: Of this machine, to listen on; another than loopback where pods are to reach it.
    """
    binary = prometheus_binary()
    with tempfile.TemporaryDirectory(prefix="squall-prometheus-") as name:
        folder = Path(name)
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": list(scrape_configs),
            "rule_files": [str(rules)] if rules else [],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        port = free_ports(1)[0]
        listen = f"{address}:{port}"
        process = Process(_command(binary, folder, listen), log=folder / "prometheus.log")
        server = Prometheus(f"http://{listen}", process)
        try:
            process.wait_until(lambda: _ready(server.url), timeout=READY_SECONDS)
            yield server
        finally:
            process.stop()


def prometheus_binary() -> Path:
    """Return a Prometheus binary, fetching Debian's when there is none; fails or skips the test when it cannot be had."""
    skip_if_left_out(PART)
    named = os.environ.get("PROMETHEUS_BINARY") or shutil.which("prometheus")
    if named:
        return Path(named)
    cached = _cache_folder() / "usr" / "bin" / "prometheus"
    if not cached.exists():
        _unpack_debian_package()
    return cached


def _command(binary: Path, folder: Path, listen: str) -> list[str]:
    return [
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms",
        "--log.level=warn",
    ]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "squall" / "prometheus"


def _unpack_debian_package() -> None:
    try:
        unpack(["prometheus"], _cache_folder())
    except DebianPackagesError as error:
        missing(
            PART, f"{error}, and no `prometheus` on the PATH; install it, or name it in PROMETHEUS_BINARY"
        )


def _ready(url: str) -> bool:
    try:
        return bool(_get(f"{url}/-/ready"))
    except (urllib.error.URLError, ConnectionError):
        return False


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            content: bytes = response.read()
            return content
    except urllib.error.HTTPError as error:
        # What is wrong with a query stands in the body alone.
        error.msg = f"{error.msg}: {error.read().decode(errors='replace')}"
        raise
