"""The data-portability network over real sockets: relay, personal server, storage, AI jobs, indexer; what it grants and refuses."""

import asyncio
import base64
import re
import socket
import time
import uuid
from urllib.parse import parse_qs, urlsplit

import aiohttp
import eth_abi
import pytest
from coincurve import PublicKey
from support.dataportability import TYPES, running_network

from squall_runner.evm.signing.encryption import encrypt_for, encrypt_with_signature

KEY = "0xabcdef"
DEADLINE = 2**40
PATIENCE = 30.0
OPTIONS = (
    *("--block-time", "0.2", "--indexer-lag", "0.1"),
    *(
        "--ai-accounts",
        "2",
        "--ai-rate",
        "0.01",
        "--ai-burst",
        "2",
        "--ai-workers",
        "1",
        "--inference-time",
        "300ms",
    ),
    *("--relay-rate", "0.01", "--relay-burst", "12"),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    with running_network(tmp_path_factory.mktemp("network"), *OPTIONS) as running:
        yield running


@pytest.fixture
async def user(network):
    async with aiohttp.ClientSession(headers={"Connection": "close"}) as session:
        yield User(network, session)


class User:
    """A user of the network, whose wallet is one of the node's accounts."""

    def __init__(self, network, session, number=5):
        self.network, self.session = network, session
        self.address, self.other = network.rpc("eth_accounts")[number : number + 2]

    def sends(self, function: str, types: list[str], *args) -> str:
        """The hash of a transaction to the registry."""
        signature = f"{function}({','.join(types)})"
        selector = self.network.rpc("web3_sha3", "0x" + signature.encode().hex())[:10]
        data = selector + eth_abi.encode(types, args).hex()
        call = {"from": self.address, "to": self.network["REGISTRY_ADDRESS"], "data": data}
        return self.network.rpc("eth_sendTransaction", call)

    async def file(self, *, readable_by: str, url: str = "s3://a/b", key: str = KEY) -> dict:
        """A new file of the user, indexed."""
        types = ["string", "address", "(address,string)[]"]
        sent = self.sends("addFileWithPermissions", types, url, self.address, [(readable_by, key)])
        page = await self.until(f"/files?transaction={sent}", None, lambda page: page["files"])
        return page["files"][0]

    async def server(self) -> str:
        """The account of the personal server."""
        _, server, _ = await self.asks("GET", f"/api/identity?address={self.address}")
        return server["account"]

    async def asks(self, method: str, path: str, body=None, *, service: str = "WEB_API_URL", **options):
        """Status, JSON and headers of an answer."""
        url = self.network[service] + path
        async with self.session.request(method, url, json=body, **options) as answer:
            return answer.status, await answer.json(content_type=None), answer.headers

    async def shared(self) -> dict:
        """URL of new data of the user in storage, encrypted, and the key for the personal server: as the product makes them."""
        _, server, _ = await self.asks("GET", f"/api/identity?address={self.address}")
        _, urls, _ = await self.asks("POST", "/api/storage/uploads", {"name": f"{uuid.uuid4()}.bin"})
        signature = self.network.rpc("personal_sign", "0x" + b"my data".hex(), self.address)
        sealed = encrypt_with_signature(b'{"purchases": ["lamp", "tent"]}', bytes.fromhex(signature[2:]))
        async with self.session.put(urls["putUrl"], data=sealed) as answer:
            assert answer.status == 200
        key = encrypt_for(signature.encode(), bytes.fromhex(server["publicKey"][2:]))
        return {"url": urls["fileUrl"], "key": base64.b64encode(key).decode()}

    async def request(self, *, signer: str, nonce: int, url: str = "s3://a/b", key: str = KEY) -> dict:
        """A request to the relay, signed."""
        granted = [{"account": await self.server(), "key": key}]
        domain = {
            "name": "DataRegistry",
            "version": "1",
            "chainId": 14800,
            "verifyingContract": self.network["REGISTRY_ADDRESS"],
        }
        message = {
            "owner": self.address,
            "url": url,
            "permissions": granted,
            "nonce": nonce,
            "deadline": DEADLINE,
        }
        content = {"types": TYPES, "primaryType": "AddFile", "domain": domain, "message": message}
        signature = self.network.rpc("eth_signTypedData_v4", signer, content)
        del message["nonce"]
        return message | {"signature": signature}

    async def until(self, path: str, body, wanted, *, method: str = "GET", service: str = "INDEXER_URL"):
        """The first answer for which `wanted` holds."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, answer, _ = await self.asks(method, path, body, service=service)
                if status == 200 and wanted(answer):
                    return answer
                await asyncio.sleep(0.05)


async def test_a_file_that_was_relayed_is_indexed_and_opens_the_personal_server(user):
    shared = await user.shared()
    request = await user.request(signer=user.address, nonce=0, **shared)
    status, sent, _ = await user.asks("POST", "/api/relay", request)
    assert status == 202
    found = await user.until(
        f"/files?transaction={sent['transactionHash']}", None, lambda page: page["files"]
    )
    (file,) = found["files"]
    assert file["owner"] == user.address.lower()
    assert (file["url"], file["confirmed"]) == (shared["url"], False)
    (permission,) = file["permissions"]
    assert permission["key"] == shared["key"]

    prompt = {"permissionId": permission["permissionId"], "prompt": "what do I buy", "account": "ai-1"}
    status, begun, _ = await user.asks("POST", "/api/trusted-server", prompt)
    assert (status, begun["account"]) == (202, "ai-1")
    operation = {"operationId": begun["operationId"]}
    done = await user.until(
        "/api/trusted-server/poll",
        operation,
        lambda answer: answer["status"] == "done",
        method="POST",
        service="WEB_API_URL",
    )
    # The words of the prompt, and those of the data.
    assert done["result"]["tokens"] == 20 + 4 + 3


async def test_the_relay_refuses_what_was_forged_or_cannot_be_read_before_it_sends_anything(user):
    before = user.network.indexed()["files"]
    forged = await user.request(signer=user.other, nonce=0, url="s3://forged")
    status, answer, _ = await user.asks("POST", "/api/relay", forged)
    assert (status, answer["code"]) == (422, "SignatureInvalid")
    status, answer, _ = await user.asks("POST", "/api/relay", forged | {"signature": "0xnothing"})
    assert (status, "cannot be encoded" in answer["error"]) == (400, True)
    status, answer, _ = await user.asks("POST", "/api/relay", {"url": "s3://a"})
    assert (status, answer["error"]) == (400, "the body needs owner, of type str")
    assert user.network.indexed()["files"] == before


async def test_without_a_permission_there_is_no_inference(user):
    status, answer, _ = await user.asks("POST", "/api/trusted-server", {"permissionId": 999, "prompt": "?"})
    assert (status, answer["code"]) == (404, "NoSuchPermission")


async def test_a_permission_of_another_account_opens_nothing(user):
    file = await user.file(readable_by=user.other)
    permission = file["permissions"][0]["permissionId"]
    status, answer, _ = await user.asks(
        "POST", "/api/trusted-server", {"permissionId": permission, "prompt": "?"}
    )
    assert (status, answer["error"]) == (403, "the permission is another account's")


async def test_what_was_shared_must_be_there_and_open(user):
    shared, server = await user.shared(), await user.server()
    wrong = {
        "CannotOpen": shared | {"key": (await user.shared())["key"][:-8] + "AAAAAAA="},
        "NoSuchObject": shared | {"url": shared["url"] + "x"},
    }
    for code, given in wrong.items():
        file = await user.file(readable_by=server, **given)
        asked = {"permissionId": file["permissions"][0]["permissionId"], "prompt": "?"}
        status, answer, _ = await user.asks("POST", "/api/trusted-server", asked)
        assert (status, answer["code"]) == (422, code)


async def test_an_ai_account_that_submits_too_fast_gets_429_and_the_other_does_not(user):
    _, network, _ = await user.asks("GET", "/api/network")
    assert network["aiAccounts"] == ["ai-1", "ai-2"]
    file = await user.file(readable_by=await user.server(), **await user.shared())
    prompt = {"permissionId": file["permissions"][0]["permissionId"], "prompt": "again", "account": "ai-2"}
    answers = [await user.asks("POST", "/api/trusted-server", prompt) for _ in range(3)]
    assert [status for status, _, _ in answers] == [202, 202, 429]
    assert 0 < int(answers[-1][2]["Retry-After"]) <= 100
    # One worker, two jobs: one of them waits, which Prometheus can see.
    async with user.session.get(user.network["AI_URL"] + "/metrics") as answer:
        text = await answer.text()
    assert re.search(r"^inference_queue_depth [01]$", text, re.MULTILINE)
    assert re.search(r'^inference_jobs_total\{outcome="rate_limited"\} 1$', text, re.MULTILINE)


async def test_a_personal_server_has_a_key_of_its_own_for_each_user(user):
    keys = set()
    for address in (user.address, user.other, user.address.lower()):
        status, server, _ = await user.asks("GET", f"/api/identity?address={address}")
        assert status == 200
        keys.add(PublicKey(bytes.fromhex(server["publicKey"][2:])).format())
    assert len(keys) == 2
    status, _, _ = await user.asks("GET", "/api/identity?address=0x12")
    assert status == 400


async def test_objects_go_to_storage_and_back_and_away_by_signed_urls(user):
    turns, body = [], bytes(range(256)) * 400
    for number in range(4):
        status, urls, _ = await user.asks("POST", "/api/storage/uploads", {"name": f"run-1/{number}.bin"})
        assert status == 200
        turns.append(urls["account"])
        async with user.session.put(urls["putUrl"], data=body) as answer:
            assert answer.status == 200
    assert turns[0] == turns[3]
    assert len(set(turns)) == 3
    async with user.session.get(urls["getUrl"]) as answer:
        assert await answer.read() == body
    async with user.session.delete(urls["deleteUrl"]) as answer:
        assert answer.status == 204
    async with user.session.get(urls["getUrl"]) as answer:
        assert answer.status == 404

    status, plan, _ = await user.asks("POST", "/api/storage/clean-up", {"prefix": "run-1/"})
    assert sum(each["objects"] for each in plan["deletions"]) == 3
    for each in plan["deletions"]:
        async with user.session.post(each["url"], data=each["body"]) as answer:
            assert answer.status == 200
    status, plan, _ = await user.asks("POST", "/api/storage/clean-up", {"prefix": "run-1/"})
    assert (status, plan) == (200, {"deletions": []})
    status, _, _ = await user.asks("POST", "/api/storage/clean-up", {"prefix": ""})
    assert status == 400


async def test_storage_takes_nothing_that_is_not_signed_for_it(user):
    _, urls, _ = await user.asks("POST", "/api/storage/uploads", {"name": "x.bin", "account": "storage-1"})
    put = urls["putUrl"]
    signature = parse_qs(urlsplit(put).query)["X-Amz-Signature"][0]
    forged = {
        put.replace(signature, signature[::-1]): "SignatureDoesNotMatch",
        put.replace("x.bin", "y.bin"): "SignatureDoesNotMatch",
        put.replace("X-Amz-Expires=900", "X-Amz-Expires=9000"): "SignatureDoesNotMatch",
        put.replace("/personal-data-1/", "/personal-data-2/"): "AccessDenied",
        put.partition("?")[0]: "AccessDenied",
    }
    for url, code in forged.items():
        async with user.session.put(url, data=b"x" * 100_000) as answer:
            assert answer.status == 403
            assert f"<Code>{code}</Code>" in await answer.text()
    async with user.session.delete(put) as answer:
        assert answer.status == 403
    status, answer, _ = await user.asks(
        "POST", "/api/storage/uploads", {"name": "x.bin", "account": "storage-9"}
    )
    assert (status, answer["error"]) == (400, "there is no storage account storage-9")


async def test_proofs_are_confirmed_by_the_attestor(user):
    file = (await user.file(readable_by=user.other))["fileId"]
    user.sends("requestContributionProof", ["uint256"], file)
    assert (await user.until(f"/files/{file}", None, lambda found: found["confirmed"]))["jobId"] >= 1
    user.sends("claimReward", ["uint256"], file)
    await user.until(f"/files/{file}", None, lambda found: found["claimed"])


async def test_what_is_relayed_at_the_same_moment_is_all_sent(network, user):
    owners = [User(network, user.session, number) for number in range(8, 13)]
    requests = [await each.request(signer=each.address, nonce=0) for each in owners]
    answers = await asyncio.gather(*(user.asks("POST", "/api/relay", each) for each in requests))
    assert [status for status, _, _ in answers] == [202] * len(owners)
    for _, sent, _ in answers:
        await user.until(f"/files?transaction={sent['transactionHash']}", None, lambda page: page["files"])


async def test_who_relays_too_much_is_told_when_to_come_back(user):
    refused = [await user.asks("POST", "/api/relay", {}) for _ in range(13)]
    status, _, headers = refused[-1]
    assert (status, 0 < int(headers["Retry-After"]) <= 100) == (429, True)


def test_it_leaves_no_process_behind(tmp_path):
    with running_network(tmp_path, *OPTIONS) as network:
        assert network.rpc("eth_chainId") == hex(14800)
        network.process.kill()
        url = network["STORAGE_URL"], network["RPC_URL"]
        assert all(_refused(each) for each in url)


def _refused(url: str) -> bool:
    """Whether nobody listens any more, as will be so soon."""
    at = urlsplit(url)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            socket.create_connection((at.hostname, at.port), timeout=PATIENCE).close()
        except OSError:
            return True
        time.sleep(0.02)
    return False
