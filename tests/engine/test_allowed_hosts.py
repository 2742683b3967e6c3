"""Policies about hosts in a whole engine: told before the load where they can be, and counted during it where not."""

import pytest
from support.driving import drive, manifest, target

from squall_runner.load import LoadError

GET = [{"http": {"url": "/"}}]
BY_NAME = (("localhost",), ("local*", "10.0.0.0/8"))
"""Two policies that let load go to this machine under one of its names only."""


@pytest.mark.parametrize("connectivity", [False, True])
async def test_a_base_url_that_is_not_allowed_fails_before_the_load(connectivity: bool) -> None:
    async with target() as server:
        check = {"safety": {"connectivity": {"url": f"http://localhost:{server.port}/"}}}
        test = manifest(server.url, GET, spec=check if connectivity else {})
        with pytest.raises(LoadError, match=r"does not let load go to 127\.0\.0\.1") as caught:
            await drive(test, allowed_hosts=BY_NAME)
        assert server.seen == []
    assert caught.value.reason == "PolicyViolated"
    assert "allowedHosts" in caught.value.hint


async def test_a_connectivity_check_that_is_not_allowed_fails_before_the_load() -> None:
    async with target() as server:
        spec = {"safety": {"connectivity": {"url": f"{server.url}/health"}}}
        test = manifest(f"http://localhost:{server.port}", GET, spec=spec)
        with pytest.raises(LoadError, match=r"safety\.connectivity: .* load go to 127\.0\.0\.1") as caught:
            await drive(test, allowed_hosts=BY_NAME)
        assert server.seen == []
    assert caught.value.reason == "PolicyViolated"


async def test_a_token_url_that_is_not_allowed_is_not_asked() -> None:
    async with target() as server:
        oauth = {"oauth2": {"tokenUrl": f"{server.url}/token", "clientId": "a", "clientSecret": "b"}}
        http = {"baseUrl": f"http://localhost:{server.port}", "auth": oauth}
        with pytest.raises(LoadError, match=r"does not let load go to 127\.0\.0\.1"):
            await drive(manifest("", GET, spec={"http": http}), allowed_hosts=BY_NAME)
        assert server.seen == []


async def test_steps_that_lead_elsewhere_are_counted_as_forbidden() -> None:
    async with target() as server:
        steps = [*GET, {"http": {"url": f"{server.url}/away"}}]
        measured = await drive(manifest(f"http://localhost:{server.port}", steps), allowed_hosts=BY_NAME)
        assert server.paths() == ["/"]
    assert measured.count("http_reqs", error="forbidden") == 1
    assert measured.rate("http_req_failed") == (1, 2)
