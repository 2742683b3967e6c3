"""`squall run` through a proxy, and with several base URLs of which one goes away and comes back."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.countingtarget import CountingTarget, counting_target
from support.hostile import hostile, well_behaved
from support.processes import free_ports
from support.proxies import proxy_server
from support.squallrun import Squall, manifest

HIDDEN = "shop.example"
"""Only the proxy knows where this is."""
AUTHORITY = trustme.CA()
PASSWORD = "pässw0rd"
ENDLESS = "40s"


def context(*names: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(made)
    return made


def load(url: str | None, **parts: Any) -> dict[str, Any]:
    """A manifest whose verdict does not depend on how busy this machine is."""
    return manifest(url, safety={"saturation": {"loopLag": "2s"}}, **parts)


def with_proxy(url: str, **more: Any) -> dict[str, Any]:
    auth = {"username": "load", "password": "${var.proxyPassword}"}
    return {"url": url, "auth": auth} | more


SECRET = {
    "variables": [
        {"name": "proxyPassword", "secret": {"name": "proxy", "key": "password"}, "env": "PROXY_PASSWORD"}
    ]
}
GIVEN = {"PROXY_PASSWORD": PASSWORD}


def test_an_http_target_behind_a_proxy(squall: Squall, target: CountingTarget) -> None:
    with proxy_server(user=f"load:{PASSWORD}", names={HIDDEN}) as proxy:
        http = {"proxy": with_proxy(proxy.url)}
        spec = load(f"http://{HIDDEN}:{target.port}", http=http, duration="1s", **SECRET)
        ended = squall(spec, environ=GIVEN, processes=2).ended()
        assert proxy.tunnels == 0
        assert len(proxy.heads) == target.count("/")
    assert ended.outcome()[:2] == (0, "Passed")
    assert ended.count() == target.count("/") > 0
    assert not [seen for seen in target.seen if b"proxy-" in seen.head.lower()]


@pytest.mark.parametrize("secured", [False, True], ids=["http proxy", "https proxy"])
def test_an_https_target_behind_a_proxy(squall: Squall, secured: bool) -> None:
    files = [{"name": "ca.pem", "inline": AUTHORITY.cert_pem.bytes().decode()}]
    own = context("127.0.0.1") if secured else None
    with (
        hostile(well_behaved, context(HIDDEN)) as target,
        proxy_server(own, user=f"load:{PASSWORD}", names={HIDDEN}) as proxy,
    ):
        http = {"proxy": with_proxy(proxy.url), "tls": {"caFile": "ca.pem"}}
        spec = load(f"https://{HIDDEN}:{target.port}", http=http, duration="1s", files=files, **SECRET)
        ended = squall(spec, environ=GIVEN).ended()
        assert all(head.startswith(f"CONNECT {HIDDEN}:{target.port} ") for head in proxy.heads)
        assert proxy.tunnels == len(proxy.heads) > 0
        assert ended.outcome()[:2] == (0, "Passed")
        assert ended.count() == len(target.requests) > 0
        assert not [request for request in target.requests if b"proxy-" in request.lower()]
    for file in ended.results.rglob("*"):
        assert not file.is_file() or PASSWORD not in file.read_text(errors="replace"), file


def test_a_proxy_that_refuses_is_told_before_any_load(squall: Squall) -> None:
    with proxy_server(user="somebody:else") as proxy:
        http = {"proxy": with_proxy(proxy.url)}
        ended = squall(
            load(f"https://{HIDDEN}", http=http, duration=ENDLESS, **SECRET), environ=GIVEN
        ).ended()
    assert ended.outcome() == (109, "Error", "", "TargetUnreachable")
    said = f"the proxy 127.0.0.1:{proxy.port} opened no tunnel to {HIDDEN}:443: 407"
    assert said in ended.said
    assert ended.count() == 0


def test_a_proxy_that_is_not_there_is_told_before_any_load(squall: Squall, target: CountingTarget) -> None:
    (nowhere,) = free_ports(1)
    http = {"proxy": {"url": f"http://127.0.0.1:{nowhere}"}}
    ended = squall(load(target.url, http=http, duration=ENDLESS)).ended()
    assert ended.outcome() == (109, "Error", "", "TargetUnreachable")
    assert f"the proxy 127.0.0.1:{nowhere}" in ended.said
    assert target.seen == []


@pytest.mark.parametrize("balancing", ["round-robin", "per-vu"])
def test_a_base_url_that_goes_away_is_left_out_until_it_is_back(
    squall: Squall, target: CountingTarget, balancing: str
) -> None:
    with counting_target() as other:
        http = {
            "baseUrls": [target.url, other.url],
            "balancing": balancing,
            "failover": {"failures": 2, "retryAfter": "300ms"},
        }
        run = squall(load(None, http=http, duration="5s"))
        run.wait_for_requests(target, 20)
        run.wait_for_requests(other, 20)
        other.vanish()
        left_out = f"127.0.0.1:{other.port} cannot be reached: it is left out"
        run.wait_until(lambda: left_out in _log(run.results), "the base URL is left out")
        before, served = other.count(), target.count()
        run.wait_for_requests(target, served + 50)
        assert other.count() == before
        other.reappear()
        run.wait_for_requests(other, before + 20)
        ended = run.ended()
        assert other.count() + target.count() <= ended.count() + 4  # the last ones may have been cut off
    assert ended.outcome()[:2] == (0, "Passed")
    events = [line["event"] for line in ended.log if line.get("host") == f"127.0.0.1:{other.port}"]
    assert events[:2] == ["TargetDown", "TargetUp"]
    failures = ended.count(
        "http_req_errors", error="connect_refused", method="GET", scenario="visit", step="get"
    )
    assert failures < 60  # four VUs that kept asking it would have had many hundreds
    (up,) = [row for row in ended.summary.metrics if row.metric == "target_up"]
    assert (up.values["min"], up.values["value"]) == (0, 1)


def _log(results: Path) -> str:
    return "".join(file.read_text() for file in results.glob("*/log.jsonl"))
