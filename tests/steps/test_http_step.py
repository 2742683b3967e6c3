import base64
import json

import pytest
from aiohttp import web
from support.driving import Told, drive, drive_steps, manifest, target

from squall_runner.load import LoadError
from squall_runner.steps.context import MAX_STATUSES


async def test_a_request_is_sent_and_measured():
    async with target() as server:
        steps = [{"name": "get it", "http": {"url": "/things?a=1", "query": {"q": "x y", "vu": "${vu}"}}}]
        measured = await drive_steps(server, steps)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/things?a=1&q=x+y&vu=1")
    tags = {"scenario": "main", "step": "get it", "method": "GET", "status": "200"}
    assert measured.count("http_reqs", **tags) == 1
    assert measured.rate("http_req_failed", **tags) == (0, 1)
    for metric in (
        "http_req_total",
        "http_req_response_time",
        "http_req_duration",
        "http_req_waiting",
        "http_req_blocked",
    ):
        assert measured.trend(metric, **tags).count == 1, metric
    assert measured.trend("http_req_blocked").max >= measured.trend("http_req_connecting").max > 0
    assert measured.trend("http_req_total").max >= measured.trend("http_req_duration").max
    assert measured.count("data_received") > 50
    assert measured.count("http_connections") == 1
    assert measured.unknown(set()) == set()


async def test_bodies_of_all_kinds(tmp_path):
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG" + bytes(200_000))
    steps = [
        {
            "http": {
                "method": "POST",
                "url": "/json",
                "json": {"n": "${iter}", "who": "vu ${vu}", "list": [1, True, None]},
            }
        },
        {"http": {"method": "POST", "url": "/form", "form": {"a b": "${vu}&", "c": "d"}}},
        {
            "http": {
                "method": "POST",
                "url": "/raw",
                "raw": "hello ${vu}",
                "headers": {"Content-Type": "text/x"},
            }
        },
        {"http": {"method": "PUT", "url": "/file", "file": "cat.png"}},
        {
            "http": {
                "method": "POST",
                "url": "/multi",
                "multipart": [
                    {"name": "title", "value": "T${vu}"},
                    {
                        "name": "image",
                        "file": "cat.png",
                        "filename": "a ${vu}.png",
                        "contentType": "image/png",
                    },
                ],
            }
        },
    ]
    spec = {"files": [{"name": "cat.png", "path": "cat.png"}]}
    async with target() as server:
        await drive_steps(server, steps, spec=spec, given={"files": {"cat.png": picture}})
    by_path = {seen.path: seen for seen in server.seen}
    assert json.loads(by_path["/json"].body) == {"n": 0, "who": "vu 1", "list": [1, True, None]}
    assert by_path["/json"].headers["Content-Type"] == "application/json"
    assert by_path["/form"].body == b"a+b=1%26&c=d"
    assert (by_path["/raw"].body, by_path["/raw"].headers["Content-Type"]) == (b"hello 1", "text/x")
    assert by_path["/file"].body == picture.read_bytes()
    multi = by_path["/multi"]
    assert multi.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'filename="a 1.png"' in multi.body
    assert picture.read_bytes() in multi.body
    assert b"T1" in multi.body


async def test_headers_and_authentication():
    steps = [
        {"http": {"url": "/a", "headers": {"x-from": "step ${vu}", "X-Other": "1"}}},
        {"http": {"url": "/b", "auth": {"basic": {"username": "me", "password": "${var.password}"}}}},
        {"set": {"token": "t-${vu}"}},
        {"http": {"url": "/c", "auth": {"bearer": "${token}"}}},
    ]
    async with target() as server:
        test = manifest(server.url, steps)
        test["spec"]["http"]["headers"] = {"X-From": "default", "X-Always": "${var.region}"}
        test["spec"]["variables"] = [{"name": "password", "secret": {"name": "s", "key": "k"}}]
        await drive(test, variables={"region": "eu"}, secrets={"password": "hunter2"})
    a, b, c = (seen.headers for seen in server.seen)
    assert (a["x-from"], a["X-Other"], a["X-Always"]) == ("step 1", "1", "eu")
    assert b["X-From"] == "default"
    assert base64.b64decode(b["Authorization"].removeprefix("Basic ")) == b"me:hunter2"
    assert c["Authorization"] == "Bearer t-1"


