"""Signed requests to object storage: AWS Signature Version 4, as S3 takes it.

A pre-signed URL lets whoever holds it do one thing with one object for a while, so data goes straight to storage and no
key leaves the web API. The signature covers method, path, query, host and time; see "Authenticating Requests (AWS
Signature Version 4)" in the S3 API reference for the texts that are built here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class StorageAccount:
    """One account with a provider of storage, and the bucket that it keeps its data in."""

    name: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)


def presigned_url(
    account: StorageAccount,
    endpoint: str,
    method: str,
    key: str,
    *,
    at: datetime,
    expires: int = 900,
    query: Mapping[str, str] | None = None,
) -> str:
    """A URL that does one request within `expires` seconds from `at`.

    Args:
        account: Whose key signs, and whose bucket is meant.
        endpoint: Origin of the storage, such as `http://127.0.0.1:9000`.
        method: Of the request, such as `PUT`.
        key: Name of the object; empty for the bucket itself.
        at: Now, in UTC.
        expires: Seconds that the URL is good for.
        query: Further parameters of the request.
    """
    moment, scope = _moment(at), _scope(at)
    path = "/" + quote(f"{account.bucket}/{key}" if key else account.bucket, safe="/-_.~")
    parameters = dict(query or {}) | {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{account.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    canonical_query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(parameters.items())
    )
    host = urlsplit(endpoint).netloc
    request = "\n".join([method, path, canonical_query, f"host:{host}", "", "host", UNSIGNED])
    return f"{endpoint}{path}?{canonical_query}&X-Amz-Signature={_signature(account, at, request)}"


def _signature(account: StorageAccount, at: datetime, request: str) -> str:
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join([ALGORITHM, _moment(at), _scope(at), digest])
    key = f"AWS4{account.secret_key}".encode()
    for part in (f"{at:%Y%m%d}", REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _scope(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d}/{REGION}/s3/aws4_request"
