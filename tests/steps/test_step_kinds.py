import asyncio
import time
from random import Random

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from support.driving import Measured, Told, drive_steps, manifest, prepared, target

from squall.spec.steps import Poll, Think
from squall_runner.load import LoadError
from squall_runner.steps.poll import pauses as poll_pauses
from squall_runner.steps.think import pauses


def job_after(polls: int, *, headers: dict[str, str] | None = None, status: int = 200):
    """A server's job that is done at the n-th poll; before that it answers with `status`."""
    asked = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked >= polls:
            return web.json_response({"state": "done", "result": 42})
        return web.json_response({"state": "running"}, status=status, headers=headers)

    return answer


async def test_a_poll_asks_until_the_job_is_done():
    async with target() as server:
        server.answers["/job"] = job_after(4)
        poll = {"http": {"url": "/job"}, "until": "body.state == 'done'", "interval": "30ms"}
        steps = [
            {
                "name": "render",
                "poll": poll,
                "extract": {"result": {"jsonPath": "$.result"}},
                "checks": {"done": "status == 200"},
                "record": {"trend": "render_time"},
            },
            {"http": {"url": "/r/${result}"}},
        ]
        measured = await drive_steps(server, steps)
    assert server.paths() == ["/job"] * 4 + ["/r/42"]
    latency = measured.trend("job_latency", step="render")
    assert latency.count == 1
    assert latency.max >= 0.09
    assert measured.trend("poll_count").sum == 4
    assert measured.count("poll_reqs", step="render", status="200") == 4
    assert measured.rate("job_failed") == (0, 1)
    assert measured.count("http_reqs") == 1
    assert measured.trend("http_req_duration").count == 1
    assert measured.rate("checks", check="done") == (1, 1)
    assert measured.trend("render_time").max == pytest.approx(latency.max, abs=0.05)


@pytest.mark.parametrize(
    ("poll", "error"),
    [
        ({"until": "false", "deadline": "100ms"}, "job"),
        ({"until": "false", "failWhen": "body.state == 'running'"}, "job"),
        ({"until": "body.wrong.path"}, "expression"),
    ],
)
async def test_a_job_that_fails_ends_the_iteration(poll, error):
    async with target() as server:
        server.answers["/job"] = job_after(10_000)
        steps = [{"poll": {"http": {"url": "/job"}, "interval": "20ms", **poll}}, {"http": {"url": "/never"}}]
        measured = await drive_steps(server, steps)
    assert "/never" not in server.paths()
    assert measured.rate("job_failed") == (1, 1)
    assert measured.count("step_failures", error=error) == 1
    assert measured.count("iterations_failed") == 1


async def test_a_failing_poll_fails_the_job_unless_the_server_asks_to_wait():
    async with target() as server:
        server.answers["/busy"] = job_after(3, status=429, headers={"Retry-After": "0"})
        server.answers["/broken"] = job_after(3, status=500)
        common = {"until": "body.state == 'done'", "interval": "10ms"}
        steps = [
            {"name": "busy", "poll": {"http": {"url": "/busy"}, **common}},
            {"name": "broken", "poll": {"http": {"url": "/broken"}, **common}},
        ]
        measured = await drive_steps(server, steps)
    assert measured.rate("job_failed", step="busy") == (0, 1)
    assert measured.rate("job_failed", step="broken") == (1, 1)
    assert measured.count("poll_reqs", step="busy", error="http_4xx") == 2


async def test_retry_after_is_respected():
    async with target() as server:
        server.answers["/job"] = job_after(2, status=503, headers={"Retry-After": "1"})
        await drive_steps(server, [{"poll": {"http": {"url": "/job"}, "until": "true", "interval": "1ms"}}])
    first, second = server.seen
    assert second.at - first.at >= 0.99


@given(st.integers(1, 10_000), st.integers(0, 2**32))
def test_backoff_grows_to_its_limit_and_jitters_within_its_share(number, seed):
    poll = Poll.model_validate(
        {
            "http": {"url": "/"},
            "until": "true",
            "interval": "1s",
            "backoff": {"factor": "2", "max": "30s", "jitter": "10%"},
        }
    )
    length = poll_pauses(poll)(number, Random(seed))
    plain = min(30.0, 2.0 ** min(number - 1, 100))
    assert 0.9 * plain <= length <= 1.1 * plain