async def test_a_value_cannot_add_header_lines():
    told = Told()
    steps = [{"set": {"bad": "x\r\nX-Evil: 1"}}, {"http": {"url": "/a", "headers": {"X-A": "${bad}"}}}]
    async with target() as server:
        measured = await drive_steps(server, steps, told)
    assert server.seen == []
    assert measured.count("iterations_failed") == 1
    assert "line break" in told.messages()


async def test_base_urls_with_a_path_and_absolute_urls():
    async with target() as server, target() as other:
        test = manifest(
            f"{server.url}/api/",
            [
                {"http": {"url": "/x"}},
                {"http": {"url": "y/${vu}"}},
                {"http": {"url": f"{other.url}/z/${{iter}}"}},
            ],
        )
        await drive(test)
    assert server.paths() == ["/api/x", "/api/y/1"]
    assert other.paths() == ["/z/0"]


async def test_a_host_known_only_at_run_time():
    async with target() as server:
        steps = [{"set": {"where": server.url}}, {"http": {"url": "${where}/late", "query": {"a": "1"}}}]
        await drive_steps(server, steps)
    assert server.paths() == ["/late?a=1"]


@pytest.mark.parametrize("kind", ["http", "python"])
@pytest.mark.parametrize("balancing", ["round-robin", "random", "per-vu"])
async def test_several_base_urls_share_the_load(balancing, kind):
    async with target() as one, target() as two:
        step = {
            "http": {"http": {"url": "/x", "headers": {"X-Vu": "${vu}"}}},
            "python": {"python": {"module": "support.pythonsteps", "function": "ask"}},
        }[kind]
        test = manifest("", [step], vus=10, iterations=10)
        test["spec"]["http"] = {"baseUrls": [one.url, two.url], "balancing": balancing}
        await drive(test)
    assert len(one.seen) + len(two.seen) == 100
    vus = [{seen.headers["X-Vu"] for seen in server.seen} for server in (one, two)]
    if balancing == "per-vu":
        assert vus == [{"2", "4", "6", "8", "10"}, {"1", "3", "5", "7", "9"}]
    elif balancing == "random":
        assert vus[0] & vus[1]
    if balancing != "random":
        assert len(one.seen) == len(two.seen) == 50
    else:
        assert 20 < len(one.seen) < 80


async def test_statuses_that_fail_and_statuses_that_are_expected():
    async with target() as server:
        server.answer("/gone", status=404)
        server.answer("/broken", status=503)
        steps = [
            {"name": "gone", "http": {"url": "/gone"}, "onError": "continue"},
            {"name": "broken", "http": {"url": "/broken"}, "onError": "continue"},
            {"name": "wanted", "http": {"url": "/gone", "expectStatus": ["404"]}},
            {
                "name": "unwanted",
                "http": {"url": "/fine", "expectStatus": ["201-204"]},
                "onError": "continue",
            },
        ]
        measured = await drive_steps(server, steps)
    assert measured.rate("http_req_failed", step="gone", status="404", error="http_4xx") == (1, 1)
    assert measured.rate("http_req_failed", step="broken", error="http_5xx") == (1, 1)
    assert measured.rate("http_req_failed", step="wanted") == (0, 1)
    assert measured.rate("http_req_failed", step="unwanted") == (1, 1)
    assert measured.count("http_req_errors") == 3
    assert measured.count("step_failures", step="gone", error="http_4xx") == 1
    assert measured.count("iterations") == 1


