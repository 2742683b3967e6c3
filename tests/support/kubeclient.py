"""A client of the Kubernetes API small enough to see through: JSON over HTTPS with a client certificate.

The tests ask what the *server* does with a manifest. A full client library would validate, default and prune on its own
side and blur the answer.
"""

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

FIELD_MANAGER = "squall-tests"
BUSY_RETRIES = 10

Json = dict[str, Any]


class ApiError(Exception):
    """The server refused; `status` is the HTTP code, the message is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class KubeClient:
    """Talks to one API server; every method raises `ApiError` when the server refuses."""

    url: str
    ssl_context: ssl.SSLContext

    def get(self, path: str) -> Json:
        """Read an object, a list, or discovery."""
        return self.request("GET", path)

    def get_table(self, path: str) -> Json:
        """Read an object or a list as the table that `kubectl get` prints."""
        return self.request("GET", path, accept="application/json;as=Table;g=meta.k8s.io;v=v1")

    def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection; unknown fields are refused, as `kubectl create` asks for."""
        return self.request("POST", f"{path}?fieldValidation=Strict", body)

    def apply(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        """Apply an object by server-side apply; unknown fields are refused, as `kubectl apply` asks for."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        # YAML's content type, JSON's text: every JSON document is a YAML one.
        kind = "application/apply-patch+yaml"
        return self.request("PATCH", f"{path}?{urllib.parse.urlencode(query)}", body, content_type=kind)

    def merge_patch(self, path: str, body: Json) -> Json:
        """Change an object, or with a path that ends in `/status` its status."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def delete(self, path: str) -> Json:
        """Delete an object."""
        return self.request("DELETE", path)

    def request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Json:
        """Send one request and return the decoded answer; an answer that is no JSON comes back as `{"text": ...}`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": content_type} if data else {})
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers, method=method)
        for _ in range(BUSY_RETRIES):
            try:
                with urllib.request.urlopen(request, context=self.ssl_context, timeout=30) as response:
                    return _decoded(response.read())
            except urllib.error.HTTPError as error:
                with error:
                    refused = ApiError(error.code, _message(error.read()))
                    wait = error.headers.get("Retry-After")
                # As every client of Kubernetes does: "busy, ask again", for instance while a new CRD's storage comes up.
                if error.code != HTTPStatus.TOO_MANY_REQUESTS or wait is None:
                    raise refused from None
            time.sleep(float(wait))
        raise refused

    def exists(self, path: str) -> bool:
        """Tell whether an object is there."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _message(content: bytes) -> str:
    answer = _decoded(content)
    return str(answer.get("message") or answer)


def _decoded(content: bytes) -> Json:
    try:
        answer = json.loads(content)
    except ValueError:
        return {"text": content.decode(errors="replace")}
    return answer if isinstance(answer, dict) else {"text": content.decode(errors="replace")}
