"""A soak is only worth its ten minutes if it sees a leak, and nothing where there is none."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from soak import ENDLESS, Samples, numbers
from support.processes import Process, free_ports
from support.summaries import summary

from squall.validation import load_one

MEGA = 1_000_000


def samples(slope: float, *, noise: float = 0.0, step: float = 0.0, minutes: float = 10) -> Samples:
    """Readings of a process that grows by `slope` MB a minute, and by `step` MB after a hundred seconds."""
    chance, found = random.Random(1), Samples()
    for second in range(round(minutes * 60)):
        grown = 100 + slope * second / 60 + chance.uniform(-noise, noise) + (step if second > 100 else 0)
        found.add(float(second), round(grown * MEGA))
    return found


@pytest.mark.parametrize(
    ("slope", "noise", "step"), [(0, 0, 0), (0, 3, 0), (0.5, 3, 0), (2, 10, 0), (0, 0.1, 20)]
)
def test_the_slope_is_that_of_the_memory_whatever_the_noise(slope: float, noise: float, step: float) -> None:
    assert samples(slope, noise=noise, step=step).slope(60) == pytest.approx(
        slope, abs=0.25 if noise > 1 else 0.05
    )


def test_what_happens_in_the_first_minute_is_no_leak() -> None:
    found = samples(0.0)
    found.resident[:60] = [10 * MEGA] * 60
    assert found.slope(60) == pytest.approx(0, abs=0.01)


def test_a_leak_in_one_process_misses_the_goal() -> None:
    flat, leaking = samples(0.0), samples(0.3)
    both = Samples(flat.at, [a + b for a, b in zip(flat.resident, leaking.resident, strict=True)])
    found = {
        number.name: number
        for number in numbers(
            {"squall run": flat, "runner 0": leaking, "all processes": both}, summary(), 600.0
        )
    }
    whole = found["soak: slope of resident memory, all processes"]
    assert (whole.holds, whole.goal) == (False, "<= 0.2")
    assert found["soak: slope of resident memory, runner 0"].value == pytest.approx(0.3, abs=0.05)
    assert found["soak: time watched"].holds


def test_the_manifest_is_valid_and_has_no_warnings() -> None:
    assert not load_one(ENDLESS / "loadtest.yaml").warnings


def test_the_target_never_says_the_same_thing_twice(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    target = Process([sys.executable, str(ENDLESS / "target.py"), str(port)], log=tmp_path / "log")

    def ask(path: str) -> tuple[int, dict[str, str], bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        target.wait_until(listens, timeout=20)
        first, second = ask("/vary/1"), ask("/vary/1")
        assert json.loads(first[2]) != json.loads(second[2])
        assert first[1]["Set-Cookie"] != second[1]["Set-Cookie"]
        assert set(first[1]) != set(second[1]), "a header of a new name"
        assert ask("/status/1")[0] != ask("/status/1")[0]
        assert ask("/fail/1")[0] == 500
        with pytest.raises(ValueError, match=r"delimiter|Unterminated"):
            json.loads(ask("/broken/1")[2])
        with pytest.raises((OSError, http.client.HTTPException)):
            ask("/cut/1")
    finally:
        target.stop()


def test_help_tells_what_it_takes() -> None:
    done = subprocess.run(
        [sys.executable, str(ENDLESS.parent / "soak.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--minutes" in done.stdout
