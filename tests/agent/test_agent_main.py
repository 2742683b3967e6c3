"""The runner's command: what it is given, and what it exits with when that is of no use."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from support.agents import environment
from support.fakerunner import manifest

from squall.hub.protocol import Assignment


def command(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "squall_runner", *arguments],
        input=given,
        capture_output=True,
        env=environment(),
        timeout=60,
        check=False,
    )


def assignment(**parts) -> bytes:
    made = {
        "run": "r",
        "hub": "http://127.0.0.1:1",
        "token": "t",
        "runner": 0,
        "shards": (0,),
        "manifest": manifest(safety={"lostControl": "1s"}),
        "variables": {},
        "secrets": {},
        "files": {},
    }
    return msgspec.json.encode(Assignment(**(made | parts))) + b"\n"


def test_without_an_assignment_there_is_nothing_to_do():
    assert command().returncode == 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"nonsense\n", "malformed"),
        (b'{"run": 1}\n', "run"),
        (assignment(manifest={}), "LoadTest"),
        (b"x" * (5 * 1024 * 1024), "longer than"),
    ],
)
def test_an_assignment_that_is_none_is_said(given, why):
    ended = command(given=given)
    assert ended.returncode == 104
    assert why in ended.stderr.decode()
    assert b"Traceback" not in ended.stderr


def test_an_assignment_may_be_a_file_and_a_hub_that_never_answers_ends_the_runner(tmp_path):
    path = tmp_path / "assignment.json"
    path.write_bytes(assignment())
    assert command("--assignment", str(path)).returncode == 70


def test_a_runner_that_is_let_go_before_its_load_has_nothing_to_say():
    patient = manifest(safety={"lostControl": "60s"})
    ended = command(given=assignment(manifest=patient, exit_with_parent=True))
    assert (ended.returncode, ended.stderr) == (70, b"")


def test_a_file_that_is_not_there_is_said(tmp_path):
    ended = command("--assignment", str(tmp_path / "nowhere"))
    assert ended.returncode == 104
    assert b"nowhere" in ended.stderr


def test_a_runner_loads_no_more_than_it_needs():
    """Each of these takes a tenth of a second of CPU or more, of every runner of a run."""
    script = (
        "import sys, squall_runner.__main__, squall_runner.engine, squall_runner.pod;"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, check=True
    )
    names = set(loaded.stdout.decode().split())
    assert {"squall", "squall_runner", "numpy", "uvloop"} <= names
    assert not names & {"pydantic", "aiohttp", "yaml", "rich", "click", "faker", "jsonpath", "google", "web3"}
