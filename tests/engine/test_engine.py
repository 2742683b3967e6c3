import asyncio
import time

import pytest
from support.driving import Measured, Told, assignment, drive, manifest, prepared, target

from squall_runner.engine import Engine
from squall_runner.load import LoadError

GET = [{"name": "a", "http": {"url": "/a"}}]


async def test_setup_runs_once_and_its_values_reach_every_iteration():
    told = Told()
    async with target() as server:
        server.answer("/admin", json={"id": "x7"})
        spec = {
            "setup": {
                "steps": [
                    {
                        "name": "make",
                        "http": {"method": "POST", "url": "/admin"},
                        "extract": {"tenant": {"jsonPath": "$.id"}},
                    }
                ]
            },
            "teardown": {"steps": [{"http": {"method": "DELETE", "url": "/admin/${tenant}"}}]},
        }
        test = manifest(server.url, [{"http": {"url": "/t/${tenant}"}}], vus=2, spec=spec)
        async with prepared(test, told) as engine:
            await engine.drive(time.monotonic_ns())
            engine.stop(0)
            await engine.teardown()
            measured = Measured().take(engine.measure(0))
    assert server.paths() == ["/admin", "/t/x7", "/t/x7", "/admin/x7"]
    assert measured.count("http_reqs") == 2
    events = [event for _, event, _ in told.notes]
    assert events == ["setup_request", "teardown_request"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"name": "make", "http": {"url": "/bad"}}], "make: .*500"),
        ([{"think": {"duration": "1h"}}], "longer than 0.2 s"),
    ],
)
async def test_a_setup_that_fails_says_why(steps, message):
    async with target() as server:
        server.answer("/bad", status=500)
        test = manifest(server.url, GET, spec={"setup": {"steps": steps, "timeout": "200ms"}})
        with pytest.raises(LoadError, match=message) as caught:
            await drive(test)
    assert caught.value.reason == "SetupFailed"


async def test_the_target_must_be_there_before_any_load():
    async with target() as server:
        url = server.url
    with pytest.raises(LoadError, match=url.removeprefix("http://")) as caught:
        await drive(manifest(url, GET))
    assert caught.value.reason == "TargetUnreachable"
    assert "running" in caught.value.hint


async def test_connectivity_is_checked_before_during_and_after_a_stop():
    told = Told()
    async with target() as server:
        spec = {"safety": {"connectivity": {"url": "/health", "interval": "100ms"}}}
        test = manifest(server.url, [{"think": {"duration": "1h"}}], spec=spec)
        async with prepared(test, told) as engine:
            assert server.paths() == ["/health"]
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            await asyncio.sleep(0.35)
            during = len(told.probes)
            assert during >= 2
            server.answer("/health", status=500)
            await asyncio.sleep(0.15)
            assert told.probes[-1][0] is False
            assert "500" in told.probes[-1][1]
            before = len(told.probes)
            engine.stop(0)
            await run
            assert len(told.probes) == before + 1
            assert Measured().take(engine.measure(0)).count("http_reqs") == 0


async def test_a_failing_connectivity_check_prevents_the_load():
    async with target() as server:
        server.answer("/health", status=503)
        spec = {"safety": {"connectivity": {"url": "/health"}}}
        with pytest.raises(LoadError, match="503"):
            await drive(manifest(server.url, GET, spec=spec))
    assert server.paths() == ["/health"]


async def test_rows_are_taken_by_iterations_that_use_them_and_their_end_is_told_once(tmp_path):
    told = Told()
    users = tmp_path / "users.csv"
    users.write_text("name\n" + "\n".join(f"u{n}" for n in range(10)) + "\n")
    spec = {
        "files": [{"name": "users.csv", "path": "users.csv"}],
        "data": [{"name": "users", "csv": "users.csv", "order": "unique"}],
    }
    async with target() as server:
        steps = [{"http": {"url": "/u/${data.users.name}"}}]
        spec["shards"] = 2
        test = manifest(server.url, steps, spec=spec, executor="constant-vus", vus=4, duration="1h")
        measured = await drive(test, told, shards=(0, 1), files={"users.csv": users})
    assert sorted(server.paths()) == [f"/u/u{n}" for n in range(10)]
    assert measured.count("iterations") == 10
    ((level, event, fields),) = told.notes
    assert (level, event) == ("warning", "DataExhausted")
    assert (fields["scenario"], fields["data"], fields["rows"]) == ("main", "users", 10)
    assert "the 10 rows of data users were used up" in fields["message"]


async def test_data_that_runs_out_can_end_the_run(tmp_path):
    told = Told()
    users = tmp_path / "users.csv"
    users.write_text("name\na\n")
    spec = {
        "files": [{"name": "users.csv", "path": "users.csv"}],
        "data": [{"name": "users", "csv": "users.csv", "whenExhausted": "fail"}],
    }
    async with target() as server:
        test = manifest(server.url, [{"http": {"url": "/${data.users.name}"}}], spec=spec, iterations=3)
        await drive(test, told, files={"users.csv": users})
    assert server.paths() == ["/a"]
    assert told.aborts[0][0] == "DataFailed"


