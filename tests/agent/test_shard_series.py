"""The series that a runner pushes of its own shards."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from support.fakerunner import Numbers, manifest
from support.receiver import Played, serving

from squall.export.wire import read
from squall.hub.protocol import Assignment
from squall.spec.received import received
from squall_runner.pushing import ShardPushing

SECOND = 1_000_000_000


def pushing(url: str, said: list[Any], **parts: Any) -> ShardPushing:
    made = manifest(
        shards=3,
        outputs={"prometheus": {"remoteWriteUrl": url, "perShard": True, "auth": {"bearer": "${var.t}"}}},
    )
    test = received(made)
    given = Assignment(
        run="r1",
        hub="",
        token="",
        runner=0,
        shards=(0, 2),
        manifest=made,
        variables={},
        secrets={"t": "s3cret"},
        files={},
        **parts,
    )
    assert test.spec.outputs is not None
    assert test.spec.outputs.prometheus is not None
    return ShardPushing(
        test.spec.outputs.prometheus,
        test,
        given,
        clock=time.monotonic_ns,
        note=lambda level, event, *, message: said.append((level, event, message)),
    )


def samples(played: Played, name: str) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
    found = []
    for data in played.taken:
        for series in read(data).timeseries:
            labels = {label.name: label.value for label in series.labels}
            if labels.pop("__name__") == name:
                found.append((labels, [(each.timestamp, each.value) for each in series.samples]))
    return found


async def test_names_and_labels_tell_them_from_the_fleet_s() -> None:
    said: list[Any] = []
    async with serving() as played:
        made, numbers = pushing(played.url, said), Numbers(0, "a")
        start = time.monotonic_ns() - 2 * SECOND
        made.start(start + 2 * SECOND)
        made._start_ns -= 2 * SECOND  # two seconds have passed
        for slot in range(2):
            made.measured(numbers.slot(slot))
            await asyncio.sleep(0.05)
        await made.finish()
        found = samples(played, "squall_shard_http_reqs_total")
        assert not samples(played, "squall_http_reqs_total")
        assert samples(played, "squall_remote_write_samples_sent_total")[0][0]["shard"] == "0,2"
    labels, _ = found[0]
    assert labels == {"loadtest": "test", "run": "r1", "shard": "0,2", "scenario": "s"}
    assert found[-2][1][-1][1] == 20
    assert played.requests[0].headers["Authorization"] == "Bearer s3cret"
    assert not said


async def test_a_runner_that_takes_another_s_place_begins_its_series_now() -> None:
    async with serving() as played:
        made, numbers = pushing(played.url, []), Numbers(0, "b")
        began = time.time() * 1000
        made.start(time.monotonic_ns() - 30 * SECOND)
        made.measured(numbers.slot(30))
        await made.finish()
    (_, zero), (_, first), *_ = samples(played, "squall_shard_http_reqs_total")
    assert zero[0][1] == 0
    assert zero[0][0] >= began - 50
    assert first[0][0] > zero[0][0]


async def test_a_policy_holds_for_runners() -> None:
    said: list[Any] = []
    async with serving() as played:
        made = pushing(played.url, said, allowed_hosts=(("10.0.0.0/8",),))
        made.start(time.monotonic_ns())
        made.measured(Numbers(0, "a").slot(0))
        await made.finish()
        assert not played.requests
    assert [event for _, event, _ in said] == ["RemoteWriteFails", "RemoteWriteLost"]
    assert "policy" in said[0][2]