async def test_checks_are_counted_and_the_iteration_goes_on():
    async with target() as server:
        server.answer("/a", json={"items": []})
        steps = [
            {
                "name": "a",
                "http": {"url": "/a"},
                "checks": {
                    "ok": "status == 200",
                    "items": "len(body.items) > 0",
                    "absent": "body.nothing == 1",
                    "fast": "duration < 5s",
                },
            },
            {"http": {"url": "/b"}},
        ]
        measured = await drive_steps(server, steps, vus=2)
    assert measured.rate("checks", check="ok", step="a") == (2, 2)
    assert measured.rate("checks", check="items") == (0, 2)
    assert measured.rate("checks", check="absent") == (0, 2)
    assert measured.rate("checks") == (4, 8)
    assert server.paths().count("/b") == 2


async def test_extraction_feeds_later_steps_and_is_strict():
    told = Told()
    async with target() as server:

        async def login(_: web.Request) -> web.StreamResponse:
            response = web.json_response({"token": "t1", "ids": [4, 5]}, headers={"X-Request": "r9"})
            response.set_cookie("sid", "c7")
            return response

        server.answers["/login"] = login
        extract = {
            "token": {"jsonPath": "$.token"},
            "request": {"header": "x-request"},
            "sid": {"cookie": "sid"},
            "first": {"regex": r'"ids": \[(\d)'},
            "ids": {"jsonPath": "$.ids[*]", "all": True},
            "none": {"jsonPath": "$.none", "default": None},
        }
        steps = [
            {"http": {"url": "/login"}, "extract": extract},
            {"http": {"url": "/next/${token}/${request}/${sid}/${first}/${len(ids)}/${none == null}"}},
            {"name": "strict", "http": {"url": "/login"}, "extract": {"missing": {"jsonPath": "$.missing"}}},
            {"http": {"url": "/never"}},
        ]
        measured = await drive_steps(server, steps, told)
    assert server.paths()[1] == "/next/t1/r9/c7/4/2/true"
    assert server.seen[1].headers["Cookie"] == "sid=c7"
    assert "/never" not in server.paths()
    assert measured.count("step_failures", step="strict", error="extract") == 1
    assert measured.rate("http_req_failed") == (0, 3)
    assert "$.missing" in told.messages()


@pytest.mark.parametrize("place", [{"header": "X-None"}, {"cookie": "none"}])
async def test_what_is_missing_outside_the_body_is_a_failure_without_the_body(place):
    told = Told()
    async with target() as server:
        server.answer("/a", headers={"X-Some": "1", "Set-Cookie": "some=1"})
        step = {"name": "strict", "http": {"url": "/a"}, "extract": {"missing": place}}
        measured = await drive_steps(server, [step], told)
    assert measured.count("step_failures", step="strict", error="extract") == 1
    assert "X-None" in told.messages() or "cookie none" in told.messages()
    assert "x-some" in told.messages() or "sets some" in told.messages()


async def test_a_target_that_answers_with_any_status_makes_no_series_of_each():
    async with target() as server:

        async def answer(request: web.Request) -> web.StreamResponse:
            return web.Response(status=int(request.path[3:]))

        statuses = [str(status) for status in range(420, 420 + 2 * MAX_STATUSES)]
        server.answers.update({f"/s/{status}": answer for status in statuses})
        http = {"url": "/s/${420 + i}"}
        polled = {"poll": {"http": http, "until": "false", "interval": "10ms"}, "onError": "continue"}
        steps = [
            {
                "repeat": {
                    "times": len(statuses),
                    "index": "i",
                    "steps": [{"name": "ask", "http": http, "onError": "continue"}, polled],
                }
            }
        ]
        measured = await drive_steps(server, steps)
    for metric, last in (("http_reqs", "4xx"), ("poll_reqs", "4xx")):
        counts = [measured.count(metric, status=status) for status in (*statuses[:MAX_STATUSES], last)]
        assert counts == [1] * MAX_STATUSES + [MAX_STATUSES], metric
        assert measured.count(metric) == len(statuses)


