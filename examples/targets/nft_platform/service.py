"""The platform's HTTP interface."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from limits import Behaviour
from store import ConflictError, Store

STORE = web.AppKey("store", Store)
BEHAVIOUR = web.AppKey("behaviour", Behaviour)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
routes = web.RouteTableDef()


def make_app(store: Store, behaviour: Behaviour) -> web.Application:
    """The application over a store, within the platform's limits."""
    app = web.Application(middlewares=[behaviour.middleware, _errors], client_max_size=32 * 2**20)
    app[STORE] = store
    app[BEHAVIOUR] = behaviour
    app.add_routes(routes)
    return app


class RefusedError(Exception):
    """A request that cannot be served."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as error:
        return web.json_response({"error": str(error)}, status=error.status)
    except ConflictError as error:
        return web.json_response({"error": str(error)}, status=409)


async def _json(request: web.Request, *names: str) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise RefusedError(400, "the body is no JSON") from None
    if not isinstance(body, dict) or not all(name in body for name in names):
        raise RefusedError(400, f"the body needs {', '.join(names)}")
    return body


def _user(request: web.Request) -> int:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    user = request.app[STORE].user_of(token) if scheme == "Bearer" else None
    if user is None:
        raise RefusedError(401, "a valid bearer token is needed")
    return user


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Whether the platform is there, and what it holds."""
    return web.json_response({"status": "ok", "counts": request.app[STORE].counts()})


@routes.post("/api/auth/signup")
async def sign_up(request: web.Request) -> web.Response:
    """A new user."""
    body = await _json(request, "email", "password")
    user = request.app[STORE].sign_up(str(body["email"]), str(body["password"]))
    return web.json_response({"userId": user, "token": request.app[STORE].token_for(user)})


@routes.post("/api/auth/login")
async def log_in(request: web.Request) -> web.Response:
    """A token for a user."""
    body = await _json(request, "email", "password")
    token = request.app[STORE].log_in(str(body["email"]), str(body["password"]))
    if token is None:
        raise RefusedError(401, "wrong address or password")
    return web.json_response({"token": token})


@routes.post("/oauth/token")
async def token(request: web.Request) -> web.Response:
    """A token for a program: client credentials, which are a user's address and password (RFC 6749, section 4.4)."""
    try:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        client, _, secret = base64.b64decode(shown).decode().partition(":")
    except ValueError:
        scheme = client = secret = ""
    if (await request.post()).get("grant_type") != "client_credentials":
        return web.json_response({"error": "unsupported_grant_type"}, status=400)
    found = (
        request.app[STORE].log_in(unquote_plus(client), unquote_plus(secret)) if scheme == "Basic" else None
    )
    if found is None:
        return web.json_response({"error": "invalid_client"}, status=401)
    return web.json_response({"access_token": found, "token_type": "Bearer", "expires_in": 3600})


@routes.post("/api/upload")
async def upload(request: web.Request) -> web.Response:
    """Keeps a file from a multipart form."""
    user = _user(request)
    form = await request.post()
    file = form.get("file")
    if not isinstance(file, web.FileField):
        raise RefusedError(400, "the form needs a part `file`")
    asset = request.app[STORE].upload(user, file.filename, file.content_type, file.file.read())
    return web.json_response({"assetId": asset})


@routes.post("/api/nft/mint")
async def mint(request: web.Request) -> web.Response:
    """Mints an NFT, at the pace of the chain."""
    user = _user(request)
    body = await _json(request, "assetId", "title", "description")
    await request.app[BEHAVIOUR].transaction()
    nft = request.app[STORE].mint(user, body["assetId"], str(body["title"]), str(body["description"]))
    return web.json_response({"nftId": nft})


@routes.get("/api/nfts")
async def nfts(request: web.Request) -> web.Response:
    """A page of NFTs; `q` filters by the beginning of the title."""
    _user(request)
    try:
        page, size = int(request.query.get("page", 1)), int(request.query.get("size", 20))
    except ValueError:
        raise RefusedError(400, "page and size are whole numbers") from None
    if page < 1 or not 1 <= size <= 100:
        raise RefusedError(400, "page counts from 1, size goes from 1 to 100")
    found, total = request.app[STORE].nfts(request.query.get("q", ""), page, size)
    return web.json_response({"nfts": found, "page": page, "total": total})


@routes.post("/api/marketplace/list")
async def list_for_sale(request: web.Request) -> web.Response:
    """Puts an NFT up for sale."""
    _user(request)
    body = await _json(request, "nftId", "priceUSD", "duration")
    listing = request.app[STORE].list_for_sale(
        int(body["nftId"]), float(body["priceUSD"]), str(body["duration"])
    )
    return web.json_response({"listingId": listing})


@routes.post("/api/subscription/subscribe")
async def subscribe(request: web.Request) -> web.Response:
    """Subscribes, after a payment that takes its time."""
    user = _user(request)
    body = await _json(request, "plan")
    await _payment(request)
    return web.json_response({"subscriptionId": request.app[STORE].subscribe(user, str(body["plan"]))})


@routes.post("/api/subscription/cancel")
async def cancel(request: web.Request) -> web.Response:
    """Cancels a subscription; the payment provider has to be told too."""
    user = _user(request)
    body = await _json(request, "subscriptionId")
    await _payment(request)
    if not request.app[STORE].cancel(user, int(body["subscriptionId"])):
        raise RefusedError(404, "there is no such subscription")
    return web.json_response({"cancelled": True})


async def _payment(request: web.Request) -> None:
    await asyncio.sleep(request.app[BEHAVIOUR].payment_latency)
