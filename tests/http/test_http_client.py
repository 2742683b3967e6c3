"""The client against a well-behaved server: bodies, cookies, redirects, uploads, timings, reuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import BodyPartReader, web

from squall_runner.http import (
    BodyError,
    Field,
    FileBody,
    FilePart,
    HttpClient,
    Multipart,
    Network,
    Resolver,
    Response,
    Template,
    build,
    encode_target,
    header_line,
    parse_url,
    render_headers,
)
from squall_runner.http.errors import RequestError
from squall_runner.http.response import failed


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    shown = {
        "method": request.method,
        "target": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "cookies": dict(request.cookies),
        "body": body.decode("latin-1"),
        "peer": request.transport.get_extra_info("peername")[1],  # type: ignore[union-attr]
    }
    return web.json_response(shown)


async def form(request: web.Request) -> web.Response:
    seen: dict[str, Any] = {}
    reader = await request.multipart()
    while isinstance(part := await reader.next(), BodyPartReader):
        data = await part.read()
        seen[part.name or ""] = [
            part.filename,
            part.headers.get("Content-Type", ""),
            len(data),
            data[:10].decode(),
        ]
    return web.json_response(seen)


async def login(request: web.Request) -> web.Response:
    response = web.Response(text="in")
    response.set_cookie("session", "abc")
    response.set_cookie("theme", "dark", path="/shop")
    return response


async def logout(request: web.Request) -> web.Response:
    response = web.Response(text="out")
    response.del_cookie("session")
    return response


async def go(request: web.Request) -> web.Response:
    status = int(request.match_info["status"])
    return web.Response(status=status, headers={"Location": request.query["to"]})


async def packed(request: web.Request) -> web.Response:
    response = web.json_response({"numbers": list(range(1000))})
    response.enable_compression(web.ContentCoding(request.match_info["coding"]))
    return response


async def refuse_early(request: web.Request) -> web.Response:
    return web.Response(status=413, text="too large")


@pytest.fixture
async def base() -> AsyncIterator[str]:
    app = web.Application(client_max_size=10**9)
    app.router.add_get("/login", login)
    app.router.add_get("/logout", logout)
    app.router.add_get("/packed/{coding}", packed)
    app.router.add_route("*", "/go/{status}", go)
    app.router.add_post("/form", form)
    app.router.add_post("/refuse", refuse_early)
    app.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def visitor(network: Network, base: str) -> AsyncIterator[HttpClient]:
    client = HttpClient(network)
    yield client
    client.close()


async def get(client: HttpClient, url: str, **options: Any) -> Response:
    response = await client.send(build("GET", url), timeout=5.0, keep_body=True, **options)
    assert response.error_message == ""
    return response


async def test_requests_share_a_connection(visitor: HttpClient, base: str, network: Network) -> None:
    request = build("GET", f"{base}/a?x=1&y=%20", [("X-Test", "ä"), ("Accept", "*/*")])
    first = await visitor.send(request, keep_body=True)
    second = await visitor.send(request, keep_body=True)
    assert first.json()["peer"] == second.json()["peer"]
    assert first.json()["target"] == "/a?x=1&y=%20"
    assert dict(first.json()["headers"])["X-Test"] == "ä"
    assert (first.reused, second.reused) == (False, True)
    assert (first.connect > 0, second.connect, second.blocked, second.dns) == (True, 0, 0, 0)
    assert network.stats.opened == network.stats.open_sockets == 1


async def test_phases_add_up(visitor: HttpClient, base: str) -> None:
    for response in [await get(visitor, base), await get(visitor, base)]:
        parts = response.blocked + response.dns + response.connect + response.tls + response.duration
        assert 0 <= response.total - parts < response.total
        assert response.duration == response.sending + response.waiting + response.receiving
        assert response.bytes_sent == len(response.request.wire or b"")
        assert response.bytes_received > response.size > 0


async def test_requests_at_once_have_connections_of_their_own(visitor: HttpClient, base: str) -> None:
    responses = await asyncio.gather(*(get(visitor, base) for _ in range(5)))
    assert len({response.json()["peer"] for response in responses}) == 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_methods_with_and_without_a_body(method: str, visitor: HttpClient, base: str) -> None:
    for body in (None, b"", b"hello", b"x" * 90_000):
        response = await visitor.send(build(method, base, body=body), keep_body=True, timeout=5.0)
        assert response.status == 200
        if method != "HEAD":
            assert response.json()["body"].encode() == (body or b"")
            assert response.json()["method"] == method


async def test_large_body_of_bytes(visitor: HttpClient, base: str) -> None:
    response = await visitor.send(build("POST", f"{base}/form", body=b"x" * 3_000_000), timeout=5.0)
    assert response.bytes_sent > 3_000_000
    assert response.status in (400, 500)  # it is no form; but all of it was taken


async def test_template_renders_variable_parts(visitor: HttpClient, base: str) -> None:
    origin, _ = parse_url(base)
    template = Template(origin, "POST", render_headers(origin, [("Content-Type", "text/plain")]))
    for user in range(3):
        request = template.request(
            encode_target(f"/users/{user}?q=a b"),
            f"I am {user}".encode(),
            header_line("Authorization", f"Bearer {user}"),
        )
        seen = (await visitor.send(request, keep_body=True)).json()
        assert seen["target"] == f"/users/{user}?q=a%20b"
        assert seen["body"] == f"I am {user}"
        assert dict(seen["headers"])["Authorization"] == f"Bearer {user}"


async def test_multipart_is_streamed_from_disk(visitor: HttpClient, base: str, tmp_path: Path) -> None:
    picture = tmp_path / 'my "cat".png'
    picture.write_bytes(b"0123456789" * 100_000)
    parts: list[Field | FilePart] = [
        Field("title", "Kätzchen"),
        FilePart("image", picture),
        Field("meta", b"{}", "application/json"),
    ]
    body = Multipart(parts)
    request = build("POST", f"{base}/form", [("Content-Type", body.content_type)], body)
    for _ in range(2):
        response = await visitor.send(request, keep_body=True, timeout=5.0)
        assert response.json() == {
            "title": [None, "", len("Kätzchen".encode()), "Kätzchen"],
            "image": ["my %22cat%22.png", "image/png", 1_000_000, "0123456789"],
            "meta": [None, "application/json", 2, "{}"],
        }
        assert response.bytes_sent == len(request.head) + 2 + body.length
    assert response.reused


async def test_file_that_shrank_is_an_error_of_the_request(
    visitor: HttpClient, base: str, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 1000)
    request = build("PUT", base, body=FileBody(path))
    path.write_bytes(b"x" * 10)
    response = await visitor.send(request)
    assert response.error == "protocol"
    assert "shorter" in response.error_message
    path.unlink()
    assert (await visitor.send(request)).error == "protocol"
    assert (await get(visitor, base)).status == 200


async def test_answer_before_the_upload_is_over(visitor: HttpClient, base: str, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    response = await visitor.send(build("POST", f"{base}/refuse", body=FileBody(path)), timeout=5.0)
    assert response.status == 413 or response.error in ("reset", "closed")
    assert (await get(visitor, base)).status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_compressed_body_is_unpacked_when_read(coding: str, visitor: HttpClient, base: str) -> None:
    response = await get(visitor, f"{base}/packed/{coding}")
    assert response.json()["numbers"][-1] == 999
    assert (response.size < len(response.body)) == (coding != "identity")


async def test_body_that_is_no_json(visitor: HttpClient, base: str) -> None:
    response = await get(visitor, f"{base}/login")
    assert response.text == "in"
    with pytest.raises(BodyError) as caught:
        response.json()
    assert caught.value.error == "decode"


def test_a_body_that_is_not_there_is_no_json_for_that_reason() -> None:
    nothing = failed(build("GET", "http://127.0.0.1/"), 0.0, 1.0, RequestError("timeout", "nothing came"))
    with pytest.raises(BodyError, match=r"^no complete response came$"):
        nothing.json()
    nothing.status = 204
    with pytest.raises(BodyError, match=r"^the body is not JSON: there is none$"):
        nothing.json()


async def test_cookies_come_back_to_where_they_belong(
    visitor: HttpClient, base: str, network: Network
) -> None:
    assert visitor.jar is None
    response = await get(visitor, f"{base}/login")
    assert response.cookies == {"session": "abc", "theme": "dark"}
    assert (await get(visitor, f"{base}/x")).json()["cookies"] == {"session": "abc"}
    assert (await get(visitor, f"{base}/shop/cart")).json()["cookies"] == {"session": "abc", "theme": "dark"}
    assert (await get(visitor, base.replace("127.0.0.1", "localhost"))).json()["cookies"] == {}
    await get(visitor, f"{base}/logout")
    assert (await get(visitor, f"{base}/x")).json()["cookies"] == {}
    without = HttpClient(network, cookies=False)
    await get(without, f"{base}/login")
    assert (await get(without, base)).json()["cookies"] == {}
    without.close()


async def test_own_cookie_header_takes_the_place_of_the_jar(visitor: HttpClient, base: str) -> None:
    await get(visitor, f"{base}/login")
    assert (await get(visitor, base)).json()["cookies"] == {"session": "abc"}
    response = await visitor.send(build("POST", base, [("Cookie", "b=2")], b"body"), keep_body=True)
    assert response.json()["cookies"] == {"b": "2"}
    visitor.reset()
    assert (await get(visitor, base)).json()["cookies"] == {}


@pytest.mark.parametrize(
    ("status", "method", "then", "body"),
    [
        (301, "POST", "GET", ""), (302, "POST", "GET", ""), (303, "PUT", "GET", ""), (303, "HEAD", "HEAD", ""),
        (307, "POST", "POST", "data"), (308, "PUT", "PUT", "data"), (302, "PUT", "PUT", "data"), (301, "GET", "GET", "data"),
    ],
)  # fmt: skip
async def test_redirect_keeps_or_changes_the_method(  # noqa: PLR0917 - pytest passes them by name
    status: int, method: str, then: str, body: str, visitor: HttpClient, base: str
) -> None:
    request = build(
        method, f"{base}/go/{status}?to=/end", [("Content-Type", "text/plain"), ("X-A", "b")], b"data"
    )
    response = await visitor.send(request, keep_body=True)
    assert [hop.status for hop in response.redirects] == [status]
    assert response.request.method == then
    if then != "HEAD":
        seen = response.json()
        assert (seen["method"], seen["target"], seen["body"]) == (then, "/end", body)
        assert ("Content-Type" in dict(seen["headers"])) == bool(body)
        assert dict(seen["headers"])["X-A"] == "b"


async def test_credentials_stay_with_their_origin(visitor: HttpClient, base: str) -> None:
    secret = [("Authorization", "Bearer x"), ("Cookie", "a=b"), ("Host", "shop.example")]
    elsewhere = base.replace("127.0.0.1", "localhost")
    for target, stays in ((f"{base}/end", True), (f"{elsewhere}/end", False)):
        response = await visitor.send(build("GET", f"{base}/go/302?to={target}", secret), keep_body=True)
        seen = dict(response.json()["headers"])
        assert ("Authorization" in seen, "Cookie" in seen) == (stays, stays)
        assert seen["Host"] == ("shop.example" if stays else elsewhere.removeprefix("http://"))


async def test_redirects_are_limited(visitor: HttpClient, base: str) -> None:
    nowhere = await visitor.send(build("GET", f"{base}/go/302?to="))
    assert (nowhere.status, nowhere.error) == (302, "")
    twice = build("GET", f"{base}/go/302?to=/go/302%3Fto%3D/end")
    assert (await get(visitor, twice.url)).request.path == "/end"
    response = await visitor.send(twice, max_redirects=1)
    assert (response.error, response.status, len(response.redirects)) == ("too_many_redirects", 302, 1)
    stays = await visitor.send(twice, max_redirects=0)
    assert (stays.status, stays.error, stays.redirects) == (302, "", ())


@pytest.mark.parametrize(
    "to", ["ftp://example.org/", "http://user:pass@127.0.0.1/", "http://[::1", "http://h:99999/"]
)
async def test_redirect_that_cannot_be_followed(to: str, visitor: HttpClient, base: str) -> None:
    response = await visitor.send(build("GET", f"{base}/go/302?to={to}"))
    assert (response.error, response.status) == ("protocol", 302)
    assert response.error_message.startswith("redirect to")


async def test_all_addresses_are_tried(base: str) -> None:
    port = int(base.rpartition(":")[2])
    asked = []

    async def lookup(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        asked.append(host)
        return [(2, ("127.0.0.9", port)), (2, ("127.0.0.1", port)), (2, ("127.0.0.8", port))]

    loop = asyncio.get_running_loop()
    network = Network(resolver=Resolver(loop.time, lookup=lookup))
    clients = [HttpClient(network) for _ in range(6)]
    for client in clients:
        assert (await client.send(build("GET", f"http://many.example:{port}/"))).status == 200
    assert asked == ["many.example"]
    await network.close()
    assert network.stats.open_sockets == 0


async def test_name_that_is_never_resolved(network: Network) -> None:
    gate = asyncio.Event()

    async def lookup(host: str, port: int) -> list[Any]:
        await gate.wait()
        return []

    loop = asyncio.get_running_loop()
    network._resolver = Resolver(loop.time, lookup=lookup)
    response = await HttpClient(network).send(build("GET", "http://slow.example/"), timeout=0.1)
    assert (response.error, response.status) == ("dns", 0)
    assert response.dns > 0
    gate.set()
    assert (await HttpClient(network).send(build("GET", "http://slow.example/"))).error == "dns"


async def test_idle_connections_are_bounded_in_number(network: Network, base: str) -> None:
    async def lookup(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        return [(2, ("127.0.0.1", port))]

    network._resolver = Resolver(network.clock, lookup=lookup)
    client, port = HttpClient(network), base.rpartition(":")[2]
    for number in range(80):
        assert (await get(client, f"http://host{number}.example:{port}/")).status == 200
    while network.stats.open_sockets > 64:
        await asyncio.sleep(0.001)
    client.close()


async def test_address_of_the_other_family(network: Network) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "::1", 0).start()
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = runner.addresses[0][1]
    client = HttpClient(network)
    seen = (await get(client, f"http://[::1]:{port}/")).json()
    assert dict(seen["headers"])["Host"] == f"[::1]:{port}"
    client.close()
    await runner.cleanup()


async def test_closing_a_client_in_use_leaks_nothing(network: Network, base: str) -> None:
    client = HttpClient(network)
    await get(client, base)
    sends = [asyncio.create_task(get(client, base)) for _ in range(3)]
    await asyncio.sleep(0)
    client.close()
    assert [response.status for response in await asyncio.gather(*sends)] == [200] * 3
    assert (await get(client, base)).status == 200
    while network.stats.open_sockets:
        await asyncio.sleep(0.001)


async def test_closing_the_network_closes_every_client(base: str) -> None:
    network = Network()
    clients = [HttpClient(network) for _ in range(5)]
    await asyncio.gather(*(client.send(build("GET", base)) for client in clients))
    assert network.stats.open_sockets == 5
    await network.close()
    assert network.stats.open_sockets == 0
