"""News of blocks by WebSocket keep the rules that hold for all requests: TLS, the proxy, and where load may go."""

import asyncio
import ssl
from dataclasses import replace

import pytest
import trustme
from support.anvil import anvil
from support.chains import endpoints, following, rpc_to
from support.proxies import proxy_server
from support.rpcproxy import RpcProxy
from websockets.asyncio.server import serve

from squall_runner.evm.node.rpcsettings import EndpointSettings
from squall_runner.http import NetworkOptions, Proxy, TlsOptions

NETWORK = NetworkOptions(shared_connections=4)


@pytest.fixture(scope="module")
def node():
    with anvil(block_time=0) as found:
        yield found


async def until(condition):
    while not condition():
        await asyncio.sleep(0.002)


async def test_over_tls_the_authorities_of_the_manifest_are_trusted(node, tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusting = replace(NETWORK, tls=TlsOptions(ca_file=str(tmp_path / "ca.pem")))
    async with (
        RpcProxy(node.url, node.ws_url, tls=context) as proxy,
        rpc_to(endpoints(proxy, sockets=True), network=trusting) as (rpc, told),
        following(rpc, told, poll_seconds=60) as follower,
    ):
        await until(lambda: proxy.subscriptions)
        before = follower.head.number
        await node.rpc("evm_mine")
        await until(lambda: follower.head.number > before)


async def test_a_socket_whose_certificate_is_not_trusted_is_not_used(node):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with (
        RpcProxy(node.url) as plain,
        RpcProxy(node.url, node.ws_url, tls=context) as proxy,
        rpc_to([EndpointSettings.make("a", plain.url, web_socket=proxy.ws_url)]) as (rpc, told),
        following(rpc, told),
    ):
        await until(lambda: any("certificate" in note for note in told.notes))
        assert proxy.subscriptions == 0


async def test_a_socket_takes_the_way_through_the_proxy(node):
    with proxy_server(user="load:s3cret") as way:
        network = replace(NETWORK, proxy=Proxy.of(way.url, ("load", "s3cret")))
        async with (
            RpcProxy(node.url, node.ws_url) as proxy,
            rpc_to(endpoints(proxy, sockets=True), network=network) as (rpc, told),
            following(rpc, told),
        ):
            await until(lambda: proxy.subscriptions)
            assert way.tunnels == 1


async def test_a_policy_holds_for_sockets_too(node):
    network = replace(NETWORK, allowed_hosts=(("localhost",),))
    async with RpcProxy(node.url, node.ws_url) as proxy:
        allowed = proxy.url.replace("127.0.0.1", "localhost")
        settings = [EndpointSettings.make("a", allowed, web_socket=proxy.ws_url)]
        async with rpc_to(settings, network=network) as (rpc, told), following(rpc, told) as follower:
            await until(lambda: any("policy" in note for note in told.notes))
            before = follower.head.number
            await node.rpc("evm_mine")
            await until(lambda: follower.head.number > before)
            assert proxy.sockets == proxy.subscriptions == 0


async def test_headers_of_an_endpoint_go_along_and_its_key_is_not_shown(node):
    async with RpcProxy(node.url, node.ws_url) as proxy:
        settings = [
            EndpointSettings.make(
                "a",
                proxy.url,
                web_socket=f"{proxy.ws_url}secret-key",
                headers={"Authorization": "Bearer secret-key"},
            )
        ]
        proxy.faults.no_sockets = True
        async with rpc_to(settings) as (rpc, told), following(rpc, told):
            await until(lambda: any("no news" in note for note in told.notes))
            assert "secret-key" not in str(told)
            proxy.faults.no_sockets = False
            await until(lambda: proxy.subscriptions)


@pytest.mark.parametrize(
    "said",
    [b'{"news":' + b"[" * 100_000, b'{"params":' + b"[" * 100_000, b"[]", b"{", b'{"params":{"result":{}}}'],
    ids=["nested", "nested news", "a list", "half", "no header"],
)
async def test_a_socket_that_talks_nonsense_is_left_and_polling_goes_on(node, said):
    answers = [
        b'{"id":1,"result":"%b"}' % (await node.rpc("eth_chainId")).encode(),
        b'{"id":2,"result":"0x1"}',
        said,
    ]

    async def babble(socket):
        for answer in answers:
            if answer is not said:
                await socket.recv()
            await socket.send(answer, text=True)
        await socket.wait_closed()

    async with RpcProxy(node.url) as proxy, serve(babble, "127.0.0.1", 0) as babbling:
        port = babbling.sockets[0].getsockname()[1]
        settings = [EndpointSettings.make("a", proxy.url, web_socket=f"ws://127.0.0.1:{port}")]
        async with rpc_to(settings) as (rpc, told), following(rpc, told) as follower:
            await until(lambda: any("cannot be understood" in note for note in told.notes))
            before = follower.head.number
            await node.rpc("evm_mine")
            await until(lambda: follower.head.number > before)
