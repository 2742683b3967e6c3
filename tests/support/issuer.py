"""An OAuth2 token server, and an API that takes nothing but its tokens, on a `Target`."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from aiohttp import web
from support.driving import Target

TOKEN_PATH = "/oauth/token"
API_PATH = "/api"
CLIENT_ID = "load: test"
CLIENT_SECRET = "s3cr3t &é+"


@dataclass
class Issuer:
    """What was asked of it, and how it answers from now on.

    Attributes:
        lifetime: `expires_in` of the next tokens; None: not told.
        answers: What the next requests are answered with instead of a token.
        delay: How long an answer to a request for a token takes, in seconds.
        length: Characters of a token, about.
        asked: The forms of all requests for a token.
        issued: All tokens.
        valid: Those that the API takes.
        shown: The tokens that came with requests to the API, in order.
        refused: How often the API was shown something else.
        events: `asked`, `issued` and `api`, in order.
    """

    lifetime: float | None = 3600
    answers: web.Response | None = None
    delay: float = 0
    length: int = 20
    asked: list[dict[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    shown: list[str] = field(default_factory=list)
    refused: int = 0
    events: list[str] = field(default_factory=list)

    def serve(self, server: Target) -> None:
        """Answer on a target: tokens, and whatever lies at the API's path."""
        server.answers[TOKEN_PATH] = self.token
        server.answers[API_PATH] = self.api

    def fail(self, status: int, **fields: Any) -> None:
        """Answer requests for a token with an error from now on."""
        self.answers = web.json_response(fields, status=status)

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        self.asked.append(form)
        self.events.append("asked")
        await asyncio.sleep(self.delay)
        if self.answers is not None:
            body = self.answers.body
            assert isinstance(body, bytes | None)
            return web.Response(status=self.answers.status, body=body, headers=self.answers.headers)
        if self._client(request, form) != (CLIENT_ID, CLIENT_SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        assert (request.method, form["grant_type"]) == ("POST", "client_credentials")
        value = f"tok.{len(self.issued)}-{'x' * self.length}=="
        self.issued.append(value)
        self.valid.add(value)
        self.events.append("issued")
        fields: dict[str, Any] = {"access_token": value, "token_type": "bearer"}
        if self.lifetime is not None:
            fields["expires_in"] = self.lifetime
        return web.json_response(fields)

    def _client(self, request: web.Request, form: dict[str, str]) -> tuple[str, str]:
        if "client_id" in form:
            assert "Authorization" not in request.headers
            return form["client_id"], form["client_secret"]
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        assert scheme == "Basic"
        name, _, secret = b64decode(credentials).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)

    async def api(self, request: web.Request) -> web.StreamResponse:
        value = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.shown.append(value)
        self.events.append("api")
        if value not in self.valid:
            self.refused += 1
            return web.json_response({"seen": value}, status=401)
        return web.json_response({"seen": value})


def oauth2(**fields: Any) -> dict[str, Any]:
    """The `auth` of a manifest."""
    return {
        "oauth2": {
            "tokenUrl": TOKEN_PATH,
            "clientId": CLIENT_ID,
            "clientSecret": "${var.secret}",
            **fields,
        }
    }
