"""Tokens as a test has them: real requests to a real token server, and a target that takes nothing else."""

import asyncio
import base64
import time
from typing import Any

import pytest
from aiohttp import web
from support.driving import Measured, Target, Told, assignment, drive, manifest, prepared, target
from support.issuer import API_PATH, CLIENT_ID, CLIENT_SECRET, TOKEN_PATH, Issuer, oauth2

from squall_runner.engine import Engine
from squall_runner.http import Request, Template
from squall_runner.load import LoadError

SECRETS = {"secret": CLIENT_SECRET}
CALL = {"name": "call", "http": {"url": API_PATH}}
PAUSE = {"think": {"duration": "20ms"}}


def protected(
    server: Target, steps: list[dict[str, Any]], auth: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A manifest whose default credentials are a token."""
    test = manifest(server.url, steps, **more)
    test["spec"]["http"]["auth"] = oauth2() if auth is None else auth
    test["spec"]["variables"] = [{"name": "secret", "secret": {"name": "s", "key": "k"}}]
    return test


async def test_every_request_to_the_base_url_shows_the_token():
    issuer, told = Issuer(), Told()
    once = {"steps": [{"http": {"url": API_PATH}}]}
    steps = [
        CALL,
        {"http": {"url": API_PATH, "query": {"n": "${iter}"}}},
        {"http": {"method": "POST", "url": API_PATH, "json": {"n": "${vu}"}}},
        {"poll": {"http": {"url": API_PATH}, "until": "status == 200", "interval": "10ms", "deadline": "1s"}},
        {"python": {"module": "support.pythonsteps", "function": "call", "args": {"url": API_PATH}}},
    ]
    async with target() as server:
        issuer.serve(server)
        test = protected(server, steps, vus=3, iterations=4, spec={"setup": once, "teardown": once})
        async with prepared(test, told, secrets=SECRETS) as engine:
            await engine.drive(time.monotonic_ns())
            await engine.teardown()
            measured = Measured().take(engine.measure(0))
    assert issuer.asked == [{"grant_type": "client_credentials"}]
    assert set(issuer.shown) == {*issuer.issued}
    assert len(issuer.shown) == 3 * 4 * 5 + 2
    assert measured.rate("http_req_failed") == (0, 3 * 4 * 4)
    assert measured.count("auth_tokens") == 1
    assert measured.unknown(set()) == set()


async def test_whoever_else_is_asked_is_shown_no_token():
    issuer = Issuer()
    async with target() as server, target() as other:
        issuer.serve(server)
        bearer = {"url": "/own", "auth": {"bearer": "mine"}}
        basic = {"url": "/own", "auth": {"basic": {"username": "u", "password": "p"}}}
        header = {"url": "/own", "headers": {"authorization": "Custom x"}}
        absolute = {"url": f"{other.url}/x"}
        late = {"url": "${where}/x"}
        steps = [
            {"set": {"where": other.url}},
            *({"http": h} for h in (bearer, basic, header, absolute, late)),
        ]
        steps.append(
            {
                "python": {
                    "module": "support.pythonsteps",
                    "function": "call",
                    "args": {"url": f"{other.url}/x"},
                }
            }
        )
        await drive(protected(server, steps), secrets=SECRETS)
    own = [seen.headers.get("Authorization") for seen in server.seen if seen.path == "/own"]
    assert own == ["Bearer mine", f"Basic {base64.b64encode(b'u:p').decode()}", "Custom x"]
    assert [seen.headers.get("Authorization") for seen in other.seen] == [None] * 3


async def test_the_token_takes_the_place_of_a_default_header():
    issuer = Issuer()
    async with target() as server:
        issuer.serve(server)
        own = {"url": API_PATH, "auth": oauth2()}
        test = manifest(server.url, [{"http": own}])
        test["spec"]["http"]["headers"] = {"authorization": "Custom x"}
        await drive(test, secrets=SECRETS)
        assert [
            value for name, value in server.seen[1].headers.items() if name.lower() == "authorization"
        ] == [f"Bearer {issuer.issued[0]}"]


async def test_other_default_credentials():
    async with target() as server:
        test = manifest(server.url, [CALL])
        test["spec"]["http"]["auth"] = {"basic": {"username": "${var.who}-${vu}", "password": "p"}}
        await drive(test, variables={"who": "me"})
        test["spec"]["http"]["auth"] = {"bearer": "abc"}
        await drive(test)
    first, second = (seen.headers["Authorization"] for seen in server.seen)
    assert base64.b64decode(first.removeprefix("Basic ")) == b"me-1:p"
    assert second == "Bearer abc"


async def test_distinct_configurations_have_a_token_each():
    issuer = Issuer()
    async with target() as server:
        issuer.serve(server)
        form = oauth2(credentials="body", scopes=["read", "write"], audience="shop")
        absolute = oauth2(tokenUrl=f"{server.url}{TOKEN_PATH}")
        steps = [
            {"http": {"url": API_PATH, "auth": auth}} for auth in (form, form, oauth2(scopes=["a"]), absolute)
        ]
        measured = await drive(protected(server, [*steps, CALL]), secrets=SECRETS)
    assert [asked.get("scope") for asked in issuer.asked] == ["read write", "a", None]
    assert issuer.asked[0]["audience"] == "shop"
    assert (issuer.asked[0]["client_id"], issuer.asked[0]["client_secret"]) == (CLIENT_ID, CLIENT_SECRET)
    first, second, third = issuer.issued
    assert issuer.shown == [first, first, second, third, third]
    assert measured.count("auth_tokens") == 3


def _no_json(issuer: Issuer) -> None:
    issuer.answers = web.Response(text=f"<html>{CLIENT_SECRET}")


def _hang(issuer: Issuer) -> None:
    issuer.delay = 3600


FAILURES = {
    "invalid_client": (
        lambda issuer: issuer.fail(400, error="invalid_client", error_description=f"not {CLIENT_SECRET}!"),
        ["400 Bad Request: invalid_client (not ***!)", TOKEN_PATH],
        "http_4xx",
    ),
    "broken": (lambda issuer: issuer.fail(500), ["500 Internal Server Error"], "http_5xx"),
    "elsewhere": (lambda issuer: issuer.fail(302), ["302 Found"], "http_4xx"),
    "no JSON": (_no_json, ["the body is not JSON"], "decode"),
    "another kind": (
        lambda issuer: issuer.fail(200, access_token="hidden", token_type="mac"),
        ["token_type is 'mac'"],
        "decode",
    ),
    "hangs": (_hang, ["no complete response within 0.5 s"], "timeout"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_without_a_token_nothing_is_sent(name):
    breaks, says, error = FAILURES[name]
    issuer, told = Issuer(), Told()
    breaks(issuer)
    async with target() as server:
        issuer.serve(server)
        test = protected(server, [CALL])
        test["spec"]["http"]["timeout"] = "500ms"
        engine = Engine(assignment(test, secrets=SECRETS), attempt="a1", hooks=told.hooks())
        try:
            with pytest.raises(LoadError) as caught:
                await engine.prepare()
            measured = Measured().take(engine.measure(0))
        finally:
            await engine.close()
    assert measured.count("auth_tokens", error=error) == 1
    assert caught.value.reason == "AuthFailed"
    assert all(part in caught.value.message for part in says), caught.value.message
    assert "clientSecret" in caught.value.hint
    for hidden in (CLIENT_SECRET, "s3cr3t", "hidden"):
        assert hidden not in caught.value.message + told.messages()
    assert issuer.shown == []


async def test_nobody_listens_at_the_token_url(unused_tcp_port):
    async with target() as server:
        test = protected(server, [CALL], oauth2(tokenUrl=f"http://127.0.0.1:{unused_tcp_port}/token"))
        with pytest.raises(LoadError, match="refused the connection") as caught:
            await drive(test, secrets=SECRETS)
    assert caught.value.reason == "AuthFailed"


@pytest.mark.parametrize(
    ("auth", "reason"),
    [
        (oauth2(tokenUrl="ftp://x/"), "RequestInvalid"),
        (oauth2(tokenUrl="http://user:pw@127.0.0.1/"), "RequestInvalid"),
        (oauth2(clientId="vu-${vu}"), "ManifestInvalid"),
    ],
)
async def test_configurations_that_cannot_work(auth, reason):
    async with target() as server:
        with pytest.raises(LoadError) as caught:
            await drive(protected(server, [CALL], auth), secrets=SECRETS)
    assert caught.value.reason == reason


async def test_a_token_is_renewed_while_the_load_goes_on():
    issuer = Issuer(lifetime=2)
    async with target() as server:
        issuer.serve(server)
        test = protected(server, [CALL, PAUSE], executor="constant-vus", vus=2, duration="2500ms")
        async with prepared(test, Told(), secrets=SECRETS) as engine:
            issuer.delay = 0.3
            await engine.drive(time.monotonic_ns())
            measured = Measured().take(engine.measure(0))
    assert len(issuer.issued) >= 2
    assert issuer.shown[0] == issuer.issued[0]
    assert issuer.shown[-1] != issuer.issued[0]
    second = [at for at, event in enumerate(issuer.events) if event == "asked"][1]
    assert "api" in issuer.events[second + 1 : issuer.events.index("issued", second)], (
        "requests waited for it"
    )
    assert measured.rate("http_req_failed")[0] == 0
    assert measured.count("http_reqs") == len(issuer.shown)
    assert measured.count("auth_tokens") >= 2


async def test_a_request_in_which_only_the_token_changes_is_built_once_per_token(monkeypatch):
    built: list[bytes] = []
    original = Template.request

    def counted(template: Template, target: bytes, *rest: Any) -> Request:
        built.append(target)
        return original(template, target, *rest)

    issuer = Issuer()
    monkeypatch.setattr(Template, "request", counted)
    async with target() as server:
        issuer.serve(server)
        await drive(protected(server, [CALL], vus=2, iterations=20), secrets=SECRETS)
    assert len(issuer.shown) == 40
    assert built == [TOKEN_PATH.encode(), API_PATH.encode()]


async def test_a_token_that_was_revoked_costs_failures_until_there_is_another():
    issuer = Issuer(lifetime=None)
    async with target() as server:
        issuer.serve(server)
        test = protected(server, [CALL, PAUSE], executor="constant-vus", vus=2, duration="1s")
        async with prepared(test, Told(), secrets=SECRETS) as engine:
            asyncio.get_running_loop().call_later(0.3, issuer.valid.clear)
            await engine.drive(time.monotonic_ns())
            measured = Measured().take(engine.measure(0))
    assert len(issuer.issued) == 2
    assert issuer.shown[-1] == issuer.issued[1]
    assert measured.count("http_req_errors", error="http_4xx", status="401") == issuer.refused >= 1
    assert measured.count("http_reqs") == len(issuer.shown)


async def test_a_poll_that_is_refused_renews_the_token():
    issuer = Issuer(lifetime=None)
    poll = {"http": {"url": API_PATH}, "until": "status == 200", "interval": "10ms", "deadline": "1s"}
    async with target() as server:
        issuer.serve(server)
        test = protected(server, [{"poll": poll}, PAUSE], executor="constant-vus", vus=1, duration="500ms")
        async with prepared(test, Told(), secrets=SECRETS) as engine:
            issuer.valid.clear()
            await engine.drive(time.monotonic_ns())
    assert len(issuer.issued) == 2
    assert issuer.shown[-1] == issuer.issued[1]


async def test_a_renewal_that_fails_warns_once_and_the_old_token_is_shown():
    issuer, told = Issuer(lifetime=1), Told()
    async with target() as server:
        issuer.serve(server)
        test = protected(server, [CALL, PAUSE], executor="constant-vus", vus=1, duration="2500ms")
        async with prepared(test, told, secrets=SECRETS) as engine:
            issuer.fail(503, error="temporarily_unavailable", error_description=CLIENT_SECRET)
            await engine.drive(time.monotonic_ns())
            measured = Measured().take(engine.measure(0))
    assert set(issuer.shown) == {issuer.issued[0]}
    assert measured.count("auth_tokens", error="http_5xx") == len(issuer.asked) - 1 >= 2
    (told_of,) = [fields for _, event, fields in told.notes if event == "TokenNotRenewed"]
    assert "temporarily_unavailable (***)" in told_of["message"]


async def test_after_a_stop_no_token_is_asked_for_but_teardown_gets_a_good_one():
    issuer = Issuer(lifetime=None)
    once = {"steps": [{"http": {"url": API_PATH}}]}
    async with target() as server:
        issuer.serve(server)
        test = protected(
            server, [CALL, PAUSE], executor="constant-vus", vus=1, duration="1m", spec={"teardown": once}
        )
        async with prepared(test, Told(), secrets=SECRETS) as engine:
            driving = asyncio.create_task(engine.drive(time.monotonic_ns()))
            while not issuer.shown:
                await asyncio.sleep(0.01)
            issuer.delay = 3600
            issuer.valid.clear()
            while len(issuer.asked) < 2:
                await asyncio.sleep(0.01)
            engine.stop(0)
            await driving
            issuer.delay = 0
            await asyncio.sleep(0.1)
            assert len(issuer.asked) == 2
            await engine.teardown()
    assert len(issuer.asked) == 3
    assert issuer.shown[-1] == issuer.issued[-1]


async def test_what_is_left_of_a_token_where_a_text_was_cut_is_hidden_in_the_log():
    issuer, told = Issuer(length=300), Told()
    long = {"http": {"url": API_PATH}, "extract": {"x": {"regex": "nothing like this"}}}
    async with target() as server:
        issuer.serve(server)
        await drive(protected(server, [long]), told, secrets=SECRETS)
    assert "***..." in told.messages()
    assert issuer.issued[0][:8] not in told.messages()


async def test_a_token_that_the_target_repeats_is_hidden_in_the_log():
    issuer, told = Issuer(), Told()
    failing = {
        "http": {"url": API_PATH},
        "until": "status == 1",
        "failWhen": "status == 200",
        "interval": "10ms",
        "deadline": "1s",
    }
    async with target() as server:
        issuer.serve(server)
        await drive(protected(server, [{"poll": failing}]), told, secrets=SECRETS)
    assert '{"seen": "***"}' in told.messages()
    assert issuer.issued[0] not in told.messages()
