"""The web API between user and chain: relay, personal server, and the way to storage.

- `POST /api/relay` sends what a user has signed: the relayer pays, the contract checks the signature. What the contract would
  refuse is not sent.
- `GET /api/identity` is a user's personal server: the public key that data for it is encrypted with, and the
  account that the user has to grant a permission.
- `POST /api/trusted-server` has that server work on a file. The permission must be on the chain, and must hold the key
  that opens the file; the work itself is a job at one of several AI accounts, and `/api/trusted-server/poll` tells how far
  it is.
- `/api/storage/...` hands out pre-signed URLs; the data itself never passes here.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import aiohttp
from aiohttp import web
from data_portability.chain import Contract, RpcError
from data_portability.inference import Inference
from data_portability.limits import Faults, RefusedError, TokenBucket, json_body
from data_portability.opening import PersonalServers
from data_portability.signing import StorageAccount
from data_portability.storage import URL_SECONDS, Storage, deletion

GAS_MARGIN = 1.2
# The same for all that it suffices for: where one does not fit into a block, the next must not fit either. Else anvil tries that one, finds
# that its nonce is too high, and drops it with all that follow.
RELAYED_GAS = 800_000
LONGEST_NAME = 512
LONGEST_PROMPT = 4000


@dataclass(frozen=True, slots=True)
class Behind:
    """What the web API stands in front of.

    Args:
        chain_id: Of the chain.
        registry: The contract.
        token: The address of the reward's token.
        relayer: The account that relays, whose key the node holds.
        relay_limit: How much may be relayed.
        storage: The object store.
        inference: The AI service, for its accounts; jobs go to `inference_url` by HTTP.
        inference_url: Its origin.
        session: For requests to what is behind.
        servers: The personal servers.
        server_account: The account of personal servers on the chain.
    """

    chain_id: int
    registry: Contract
    token: str
    relayer: str
    relay_limit: TokenBucket
    storage: Storage
    inference: Inference
    inference_url: str
    session: aiohttp.ClientSession
    servers: PersonalServers
    server_account: str


class WebApi:
    """The handlers of the web API."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self._storage_turns = cycle(behind.storage.accounts)
        self._ai_turns = cycle(behind.inference.keys)
        # The node gives each transaction of an account the next nonce, but two at once the same one.
        self._relaying = asyncio.Lock()

    def app(self, faults: Faults) -> web.Application:
        """Its HTTP interface."""
        app = web.Application(middlewares=[faults.middleware])
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/api/network", self.network),
                web.get("/api/identity", self.identity),
                web.post("/api/relay", self.relay),
                web.post("/api/trusted-server", self.infer),
                web.post("/api/trusted-server/poll", self.poll),
                web.post("/api/storage/uploads", self.upload_url),
                web.post("/api/storage/clean-up", self.clean_up),
            ]
        )
        return app

    async def health(self, _: web.Request) -> web.Response:
        """Whether it is there."""
        return web.json_response({"status": "ok"})

    async def network(self, _: web.Request) -> web.Response:
        """What there is: chain, contracts, accounts to choose from."""
        behind = self._behind
        return web.json_response(
            {
                "chainId": behind.chain_id,
                "registry": behind.registry.address,
                "token": behind.token,
                "storageAccounts": list(behind.storage.accounts),
                "aiAccounts": list(behind.inference.keys),
            }
        )

    async def identity(self, request: web.Request) -> web.Response:
        """The personal server of the user `address`: its public key (secp256k1, compressed) and account."""
        address = request.query.get("address", "").lower()
        if not _is_address(address):
            raise RefusedError(400, "address is not 0x and 40 hexadecimal digits")
        key = self._behind.servers.public_key(address)
        return web.json_response({"publicKey": key, "account": self._behind.server_account})

    async def relay(self, request: web.Request) -> web.Response:
        """Sends `addFileWithPermissions` for an owner who has signed it; answers with the transaction's hash."""
        behind = self._behind
        if (wait := behind.relay_limit.wait()) > 0:
            raise RefusedError(429, "too much to relay", retry_after=wait)
        body = await json_body(request, url=str, owner=str, permissions=list, deadline=int, signature=str)
        registry, function = behind.registry, "addFileWithPermissionsBySignature"
        try:
            granted = [(each["account"], each["key"]) for each in body["permissions"]]
            signature = bytes.fromhex(body["signature"].removeprefix("0x"))
            args = (body["url"], body["owner"], granted, body["deadline"], signature)
            registry.data(function, *args)
        except Exception as error:
            raise RefusedError(400, f"the request cannot be encoded: {error}") from error
        try:
            gas = await registry.estimate(behind.relayer, function, *args)
        except RpcError as error:
            raise RefusedError(422, str(error), code=registry.refusal(error)) from error
        try:
            async with self._relaying:
                limit = max(RELAYED_GAS, round(gas * GAS_MARGIN))
                sent = await registry.send(behind.relayer, limit, function, *args)
        except RpcError as error:
            raise RefusedError(502, f"the node did not take the transaction: {error}") from error
        return web.json_response({"transactionHash": sent}, status=202)

    async def infer(self, request: web.Request) -> web.Response:
        """Has the personal server work on what a permission opens; answers with the operation's id."""
        behind = self._behind
        body = await json_body(request, permissionId=int, prompt=str)
        content = await self._permitted(body["permissionId"])
        name = body.get("account") or next(self._ai_turns)
        if name not in behind.inference.keys:
            raise RefusedError(400, f"there is no AI account {name}")
        key = behind.inference.keys[name]
        prompt = f"{body['prompt']}\n{json.dumps(content)[:LONGEST_PROMPT]}"
        job = await self._ask(key, "POST", "/v1/jobs", {"prompt": prompt})
        return web.json_response({"operationId": f"{name}.{job['jobId']}", "account": name}, status=202)

    async def _permitted(self, permission: int) -> dict[str, Any]:
        """The data that a permission opens to the personal server."""
        registry = self._behind.registry
        try:
            file, account, key = await registry.read("grants", permission)
            owner, url, *_ = await registry.read("files", file)
        except RpcError as error:
            raise RefusedError(404, str(error), code=registry.refusal(error)) from error
        if account.lower() != self._behind.server_account.lower():
            raise RefusedError(403, "the permission is another account's")
        return await self._behind.servers.opened(owner, url, key)

    async def poll(self, request: web.Request) -> web.Response:
        """How far an operation is, and its result."""
        body = await json_body(request, operationId=str)
        name, _, number = body["operationId"].partition(".")
        key = self._behind.inference.keys.get(name)
        if key is None or not number.isalnum():
            raise RefusedError(404, "there is no such operation")
        job = await self._ask(key, "GET", f"/v1/jobs/{number}")
        return web.json_response({"status": job["status"], "result": job["result"]})

    async def _ask(self, key: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """The AI service's answer; its refusals are passed on, with when to come back."""
        session, url = self._behind.session, self._behind.inference_url + path
        async with session.request(method, url, json=body, headers={"X-Api-Key": key}) as answer:
            found: dict[str, Any] = await answer.json()
            if answer.status >= 400:
                after = answer.headers.get("Retry-After")
                wait = float(after) if after else None
                raise RefusedError(answer.status, found.get("error", ""), retry_after=wait)
            return found

    async def upload_url(self, request: web.Request) -> web.Response:
        """URLs with which one object can be put, read and deleted, at `account` or at the next one."""
        body = await json_body(request, name=str)
        name = body["name"]
        if not 0 < len(name) <= LONGEST_NAME:
            raise RefusedError(400, f"the name has 1 to {LONGEST_NAME} characters")
        storage = self._behind.storage
        account = self._storage_account(body.get("account") or next(self._storage_turns))
        return web.json_response(
            {
                "account": account.name,
                "putUrl": storage.url(account, "PUT", name),
                "getUrl": storage.url(account, "GET", name),
                "deleteUrl": storage.url(account, "DELETE", name),
                "fileUrl": f"s3://{account.bucket}/{name}",
                "expiresIn": URL_SECONDS,
            }
        )

    async def clean_up(self, request: web.Request) -> web.Response:
        """What deletes the objects whose names begin with `prefix`: per account one URL, and a body to post to it.

        S3 deletes a thousand at once, so ask again until there are none.
        """
        body = await json_body(request, prefix=str)
        if not body["prefix"]:
            raise RefusedError(400, "the prefix is empty: that would delete everything")
        storage, deletions = self._behind.storage, []
        for account in storage.accounts.values():
            keys = await storage.listed(self._behind.session, account, body["prefix"])
            if keys:
                url = storage.url(account, "POST", "", delete="")
                deletions.append(
                    {"account": account.name, "url": url, "body": deletion(keys), "objects": len(keys)}
                )
        return web.json_response({"deletions": deletions})

    def _storage_account(self, name: object) -> StorageAccount:
        found = self._behind.storage.accounts.get(str(name))
        if found is None:
            raise RefusedError(400, f"there is no storage account {name}")
        return found


def _is_address(text: str) -> bool:
    return (
        len(text) == 42 and text.startswith("0x") and all(digit in "0123456789abcdef" for digit in text[2:])
    )
