"""What a machine tells of itself, read from files as different kernels and containers have them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squall_runner.engine import machine
from squall_runner.engine.machine import Cgroup


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


POD = "sys/fs/cgroup/kubepods/pod1"
V1 = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "cores", "throttled"),
    [
        ({}, float("inf"), 0.0),
        ({"proc/self/cgroup": "0::/\n"}, float("inf"), 0.0),
        # Version 2: a container that sees only its own group.
        (
            {
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 2\nthrottled_usec 1500000\n",
                "sys/fs/cgroup/cpu.max": "50000 100000\n",
            },
            0.5,
            1.5,
        ),
        # The limit is on the pod, and it is the pod that is throttled.
        (
            {
                "proc/self/cgroup": "0::/kubepods/pod1/c1\n",
                f"{POD}/c1/cpu.stat": "usage_usec 5\nthrottled_usec 0\n",
                f"{POD}/c1/cpu.max": "max 100000\n",
                f"{POD}/cpu.stat": "usage_usec 9\nthrottled_usec 250000\n",
                f"{POD}/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/cpu.stat": "usage_usec 9999\n",
            },
            2.0,
            0.25,
        ),
        # The root is that of the host, and has a limit of nobody's.
        (
            {
                "proc/self/cgroup": "0::/mine\n",
                "sys/fs/cgroup/cpu.stat": "throttled_usec 7000000\n",
                "sys/fs/cgroup/mine/cpu.stat": "throttled_usec 8000000\n",
                "sys/fs/cgroup/mine/cpu.max": "broken\n",
            },
            float("inf"),
            8.0,
        ),
        # Version 1, with the path of the host, of which the container sees nothing.
        (
            {
                "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n",
                f"{V1}/cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 2500000000\n",
                f"{V1}/cpu.cfs_quota_us": "150000\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            1.5,
            2.5,
        ),
        # Both versions side by side: the CPU is the older one's.
        (
            {
                "proc/self/cgroup": "2:cpuacct:/\n1:cpu:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.stat": "nr_throttled 0\nthrottled_time 0\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/unified/cpu.stat": "throttled_usec 9000000\n",
            },
            float("inf"),
            0.0,
        ),
    ],
)
def test_limits_of_the_cpu_are_found_where_they_are(
    tmp_path: Path, files: dict[str, str], cores: float, throttled: float
) -> None:
    group = Cgroup.own(put(tmp_path, files))
    assert (group.cores(), group.throttled()) == (cores, throttled)
    assert machine.allowed_cores(group) == min(cores, len(os.sched_getaffinity(0)))


def test_only_the_cores_that_may_be_used_count(tmp_path: Path) -> None:
    own = sorted(os.sched_getaffinity(0))
    stranger = max(own) + 1
    lines = [f"cpu{core} 100 0 100 700 100 0 0 0 50 0" for core in own]
    text = "\n".join(["cpu  9 9 9 9 9 9 9 9 9 9", *lines, f"cpu{stranger} 9000 0 0 0 0 0 0 0 0 0", "intr 1"])
    found = machine.busy_seconds(put(tmp_path, {"proc/stat": text}))
    assert found is not None
    worked, there = found
    ticks = os.sysconf("SC_CLK_TCK")
    assert (worked, there) == pytest.approx((200 * len(own) / ticks, 1000 * len(own) / ticks))


def test_ports_and_waiting_are_read(tmp_path: Path) -> None:
    root = put(
        tmp_path,
        {
            "proc/sys/net/ipv4/ip_local_port_range": "1024\t65535\n",
            "proc/net/sockstat": "sockets: used 9\nTCP: inuse 5 orphan 0 tw 321 alloc 7 mem 1\nUDP: inuse 1\n",
            "proc/self/schedstat": "5000000000 2500000000 17\n",
        },
    )
    assert machine.local_ports(root) == 64_512
    assert machine.closing_ports(root) == 321
    assert machine.waited_seconds(root) == 2.5


def test_a_machine_that_tells_nothing_is_taken_for_an_ordinary_one(tmp_path: Path) -> None:
    assert machine.local_ports(tmp_path) == 28_232
    assert machine.closing_ports(tmp_path) == 0
    assert machine.waited_seconds(tmp_path) == 0.0
    assert machine.busy_seconds(tmp_path) is None
    assert machine.resident_bytes(tmp_path) > 1000


def test_this_machine_tells_what_is_asked() -> None:
    assert machine.resident_bytes() > 1_000_000
    assert machine.open_files() >= 3
    limit = machine.file_limit()
    assert limit is None or limit > machine.open_files()
    assert machine.local_ports() > 100
    assert machine.Cgroup.own().throttled() >= 0