async def test_redirects_are_followed_and_counted():
    async with target() as server:

        async def away(_: web.Request) -> web.StreamResponse:
            return web.Response(status=302, headers={"Location": "/there"})

        server.answers["/here"] = away
        steps = [
            {"name": "a", "http": {"url": "/here"}},
            {"name": "b", "http": {"url": "/here", "maxRedirects": 0}},
        ]
        measured = await drive_steps(server, steps)
    assert server.paths() == ["/here", "/there", "/here"]
    assert measured.count("http_reqs", step="a", status="302") == 1
    assert measured.count("http_reqs", step="a", status="200") == 1
    assert measured.count("http_reqs", step="b", status="302") == 1
    whole, last = (
        measured.trend("http_req_total", step="a", status="200"),
        measured.trend("http_req_duration", step="a", status="200"),
    )
    assert whole.max > last.max


async def test_a_timeout_is_an_error_class_of_its_own():
    async with target() as server:
        server.answer("/slow", delay=5)
        steps = [{"http": {"url": "/slow", "timeout": "150ms"}, "onError": "continue"}]
        measured = await drive_steps(server, steps)
    assert measured.rate("http_req_failed", error="timeout") == (1, 1)
    assert measured.trend("http_req_total", error="timeout").max >= 0.15


async def test_custom_metrics():
    async with target() as server:
        server.answer("/a", json={"queue": 7})
        server.answer("/bad", status=500)
        steps = [
            {"name": "a", "http": {"url": "/a"}, "record": {"trend": "a_time"}},
            {"http": {"url": "/a"}, "record": {"gauge": "depth", "value": "body.queue"}},
            {"http": {"url": "/a"}, "record": {"counter": "items", "value": "body.queue"}},
            {
                "group": {"steps": [{"http": {"url": "/a"}}, {"think": {"duration": "20ms"}}]},
                "name": "g",
                "record": {"trend": "g_time"},
            },
            {"http": {"url": "/bad"}, "onError": "continue", "record": {"rate": "worked"}},
            {"http": {"url": "/a"}, "record": {"rate": "worked"}, "tags": {"kind": "last", "who": "vu${vu}"}},
        ]
        measured = await drive_steps(server, steps)
    assert measured.trend("a_time", step="a").max == measured.trend("http_req_duration", step="a").max
    assert measured.gauge("depth")[0] == 7
    assert measured.count("items") == 7
    assert measured.trend("g_time").max >= 0.02
    assert measured.trend("group_duration", step="g").count == 1
    assert measured.rate("worked") == (1, 2)
    assert measured.rate("worked", kind="last", who="vu1") == (1, 1)
    assert measured.count("http_reqs", kind="last", who="vu1") == 1


async def test_without_keep_alive_every_request_has_its_own_connection():
    async with target() as server:
        test = manifest(server.url, [{"http": {"url": "/a"}}], iterations=3)
        test["spec"]["http"]["keepAlive"] = False
        measured = await drive(test)
        assert measured.count("http_connections") == 3
        test["spec"]["http"] = {"baseUrl": server.url, "resetBetweenIterations": True}
        measured = await drive(test)
        assert measured.count("http_connections") == 3


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"http": {"url": "/a", "file": "nope"}}, "FileMissing"),
        ({"http": {"url": "http://exa mple/"}}, "RequestInvalid"),
        ({"http": {"url": "/a", "headers": {"bad name": "x"}}}, "RequestInvalid"),
        ({"http": {"url": "/${nothing}"}}, "ManifestInvalid"),
    ],
)
async def test_what_cannot_be_sent_is_said_before_any_load(step, reason):
    async with target() as server:
        with pytest.raises(LoadError) as caught:
            await drive_steps(server, [step])
    assert caught.value.reason == reason
    assert server.seen == []