@given(st.integers(0, 2**32))
def test_pauses_are_within_what_was_asked(seed):
    def draw(**think: str) -> float:
        return pauses(Think.model_validate(think))(Random(seed))

    assert draw(duration="1500ms") == 1.5
    assert 1 <= draw(min="1s", max="3s") <= 3
    assert 0 <= draw(mean="2s") <= 40


def test_exponential_pauses_have_the_mean():
    draw = pauses(Think.model_validate({"mean": "2s"}))
    rng = Random(5)
    drawn = [draw(rng) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(2, rel=0.03)
    assert sum(pause > 2 for pause in drawn) / len(drawn) == pytest.approx(0.3679, abs=0.015)


async def test_if_choose_and_repeat():
    async with target() as server:
        steps = [
            {
                "if": {
                    "condition": "vu == 1",
                    "then": [{"http": {"url": "/then"}}],
                    "else": [{"http": {"url": "/else"}}],
                }
            },
            {
                "if": {
                    "condition": "vu == 2",
                    "then": [{"http": {"url": "/then2"}}],
                    "else": [{"set": {"x": 5}}],
                }
            },
            {"repeat": {"times": 3, "index": "i", "steps": [{"http": {"url": "/round/${i}"}}]}},
            {"repeat": {"times": "${x - 3}", "steps": [{"http": {"url": "/twice"}}]}},
            {"set": {"n": 0}},
            {
                "repeat": {
                    "while": "n < 2",
                    "steps": [{"set": {"n": "${n + 1}"}}, {"http": {"url": "/while/${n}"}}],
                }
            },
            {"choose": [{"weight": 1, "steps": [{"http": {"url": "/only"}}]}]},
        ]
        await drive_steps(server, steps)
    assert server.paths() == [
        "/then",
        "/round/0",
        "/round/1",
        "/round/2",
        "/twice",
        "/twice",
        "/while/1",
        "/while/2",
        "/only",
    ]


async def test_a_repetition_stops_at_its_limit():
    async with target() as server:
        steps = [
            {"name": "loop", "repeat": {"while": "true", "limit": 3, "steps": [{"http": {"url": "/a"}}]}},
            {"http": {"url": "/never"}},
        ]
        measured = await drive_steps(server, steps)
    assert server.paths() == ["/a"] * 3
    assert measured.count("step_failures", step="loop", error="limit") == 1


async def test_choices_follow_their_weights():
    async with target() as server:
        steps = [
            {
                "choose": [
                    {"weight": 3, "steps": [{"name": "often", "http": {"url": "/o"}}]},
                    {"weight": 1, "steps": [{"name": "rarely", "http": {"url": "/r"}}]},
                ]
            }
        ]
        measured = await drive_steps(server, steps, vus=20, iterations=20)
    assert measured.count("http_reqs") == 400
    assert measured.count("http_reqs", step="often") == pytest.approx(300, abs=45)


async def test_branches_run_at_the_same_time():
    async with target() as server:
        together = asyncio.Barrier(3)

        async def answer(request: web.Request) -> web.Response:
            await together.wait()  # whoever asks for one after the other gets no answer
            await asyncio.sleep(0.5)
            return web.json_response({"v": request.path[1:]})

        server.answers |= {f"/{name}": answer for name in "abc"}
        branches = [
            {"steps": [{"http": {"url": f"/{name}"}, "extract": {name: {"jsonPath": "$.v"}}}]}
            for name in "abc"
        ]
        measured = await drive_steps(
            server, [{"parallel": {"branches": branches}}, {"http": {"url": "/${a}${b}${c}"}}]
        )
    assert server.paths()[-1] == "/abc"
    assert measured.count("http_connections") == 3
    # What follows is due when the last branch has ended, and not earlier.
    after = measured.trend("http_req_response_time", step="http-2")
    assert after.max - measured.trend("http_req_total", step="http-2").max < 0.45


async def test_a_failed_branch_ends_the_iteration_after_the_others():
    async with target() as server:
        server.answer("/bad", status=500)
        server.answer("/slow", delay=0.2)
        branches = [
            {"steps": [{"http": {"url": "/bad"}}]},
            {"steps": [{"http": {"url": "/slow"}}, {"http": {"url": "/more"}}]},
        ]
        measured = await drive_steps(
            server, [{"parallel": {"branches": branches}}, {"http": {"url": "/never"}}]
        )
    assert "/more" in server.paths()
    assert "/never" not in server.paths()
    assert measured.count("iterations_failed") == 1


async def test_times_is_not_bounded_by_the_limit_of_while():
    async with target() as server:
        steps = [
            {"set": {"n": 0, "rounds": 1500}},
            {"repeat": {"times": 2000, "steps": [{"set": {"n": "${n + 1}"}}]}},
            {"repeat": {"times": "${rounds}", "steps": [{"set": {"n": "${n + 1}", "rounds": 0}}]}},
            {"http": {"url": "/${n}"}},
        ]
        await drive_steps(server, steps)
    assert server.paths() == ["/3500"]


@pytest.mark.parametrize("times", ["${1000001}", "${1e300 * 1e300}", "${1000000 * 1000000}", "${'many'}"])
async def test_times_that_are_no_possible_number_fail_the_step(times):
    async with target() as server:
        steps = [{"repeat": {"times": times, "steps": [{"http": {"url": "/never"}}]}}]
        measured = await drive_steps(server, steps)
    assert server.paths() == []
    assert measured.count("step_failures", error="expression") == 1


async def test_set_and_check():
    async with target() as server:
        steps = [
            {"set": {"a": "${vu + 1}"}},
            {"set": {"b": {"deep": ["${a}", "x${a}"]}, "c": 1.5}},
            {
                "name": "c",
                "check": {"typed": "b.deep[0] == 2 and b.deep[1] == 'x2' and c == 1.5", "wrong": "a == 3"},
            },
        ]
        measured = await drive_steps(server, steps)
    assert measured.rate("checks", step="c", check="typed") == (1, 1)
    assert measured.rate("checks", step="c", check="wrong") == (0, 1)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_the_names_of_a_set_step_get_their_values_together(order):
    values = {"a": "${b}", "b": "${a}"}
    async with target() as server:
        steps = [
            {"set": {"a": 1, "b": 2}},
            {"set": {name: values[name] for name in order}},
            {"http": {"url": "/${a}/${b}"}},
        ]
        await drive_steps(server, steps)
    assert server.paths() == ["/2/1"]


async def test_a_set_step_that_fails_sets_nothing():
    async with target() as server:
        steps = [
            {"set": {"a": 1}},
            {"set": {"a": 2, "b": "${1 / (vu - 1)}"}, "onError": "continue"},
            {"http": {"url": "/${a}"}},
        ]
        await drive_steps(server, steps)
    assert server.paths() == ["/1"]


async def test_what_a_step_sets_is_gone_in_the_next_iteration():
    told = Told()
    async with target() as server:
        steps = [
            {"if": {"condition": "iter == 0", "then": [{"set": {"x": "1"}}]}},
            {"http": {"url": "/${x}"}},
        ]
        measured = await drive_steps(server, steps, told, iterations=2)
    assert server.paths() == ["/1"]
    assert measured.count("step_failures", error="expression") == 1


PYTHON = """
import asyncio
loaded = 0
loaded += 1
async def sign(vu, wallet, n):
    vu.log("signing", wallet=wallet)
    assert vu.variables["var"]["region"] == "eu"
    response = await vu.http("POST", "/sign", json={"wallet": wallet, "n": n}, headers={"X-Py": "1"})
    return {"signature": response.json()["s"], "loaded": loaded, "who": vu.id, "it": vu.iteration}
async def fail(vu):
    raise RuntimeError("boom")
async def forget(vu):
    return {}
async def say(vu):
    return "a"
async def nothing(vu):
    pass
async def want(vu, more):
    pass
async def hang(vu):
    await asyncio.sleep(60)
def not_async(vu):
    return {}
"""


@pytest.fixture
def python_file(tmp_path):
    path = tmp_path / "steps.py"
    path.write_text(PYTHON)
    return path


async def test_a_python_step_is_called_and_its_requests_are_measured(python_file):
    told = Told()
    async with target() as server:
        server.answer("/sign", json={"s": "0xabc"})
        call = {
            "file": "steps.py",
            "function": "sign",
            "args": {"wallet": "w${vu}", "n": "${iter}"},
            "outputs": ["signature", "loaded", "who", "it"],
        }
        steps = [{"name": "sign", "python": call}, {"http": {"url": "/${signature}/${loaded}/${who}/${it}"}}]
        spec = {"files": [{"name": "steps.py", "path": "steps.py"}]}
        given = {"files": {"steps.py": python_file}, "variables": {"region": "eu"}}
        measured = await drive_steps(server, steps, told, spec=spec, iterations=2, given=given)
    assert server.paths() == ["/sign", "/0xabc/1/1/0", "/sign", "/0xabc/1/1/1"]
    assert server.seen[0].headers["X-Py"] == "1"
    assert measured.count("http_reqs", step="sign", method="POST") == 2
    assert [event for _, event, _ in told.notes].count("python_log") == 1


@pytest.mark.parametrize(
    ("function", "outputs", "message"),
    [
        ("fail", [], "RuntimeError: boom (steps.py:"),
        ("forget", ["a"], "what forget returned lacks a"),
        ("say", ["a"], "say returned a value of type str, but outputs need a mapping that has a"),
        ("nothing", ["a"], "nothing returned nothing, but outputs"),
        ("want", [], "TypeError: want() missing 1 required positional argument: 'more'"),
        ("hang", [], "longer than 0.1 s"),
    ],
)
async def test_a_python_step_that_fails_is_a_failed_step(python_file, function, outputs, message):
    told = Told()
    async with target() as server:
        call = {"file": "steps.py", "function": function, "outputs": outputs, "timeout": "100ms"}
        spec = {"files": [{"name": "steps.py", "path": "steps.py"}]}
        steps = [{"name": "p", "python": call}]
        measured = await drive_steps(
            server, steps, told, spec=spec, iterations=3, given={"files": {"steps.py": python_file}}
        )
    assert measured.count("step_failures", step="p", error="python") == 3
    assert measured.count("iterations_failed") == 3
    [(_, event, fields)] = told.notes
    assert event == "step_failed"
    assert message in fields["message"]
    assert "python.py" not in fields["message"], "where in Squall it was noticed helps nobody"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"file": "steps.py", "function": "absent"}, "is not there"),
        ({"file": "steps.py", "function": "not_async"}, "no async function"),
        ({"module": "no_such_module_anywhere", "function": "f"}, "cannot be loaded"),
    ],
)
async def test_a_function_that_is_not_there_is_said_before_the_load(python_file, call, message):
    async with target() as server:
        spec = {"files": [{"name": "steps.py", "path": "steps.py"}]}
        with pytest.raises(LoadError, match=message) as caught:
            await drive_steps(
                server, [{"python": call}], spec=spec, given={"files": {"steps.py": python_file}}
            )
    assert caught.value.reason == "PythonFailed"


async def test_a_late_think_timer_is_seen_in_the_response_time():
    async with target() as server:
        steps = [{"think": {"duration": "50ms"}}, {"name": "a", "http": {"url": "/a"}}]
        async with prepared(manifest(server.url, steps), Told()) as engine:
            run = asyncio.create_task(engine.drive(time.monotonic_ns()))
            await asyncio.sleep(0.02)
            time.sleep(0.3)  # noqa: ASYNC251 - the generator itself is stalled, on purpose
            await run
            measured = Measured().take(engine.measure(0))
    assert measured.trend("http_req_response_time", step="a").max >= 0.24
    assert (
        measured.trend("http_req_duration", step="a").max
        < measured.trend("http_req_response_time", step="a").max
    )
    assert measured.trend("loop_lag").max >= 0.2
