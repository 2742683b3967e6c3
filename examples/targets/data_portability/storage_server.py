"""The object store: moto's S3, which takes only requests that are signed as S3 wants them.

Runs by itself, in an interpreter of its own (see `storage`): `storage_server.py '{"AKEXAMPLE": ["secret", "bucket"]}'`, until
its standard input is closed, as it is when whoever started it has ended.
moto keeps objects in memory and answers as S3 does, but takes any signature; S3 does not. So each request is signed
once more here, by the SDK that its clients use, with the secret of the account that it names; one with another signature,
beyond its time, or to another account's bucket gets S3's refusal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]
_SIGNATURE = "X-Amz-Signature"
_CLOCK_SKEW = 60.0


class RefusedError(Exception):
    """A request that S3 would not serve."""

    def __init__(self, status: str, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Guard:
    """Lets those requests through that an account has signed.

    Args:
        app: Serves what is let through.
        accounts: Secret and bucket by access key.
        latency: Mean seconds that a request takes longer.
        failure_rate: Share of requests for objects that are answered with 503 SlowDown.
    """

    def __init__(
        self, app: Application, accounts: dict[str, list[str]], latency: float, failure_rate: float
    ) -> None:
        self._app, self._accounts = app, accounts
        self._latency, self._failure_rate = latency, failure_rate
        self._random = random.Random(1)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._latency:
            time.sleep(self._random.expovariate(1 / self._latency))
        try:
            self._fail_at_random(environ["PATH_INFO"])
            self._check(environ)
        except RefusedError as error:
            return _refusal(error, environ, start_response)
        return self._app(environ, start_response)

    def _fail_at_random(self, path: str) -> None:
        is_object = "/" in path[1:]
        if is_object and self._random.random() < self._failure_rate:
            raise RefusedError("503 Slow Down", "SlowDown", "Reduce your request rate.")

    def _check(self, environ: dict[str, Any]) -> None:
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        given = query.pop(_SIGNATURE, "")
        access_key = query.pop("X-Amz-Credential", "").partition("/")[0]
        if access_key not in self._accounts or not given:
            raise RefusedError("403 Forbidden", "AccessDenied", "The request is not signed by an account.")
        secret, bucket = self._accounts[access_key]
        path = environ["RAW_URI"].partition("?")[0]
        if path.split("/")[1] != bucket:
            raise RefusedError("403 Forbidden", "AccessDenied", "The bucket is another account's.")
        moment, seconds = query.pop("X-Amz-Date", ""), query.pop("X-Amz-Expires", "")
        signed = _signed_at(moment)
        if signed is None or not seconds.isdecimal():
            raise RefusedError("400 Bad Request", "AuthorizationQueryParametersError", "The time is missing.")
        if not -_CLOCK_SKEW <= (datetime.now(UTC) - signed).total_seconds() <= int(seconds):
            raise RefusedError("403 Forbidden", "AccessDenied", "Request has expired")
        for name in ("X-Amz-Algorithm", "X-Amz-SignedHeaders"):
            query.pop(name, None)
        url = f"http://{environ['HTTP_HOST']}{path}" + (f"?{urlencode(query)}" if query else "")
        expected = _signature(
            Credentials(access_key, secret), environ["REQUEST_METHOD"], url, moment, seconds
        )
        if given != expected:
            raise RefusedError("403 Forbidden", "SignatureDoesNotMatch", "The signature does not match.")


class _At(S3SigV4QueryAuth):
    """The SDK's signing of URLs, at a given time instead of now."""

    moment = ""

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self.moment
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))


def _signature(credentials: Credentials, method: str, url: str, moment: str, seconds: str) -> str:
    signer = _At(credentials, "s3", "us-east-1", seconds)
    signer.moment = moment
    request = AWSRequest(method=method, url=url)
    signer.add_auth(request)
    return dict(parse_qsl(request.url.partition("?")[2]))[_SIGNATURE]


def _signed_at(moment: str) -> datetime | None:
    try:
        return datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _refusal(error: RefusedError, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    # What the client still sends must be taken, or it finds the connection closed instead of the answer.
    left = int(environ.get("CONTENT_LENGTH") or 0)
    while left > 0 and (piece := environ["wsgi.input"].read(min(left, 65536))):
        left -= len(piece)
    body = f"<?xml version='1.0'?><Error><Code>{error.code}</Code><Message>{error}</Message></Error>".encode()
    start_response(error.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


class _Quiet(MotoRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: a load test's requests are too many to read."""


def main() -> None:
    """Serve until SIGTERM, or the end of standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("accounts", type=json.loads)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--failure-rate", type=float, default=0.0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    store = DomainDispatcherApplication(create_backend_app)
    guard = Guard(store, options.accounts, options.latency, options.failure_rate)
    server = make_server(options.host, options.port, guard, threaded=True, request_handler=_Quiet)
    threading.Thread(target=lambda: os._exit(len(sys.stdin.read())), daemon=True).start()
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