async def test_stages_tag_what_they_measure():
    stages = [{"duration": "300ms", "target": 3}, {"name": "hold", "duration": "300ms", "target": 3}]
    async with target() as server:
        test = manifest(
            server.url,
            [*GET, {"think": {"duration": "20ms"}}],
            executor="ramping-vus",
            stages=stages,
            startVUs=1,
        )
        measured = await drive(test)
    assert measured.count("http_reqs", stage="1") > 0
    assert measured.count("http_reqs", stage="hold") > 0
    assert measured.count("http_reqs", stage="1") + measured.count(
        "http_reqs", stage="hold"
    ) == measured.count("http_reqs")
    assert measured.count("iterations", stage="hold") > 0


async def test_two_runners_carry_the_whole_together():
    async with target() as server:
        test = manifest(
            server.url,
            [{"http": {"url": "/${shard}/${vu}/${iter}"}}],
            vus=7,
            iterations=3,
            spec={"shards": 3},
        )
        first = await drive(test, shards=(0, 2))
        second = await drive(test, shards=(1,))
    assert first.count("iterations") + second.count("iterations") == 21
    assert len(set(server.paths())) == 21
    assert {path.split("/")[2] for path in server.paths()} == {str(vu) for vu in range(1, 8)}


async def test_arrivals_are_counted_against_the_plan_and_their_lag_is_kept():
    async with target() as server:
        test = manifest(
            server.url, GET, executor="constant-arrival-rate", rate=200, duration="1s", preAllocatedVUs=50
        )
        measured = await drive(test)
    assert measured.count("arrivals_planned") == 200
    assert measured.count("iterations_started") + measured.count("dropped_iterations") == 200
    lag = measured.trend("schedule_lag")
    assert lag.count == measured.count("iterations_started")
    assert measured.trend("http_req_response_time").sum == pytest.approx(
        measured.trend("http_req_total").sum + lag.sum, rel=0.5, abs=0.1
    )
    assert measured.trend("http_req_response_time").sum > measured.trend("http_req_total").sum


async def test_the_generator_watches_itself():
    async with target() as server:
        test = manifest(
            server.url,
            [*GET, {"think": {"duration": "100ms"}}],
            executor="constant-vus",
            vus=4,
            duration="500ms",
        )
        measured = await drive(test)
    assert measured.trend("loop_lag").count > 10
    assert 0 < measured.gauge("cpu_usage")[0] < 4
    assert measured.gauge("memory_resident")[0] > 1 << 24
    assert measured.gauge("open_files")[0] > 3
    assert measured.gauge("vus", scenario="main")[2] == 4
    assert measured.gauge("vus", scenario="main")[0] == 0
    assert measured.gauge("vus_max", scenario="main")[0] == 4
    assert measured.unknown(set()) == set()


async def test_snapshots_are_cumulative_and_hold_what_changed():
    async with target() as server:
        test = manifest(
            server.url,
            [*GET, {"think": {"duration": "10ms"}}],
            executor="constant-vus",
            vus=2,
            duration="400ms",
        )
        async with prepared(test, Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            await asyncio.sleep(0.2)
            first = engine.measure(0)
            await run
            second = engine.measure(1)
            third = engine.measure(2)
    early, whole = Measured().take(first), Measured().take(first).take(second)
    assert 0 < early.count("http_reqs") < whole.count("http_reqs")
    assert whole.trend("http_req_duration").count == whole.count("http_reqs")
    known = {d.id for d in first.defs}
    assert not known & {d.id for d in second.defs}
    assert [m for m, _ in (Measured().take(third).defs.values())] == []
    assert third.trends == [] or all(
        whole.defs[number][0] in {"loop_lag", "gc_pause"} for number, _ in third.trends
    )
    assert {whole.defs[gauge[0]][0] for gauge in third.gauges} >= {"vus", "cpu_usage"}


async def test_a_manifest_that_is_wrong_is_refused():
    bad = manifest("http://127.0.0.1:1", GET)
    bad["spec"]["scenarios"][0]["exector"] = "x"
    engine = Engine(assignment(bad), attempt="a", hooks=Told().hooks())
    with pytest.raises(LoadError) as caught:
        await engine.prepare()
    assert caught.value.reason == "ManifestInvalid"
    await engine.close()


async def test_secrets_do_not_reach_the_log():
    told = Told()
    async with target() as server:
        test = manifest(server.url, [{"http": {"url": "/bad/${var.key}"}}])
        test["spec"]["variables"] = [{"name": "key", "secret": {"name": "s", "key": "k"}}]
        server.answer("/bad/hunter2", status=500)
        await drive(test, told, secrets={"key": "hunter2"})
    assert server.paths() == ["/bad/hunter2"]
    assert "hunter2" not in told.messages()
    assert "/bad/${var.key} was answered" in told.messages()


async def test_a_refusing_target_does_not_freeze_the_generator():
    async with target() as server:
        test = manifest(server.url, GET, executor="constant-vus", vus=5, duration="300ms", gracefulStop="1s")
        engine = Engine(assignment(test), attempt="a", hooks=Told().hooks())
        await engine.prepare()
    await asyncio.wait_for(engine.drive(time.monotonic_ns()), 5)
    measured = Measured().take(engine.measure(0))
    await engine.close()
    failed, total = measured.rate("http_req_failed", error="connect_refused")
    assert failed == total > 5
