"""A part that is missing fails its tests in plain words; only `SQUALL_TESTS_WITHOUT` turns them into skips."""

import os
import subprocess
import sys
from pathlib import Path

from support.manifests import ROOT

CONTROL_PLANE_TEST = "tests/cluster/test_control_plane.py::test_it_is_the_pinned_kubernetes"
PROMETHEUS_TEST = "tests/prometheus/test_real_prometheus.py::test_it_answers_promql_and_leaves_nothing_behind"


def test_missing_parts_fail_and_say_how_to_get_them(tmp_path: Path) -> None:
    outcome = _pytest(tmp_path, without="")
    assert outcome.returncode == 1
    assert "Install Go, or set KUBEBUILDER_ASSETS" in outcome.stdout
    assert "install it, or name it in PROMETHEUS_BINARY" in outcome.stdout
    assert "SQUALL_TESTS_WITHOUT=control-plane" in outcome.stdout
    assert "SQUALL_TESTS_WITHOUT=prometheus" in outcome.stdout


def test_parts_that_are_left_out_are_skipped_with_that_reason(tmp_path: Path) -> None:
    outcome = _pytest(tmp_path, without="control-plane prometheus")
    assert outcome.returncode == 0, outcome.stdout
    assert "SQUALL_TESTS_WITHOUT names control-plane" in outcome.stdout
    assert "SQUALL_TESTS_WITHOUT names prometheus" in outcome.stdout


def _pytest(tmp_path: Path, *, without: str) -> subprocess.CompletedProcess[str]:
    """Run one test of each part on a machine that has none: an empty cache, and nothing on the PATH."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTEST", "KUBEBUILDER", "PROMETHEUS"))
    }
    environment |= {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "SQUALL_TESTS_WITHOUT": without}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", CONTROL_PLANE_TEST, PROMETHEUS_TEST]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
