"""What this machine allows is known before the load, and what to change is computed."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest
from support.driving import Told, manifest, prepared, target

from squall.plan.compile import compile_plan
from squall.spec.loadtest import LoadTestSpec
from squall_runner.engine import limits, machine
from squall_runner.engine.examples import Examples
from squall_runner.engine.limits import Needs, make_room, needs_of, raise_file_limit
from squall_runner.http import parse_url
from squall_runner.load import LoadError
from squall_runner.steps.context import Target

ASK = {"http": {"url": "/"}}
ELSEWHERE = {"http": {"url": "http://other/"}}
THINK = {"think": {"duration": "1s"}}


def spec_of(*scenarios: dict[str, Any], shards: int = 1, **http: Any) -> LoadTestSpec:
    fields = [{"name": f"s{number}", "steps": [ASK], **each} for number, each in enumerate(scenarios)]
    if http.get("balancing"):
        http["baseUrls"] = ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    return LoadTestSpec.model_validate({"scenarios": fields, "shards": shards, "http": http})


def targets(*urls: str) -> list[Target]:
    return [Target(parse_url(url)[0], "") for url in urls or ("http://127.0.0.1:8080",)]


def needs(
    *scenarios: dict[str, Any], shards: int = 1, mine: tuple[int, ...] | None = None, **http: Any
) -> Needs:
    spec = spec_of(*scenarios, shards=shards, **http)
    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2") if http.get("balancing") else ()
    return needs_of(spec, compile_plan(spec), range(shards) if mine is None else mine, targets(*urls))


def constant(vus: int, **more: Any) -> dict[str, Any]:
    return {"executor": "constant-vus", "vus": vus, "duration": "10s", **more}


def arrivals(rate: int, **more: Any) -> dict[str, Any]:
    return {"executor": "constant-arrival-rate", "rate": rate, "duration": "10s", "maxVUs": 500, **more}


RAMP = {
    "executor": "ramping-vus",
    "startVUs": 0,
    "stages": [{"duration": "5s", "target": 400}, {"duration": "5s", "target": 0}],
}


@pytest.mark.parametrize(
    ("found", "certain", "possible", "to_one", "closing"),
    [
        (needs(constant(100)), 100, 100, 100, 0),
        (needs(constant(100, steps=[THINK])), 0, 100, 0, 0),
        (needs(constant(100, steps=[ELSEWHERE])), 100, 100, 0, 0),
        (needs(constant(100, steps=[{"group": {"steps": [ASK]}}])), 100, 100, 100, 0),
        (needs(constant(100, steps=[{"if": {"condition": "true", "then": [ASK]}}])), 0, 100, 0, 0),
        (needs(RAMP), 400, 400, 400, 0),
        # Beside each other, and one after the other.
        (needs(constant(100), RAMP), 500, 500, 500, 0),
        (needs(constant(100), constant(70, startTime="10s")), 100, 170, 100, 0),
        (needs({"executor": "shared-iterations", "vus": 50, "iterations": 20}), 20, 50, 20, 0),
        (needs({"executor": "per-vu-iterations", "vus": 50, "iterations": 2}), 50, 50, 50, 0),
        # A shard has its part, exactly.
        (needs(constant(100), shards=3, mine=(0,)), 34, 34, 34, 0),
        (needs(constant(100), shards=3, mine=(1, 2)), 66, 66, 66, 0),
        (needs(constant(100), shards=3, sharedConnections=10, mine=(1, 2)), 6, 6, 6, 0),
        (needs(constant(100), shards=3, sharedConnections=1), 3, 3, 3, 0),
        # An open model needs what it happens to need.
        (needs(arrivals(200)), 0, 500, 0, 0),
        (needs(arrivals(200), keepAlive=False), 0, 500, 0, 12_000),
        (needs(arrivals(200, steps=[ASK, ASK]), keepAlive=False), 0, 500, 0, 24_000),
        (needs(arrivals(200, steps=[ASK, ASK]), resetBetweenIterations=True), 0, 500, 0, 12_000),
        (needs(arrivals(200), shards=4, mine=(1,), keepAlive=False), 0, 125, 0, 3_000),
        (needs(constant(100), keepAlive=False), 0, 100, 0, 0),
        # With several base URLs a VU keeps to one, or has a connection to each.
        (needs(constant(101), balancing="per-vu"), 101, 101, 51, 0),
        (needs(constant(101), balancing="round-robin"), 101, 101, 101, 0),
    ],
)  # fmt: skip
def test_what_a_plan_takes(found: Needs, certain: int, possible: int, to_one: int, closing: int) -> None:
    assert found == Needs(certain, possible, to_one, closing)


def room(
    monkeypatch: pytest.MonkeyPatch,
    spec: LoadTestSpec,
    *,
    files: int | None = None,
    ports: int = 28_000,
    shards: tuple[int, ...] = (0,),
    alone: bool = True,
    url: str = "http://127.0.0.1:8080",
) -> list[tuple[str, str]]:
    """What is told of a plan on a machine that allows so much; the message and the hint of each note."""
    monkeypatch.setattr(limits, "raise_file_limit", lambda _: files)
    monkeypatch.setattr(machine, "local_ports", lambda: ports)
    notes: list[tuple[str, str]] = []

    def note(level: str, event: str, **fields: str) -> None:
        assert (level, event) in {("warning", "TooFewFiles"), ("warning", "TooFewPorts")}
        notes.append((fields["message"], fields["hint"]))

    make_room(spec, compile_plan(spec), targets(url), shards, alone=alone, note=note)
    return notes


def test_a_plan_that_fits_is_not_talked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert room(monkeypatch, spec_of(constant(1000)), files=1000, ports=1000) == []
    assert room(monkeypatch, spec_of(constant(1000)), files=None, ports=1000) == []
    assert room(monkeypatch, spec_of(arrivals(10), keepAlive=False), files=500, ports=600) == []


def test_connections_that_certainly_do_not_fit_are_refused_with_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LoadError) as caught:
        room(monkeypatch, spec_of(constant(20_000), shards=2), files=4000, shards=(0,))
    assert caught.value.reason == "TooFewFiles"
    assert "10000 VUs of this runner" in caught.value.message
    assert "4064 files" in caught.value.message
    for advice in ("ulimit -n 11000", "shards: 2 -> 5", "sharedConnections: 8000"):
        assert advice in caught.value.hint


@pytest.mark.parametrize(
    ("plan_shards", "carried", "more"),
    [
        (1, 1, "`--processes 3` together with shards: 1 -> 3"),
        (2, 1, "`--processes 3` together with shards: 2 -> 3"),
        (8, 4, "(`--processes 4`)"),  # with three one would carry 3 of 8
        (9, 5, "(`--processes 3`)"),
    ],
)
def test_on_one_machine_more_processes_are_named_once_and_for_all(
    monkeypatch: pytest.MonkeyPatch, plan_shards: int, carried: int, more: str
) -> None:
    spec = spec_of(constant(900), shards=plan_shards)
    with pytest.raises(LoadError) as caught:
        room(monkeypatch, spec, files=300, shards=tuple(range(carried)), alone=False)
    assert more in caught.value.hint


def test_a_limit_below_what_the_process_needs_itself_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ((message, hint),) = room(monkeypatch, spec_of(arrivals(10)), files=40 - limits.SPARE_FILES)
    assert "may need 564 open files, and this process is allowed 40" in message
    assert hint == "allow it more (`ulimit -n 1000`)"


def test_connections_that_may_not_fit_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    ((message, hint),) = room(monkeypatch, spec_of(arrivals(10)), files=300)
    assert "may need 564 open files" in message
    assert "allowed 364" in message
    assert "shards: 1 -> 2" in hint


def test_ports_of_one_address_are_counted_for_all_runners_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of(constant(40_000), shards=4)
    assert room(monkeypatch, spec, shards=(0,), alone=True) == []
    with pytest.raises(LoadError) as caught:
        room(monkeypatch, spec, shards=(0,), alone=False)
    assert caught.value.reason == "TooFewPorts"
    assert "40000 VUs" in caught.value.message
    assert "28000 local ports" in caught.value.message
    assert "sharedConnections: 28000" in caught.value.hint
    assert "shards" not in caught.value.hint, "more shards on the same machine have the same ports"


def test_a_pod_has_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadError) as caught:
        room(monkeypatch, spec_of(constant(80_000), shards=2), shards=(0,), alone=True)
    assert "shards: 2 -> 3" in caught.value.hint
    assert "sharedConnections: 56000" in caught.value.hint


def test_a_name_may_have_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(constant(40_000))
    ((message, _),) = room(monkeypatch, spec, url="http://shop.example")
    assert "40000 VUs keep a connection each to one address" in message
    with pytest.raises(LoadError):
        room(monkeypatch, spec, url="http://[::1]:8080")


def test_connections_that_are_closed_after_use_keep_their_port_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ((message, hint),) = room(monkeypatch, spec_of(arrivals(1000), keepAlive=False))
    assert "may be 60000 at a time" in message
    assert "keep connections (http.keepAlive" in hint
    assert "shards: 1 -> 3" in hint


# -- the real limit -----------------------------------------------------------------------------------------------


@pytest.fixture
def low_limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_to_what_the_plan_needs(low_limit: int) -> None:
    assert raise_file_limit(500) == 500
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 564


def test_the_limit_is_raised_as_far_as_it_goes(low_limit: int) -> None:
    assert raise_file_limit(low_limit + 1) == low_limit - limits.SPARE_FILES
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == low_limit


def test_a_limit_that_suffices_stays(low_limit: int) -> None:
    assert raise_file_limit(10) == 256 - limits.SPARE_FILES
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256


async def test_an_engine_refuses_a_plan_for_which_the_machine_has_no_room(low_limit: int) -> None:
    async with target() as server:
        test = manifest(server.url, [ASK], executor="constant-vus", vus=low_limit + 1, duration="1s")
        with pytest.raises(LoadError, match="files open") as caught:
            async with prepared(test, Told()):
                pass
    assert caught.value.reason == "TooFewFiles"
    assert server.seen == []


def test_examples_are_bounded_however_many_failures_there_are() -> None:
    notes: list[Any] = []
    examples = Examples(lambda level, event, **fields: notes.append(fields), str.upper)
    for number in range(5000):
        examples.keep("timeout", "s", "step", f"message {number}")
        examples.keep("reset", "s", f"step {number}", "x" * 5000, "hint")
        examples.log("s", "step", f"text {number}", {"n": number})
    assert len(notes) == 1000
    assert [fields for fields in notes if fields.get("error") == "timeout"] == [
        {"error": "timeout", "scenario": "s", "step": "step", "message": "MESSAGE 0"}
    ]
    assert max(len(fields["message"]) for fields in notes) == 500
