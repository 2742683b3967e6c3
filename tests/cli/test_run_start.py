from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from squall.cli.main import cli
from squall.errors import SquallError, UsageError


def test_no_place_for_a_temporary_file_is_said_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    result = CliRunner().invoke(cli, ["run", "examples/first-request.yaml"])
    assert isinstance(result.exception, UsageError)
    assert "no temporary file can be made" in result.exception.message
    assert "TMPDIR" in result.exception.hint


def test_a_limit_without_a_baseline_is_a_wrong_command_line() -> None:
    result = CliRunner().invoke(cli, ["run", "examples/first-request.yaml", "--max-regression", "p95=10%"])
    assert result.exit_code == 2
    assert "--baseline" in result.output


def test_without_a_kubeconfig_it_is_said_which_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    result = CliRunner().invoke(cli, ["get"])
    assert isinstance(result.exception, SquallError)
    assert f"there is no kubeconfig {tmp_path / 'config'}, and this is no pod" in result.exception.message


@pytest.mark.parametrize("option", [["--log-level", "debug"], ["--processes", "2"]])
def test_what_is_for_this_machine_is_refused_with_a_cluster(option: list[str]) -> None:
    result = CliRunner().invoke(cli, ["run", "examples/first-request.yaml", "--cluster", *option])
    assert result.exit_code == 2
    assert "--log-level are for this machine" in result.output


def test_ctrl_c_ends_a_run_that_is_still_reading_its_manifest(tmp_path: Path) -> None:
    pipe = tmp_path / "loadtest.yaml"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "squall.cli.main", "run", str(pipe)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with (
        process,
        pipe.open("wb"),
    ):  # it is open when the command has opened the other end, and waits for a text
        process.send_signal(signal.SIGINT)
        try:
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 105
    assert b"Traceback" not in output
