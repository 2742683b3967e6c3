"""Hosts of a manifest to which nothing is sent: said, and not refused, since a redirect may lead there."""

from __future__ import annotations

import pytest
from support.problems import SCENARIOS, load, manifest


def warnings(http: str, scenarios: str = SCENARIOS, **options: object) -> list[str]:
    """What is said of a manifest with this `http`; its one step sends to 127.0.0.1."""
    return list(load(manifest(f"http: {http}", scenarios), **options).warnings)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "shop.example", "SHOP.example:8443", "'::1'", "'[::1]:8080'"]
)
def test_hosts_that_are_sent_to_are_nothing_to_tell(host: str) -> None:
    urls = "[https://shop.example:8443/x, 'http://[::1]:8080']"
    assert warnings(f"{{baseUrls: {urls}, rateLimits: [{{rate: 5}}, {{host: {host}, rate: 5}}]}}") == []


@pytest.mark.parametrize("host", ["typo.example", "shop.example:443", "127.0.0.1:81"])
def test_a_limit_that_limits_nothing_is_told(host: str) -> None:
    (text,) = warnings(f"{{baseUrl: https://shop.example:8443, rateLimits: [{{host: {host}, rate: 5}}]}}")
    assert text == (
        f'spec.http.rateLimits[0].host: no URL of this test leads to "{host}", so it does nothing; '
        "they lead to 127.0.0.1, shop.example"
    )


def test_a_host_that_is_never_reached_directly_is_told() -> None:
    hosts = "[127.0.0.1, .example, .shop.example, .other, typo.example, 10.0.0.0/8]"
    proxy = f"{{url: http://proxy:3128, noProxy: {hosts}}}"
    found = warnings(f"{{baseUrl: https://shop.example, proxy: {proxy}}}")
    assert [text.partition(":")[0] for text in found] == [
        "spec.http.proxy.noProxy[3]",
        "spec.http.proxy.noProxy[4]",
    ]


def test_what_a_variable_says_is_known_and_what_is_computed_is_not() -> None:
    scenarios = SCENARIOS + "      - http: {url: '%s'}\n"
    limit = "{rateLimits: [{host: shop.example, rate: 5}]}\nvariables: [{name: host, value: shop.example}]"
    assert warnings(limit, scenarios % "http://${var.host}/x") == []
    assert len(warnings(limit, scenarios % "http://${var.host}.org/x")) == 1
    assert warnings(limit, scenarios % "http://h${vu}/x") == []


def test_a_target_that_is_there_twice_is_told() -> None:
    (text,) = warnings("{baseUrls: [http://a, http://b, http://a/]}")
    assert text == 'spec.http.baseUrls[2] is the same as [0]: "http://a/" has a double share of the load'
