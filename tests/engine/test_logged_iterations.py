"""Iterations in a runner's log: a sample as a whole, what fails besides, never more than allowed, and nothing secret."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections import Counter
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from support.driving import Told, assignment, manifest, target

from squall.logs import events
from squall.logs.choices import Level
from squall.logs.log import Log
from squall_runner.engine import Engine
from squall_runner.engine.sampling import Sample

Lines = list[dict[str, Any]]
PAIR = [
    {"name": "a", "http": {"url": "/a"}, "checks": {"right": "status == 200", "wrong": "status == 1"}},
    {"name": "b", "http": {"url": "/b"}},
]


def logging(**iterations: Any) -> dict[str, Any]:
    return {"outputs": {"logs": {"iterations": {"maxPerSecond": 100_000, **iterations}}}}


async def logged(
    folder: Path, test: dict[str, Any], told: Told | None = None, level: Level = "info", **given: Any
) -> Lines:
    """Drive a test to its end; returns what was logged, in order."""
    path = folder / "log"
    with closing(Log(path, "runner", level=level)) as log:
        hooks = replace((told or Told()).hooks(), lines=log.lines)
        engine = Engine(assignment(test, **given), attempt="a1", hooks=hooks)
        try:
            await engine.prepare()
            engine.use_setup(await engine.setup())
            await engine.drive(time.monotonic_ns())
            await engine.teardown()
            engine.measure(0)
        finally:
            await engine.close()
    lines: Lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        known = events.CATALOGUE[line["event"]]
        fields = {name for name in line if not (known.more and name.startswith(known.more))}
        assert fields == {*known.fields, "timestamp", "level", "event", "process"}, line
    return lines


def named(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]


async def test_the_sample_is_what_the_seed_says_and_each_iteration_is_whole(tmp_path):
    async with target() as server:
        test = manifest(server.url, PAIR, vus=4, iterations=50, spec=logging(sample="20%", failures=False))
        lines = await logged(tmp_path, test)
    assert len(server.seen) == 400
    sample = Sample("run-1", Fraction(1, 5))
    expected = {(vu, number) for vu in range(1, 5) for number in range(50) if sample.holds(vu, number)}
    assert 20 < len(expected) < 60
    for event, times in (("flow_start", 1), ("request", 2), ("flow_complete", 1)):
        found = Counter((line["vu"], line["iteration"]) for line in named(lines, event))
        assert found == dict.fromkeys(expected, times), event


async def test_a_line_tells_what_was_measured(tmp_path):
    async with target() as server:
        test = manifest(server.url, PAIR, spec=logging(sample="100%"), iterations=1)
        begin, first, second, end = await logged(tmp_path, test)
    assert (begin["event"], end["event"]) == ("flow_start", "flow_complete")
    assert (first["step"], first["method"], first["url"]) == ("a", "GET", f"{server.url}/a")
    assert (first["status"], first["error"], first["level"], first["reused"]) == (200, "", "info", False)
    assert (second["step"], second["reused"], second["connecting"]) == ("b", True, 0)
    assert first["size"] == 2
    assert 0 < first["waiting"] <= first["duration"] <= first["total"] <= end["duration"]
    assert end["outcome"] == "completed"
    assert (end["failed_checks"], end["failed_steps"], end["failed_step"]) == (1, 0, "")


async def test_what_fails_is_logged_besides_the_sample(tmp_path):
    async with target() as server:
        server.answer("/b", status=503)
        test = manifest(server.url, PAIR, vus=2, iterations=3, spec=logging(sample="0%"))
        lines = await logged(tmp_path, test)
    requests, ends = named(lines, "request"), named(lines, "flow_complete")
    assert len(lines) == 12
    assert {(line["step"], line["status"], line["error"], line["level"]) for line in requests} == {
        ("b", 503, "http_5xx", "warning")
    }
    assert {(line["outcome"], line["failed_step"], line["error"]) for line in ends} == {
        ("failed", "b", "http_5xx")
    }


async def test_a_failure_that_the_iteration_survives_is_told_at_its_end(tmp_path):
    steps = [{**PAIR[1], "onError": "continue"}, PAIR[0]]
    async with target() as server:
        server.answer("/b", status=404)
        lines = await logged(tmp_path, manifest(server.url, steps, spec=logging(sample="100%")))
    (end,) = named(lines, "flow_complete")
    assert (end["outcome"], end["failed_steps"], end["failed_step"]) == ("completed", 1, "b")


async def test_branches_belong_to_their_iteration(tmp_path):
    steps = [{"parallel": {"branches": [{"steps": [step]} for step in PAIR]}}]
    async with target() as server:
        lines = await logged(tmp_path, manifest(server.url, steps, spec=logging(sample="100%")))
    assert sorted(line["step"] for line in named(lines, "request")) == ["a", "b"]
    assert len({(line["vu"], line["iteration"]) for line in lines}) == 1


async def test_iterations_alone(tmp_path):
    async with target() as server:
        test = manifest(server.url, PAIR, spec=logging(sample="100%", requests=False), iterations=2)
        lines = await logged(tmp_path, test)
    assert [line["event"] for line in lines] == ["flow_start", "flow_complete"] * 2


async def test_with_a_higher_level_only_failures_are_left(tmp_path):
    async with target() as server:
        server.answer("/b", status=500)
        test = manifest(server.url, PAIR, spec=logging(sample="100%"))
        lines = await logged(tmp_path, test, level="warning")
    assert [(line["event"], line["level"]) for line in lines] == [
        ("request", "warning"),
        ("flow_complete", "warning"),
    ]


@pytest.mark.parametrize("sample", ["100%", "0%"])
async def test_a_second_has_no_more_lines_than_allowed_and_says_what_is_missing(tmp_path, sample):
    async with target() as server:
        server.answer("/b", status=500)
        spec = logging(sample=sample, maxPerSecond=20) | {"shards": 2}
        test = manifest(server.url, PAIR, vus=2, iterations=40, spec=spec)
        lines = await logged(tmp_path, test, shards=(0,))
    (missing,) = named(lines, "log_lines_left_out")
    assert missing["max_per_second"] == 10
    assert lines.index(missing) == 10
    # 40 iterations of the one VU: all of them begin, or fail with a request and an end.
    assert missing["lines"] > 0
    if sample == "0%":
        assert missing["lines"] == 40 * 2 - 10


async def test_failures_leave_room_for_the_sample(tmp_path):
    async with target() as server:
        server.answer("/b", status=500)
        spec = logging(sample="10%", maxPerSecond=40)
        lines = await logged(tmp_path, manifest(server.url, PAIR, iterations=200, spec=spec))
    assert named(lines, "flow_start")
    assert any(line["step"] == "a" for line in named(lines, "request"))


async def test_nothing_is_logged_that_nobody_asked_for(tmp_path):
    async with target() as server:
        assert await logged(tmp_path, manifest(server.url, PAIR)) == []
        told = Told()
        engine = Engine(
            assignment(manifest(server.url, PAIR, spec=logging(sample="100%"))),
            attempt="a",
            hooks=told.hooks(),
        )
        try:
            await engine.prepare()
            await engine.drive(time.monotonic_ns())  # a process without a log drives the same load
        finally:
            await engine.close()
    assert len(server.seen) == 4


PASSWORD = 'hunter2/"correct" höhe&'
TOKEN = "tok-9f8e7d6c5b4a+/="
SESSION = "sess-0123456789abcdef"
URLS = [
    "/q?p=${var.password}&t=${token}",
    "/path/${token}/${var.password}",
    "/derived/${base64(token)}?sig=${sha256(token)}&api_key=in-the-manifest",
    "${next}",
    "/status/${var.status}?postcode=${data.users.pin}",
]


async def test_no_line_of_a_run_holds_a_secret(tmp_path):
    """Not even where everything fails, a Python function chooses the URL, and the target gives back what it is sent."""
    users, steps = tmp_path / "users.csv", tmp_path / "steps.py"
    users.write_text("name,pin\nann,pin-2468013579\n")
    steps.write_text(
        "async def ask(vu, password, token):\n"
        "    await vu.http('GET', f'/python/{token}?p={password}')\n"
        "    vu.log('asked', token='none')\n"
    )
    basic = {"basic": {"username": "me", "password": "${var.password}"}}
    login = {
        "name": "login",
        "http": {"method": "POST", "url": "/login", "auth": basic, "json": {"p": "${var.password}"}},
        "extract": {"token": {"jsonPath": "$.token"}, "next": {"jsonPath": "$.next"}},
    }
    sent = [
        {
            "name": f"s{number}",
            "http": {
                "url": url,
                "query": {"again": "${token}"},
                "headers": {"Authorization": "Bearer ${token}", "Cookie": "s=${token}"},
                "expectStatus": [status],
            },
            "onError": "continue",
        }
        for number, url in enumerate(URLS)
        for status in ("200", "500")
    ]
    python = {
        "name": "py",
        "python": {
            "file": "steps.py",
            "function": "ask",
            "args": {"password": "${var.password}", "token": "${token}"},
        },
    }
    poll = {
        "name": "job",
        "poll": {"http": {"url": "/job/${token}"}, "until": "true", "interval": "10ms", "deadline": "1s"},
    }
    spec = logging(sample="100%") | {
        "setup": {"steps": [login]},
        "teardown": {"steps": [{"name": "out", "http": {"url": "/out/${token}?t=${token}"}}]},
        "files": [{"name": "users.csv", "path": "users.csv"}, {"name": "steps.py", "path": "steps.py"}],
        "data": [{"name": "users", "csv": "users.csv"}],
    }
    told = Told()
    async with target() as server:
        away = f"{server.url}/away/{quote(TOKEN)}?s={SESSION}"

        async def give_back(request: web.Request) -> web.Response:
            headers = {"Set-Cookie": f"session={SESSION}", "X-Seen": quote(str(request.headers))}
            return web.json_response({"token": TOKEN, "next": away}, headers=headers)

        server.answers["/login"] = give_back
        server.answers_all = {"token": TOKEN, "echo": PASSWORD}
        test = manifest(server.url, [login, *sent, python, poll], spec=spec, iterations=2)
        lines = await logged(
            tmp_path,
            test,
            told,
            files={"users.csv": users, "steps.py": steps},
            secrets={"password": PASSWORD},
            variables={"status": "open"},
        )
    assert len(named(lines, "request")) == 2 * (1 + len(sent) + 1 + 1)
    said = json.dumps([*lines, *told.notes], ensure_ascii=False, default=str)
    forms = [form for secret in (PASSWORD, TOKEN, SESSION, "pin-2468013579") for form in written(secret)]
    assert [form for form in forms if form in said] == []
    urls = {line["step"]: line["url"].removeprefix(server.url) for line in named(lines, "request")}
    assert urls["login"] == "/login"
    assert urls["s2"] == "/derived/${base64(token)}?sig=***&api_key=***&again=${token}"
    assert urls["s4"] == "/status/open?postcode=***&again=${token}"
    assert (urls["py"], urls["job"]) == ("", "/job/${token}")


def written(secret: str) -> list[str]:
    """A secret as it is, and as URLs, JSON and base64 write it."""
    inner = b64encode(f"me:{secret}".encode()).decode()
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        b64encode(secret.encode()).decode(),
        inner[4:-4],
    ]
