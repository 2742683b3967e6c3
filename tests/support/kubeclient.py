"""A client of the Kubernetes API small enough to see through: JSON over HTTPS with a client certificate.

The tests ask what the *server* does with a manifest. A full client library would validate, default and prune on its own
side and blur the answer.
"""

import json
import ssl
import time
import urllib.parse
from http import HTTPStatus
from http.client import HTTPResponse, HTTPSConnection
from typing import Any

FIELD_MANAGER = "squall-tests"
BUSY_RETRIES = 10

Json = dict[str, Any]


class ApiError(Exception):
    """The server refused; `status` is the HTTP code, the message is the server's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class KubeClient:
    """Talks to one API server over one connection, hence from one thread; `close` it at the end.

    Every method raises `ApiError` when the server refuses, and OSError when it is not there.

    Attributes:
        warnings: What the server said beside its last answer, as `kubectl` prints it after `Warning:`.
    """

    def __init__(self, url: str, ssl_context: ssl.SSLContext) -> None:
        self.url = url
        self.warnings: list[str] = []
        address = urllib.parse.urlsplit(url).netloc
        self._connection = HTTPSConnection(address, context=ssl_context, timeout=30)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

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
        """Send one request and return the decoded answer; an answer that is no object of JSON comes back as `{"text": ...}`."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": content_type} if data else {})
        content = self._answer(method, path, data, headers)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {"text": content.decode(errors="replace")}

    def text(self, path: str) -> str:
        """What lies at a path as it is, such as a log, whose lines may well be JSON."""
        return self._answer("GET", path, None, {"Accept": "*/*"}).decode(errors="replace")

    def _answer(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> bytes:
        for _ in range(BUSY_RETRIES):
            response = self._send(method, path, data, headers)
            content = response.read()
            # RFC 7234, section 5.5: a code, who says it, and the text in quotes.
            said = response.headers.get_all("Warning", [])
            self.warnings = [json.loads(each.split(" ", 2)[2]) for each in said]
            if response.status < HTTPStatus.BAD_REQUEST:
                return content
            refused = ApiError(response.status, _message(content))
            wait = response.headers.get("Retry-After")
            # As every client of Kubernetes does: "busy, ask again", for instance while a new CRD's storage comes up.
            if response.status != HTTPStatus.TOO_MANY_REQUESTS or wait is None:
                raise refused
            time.sleep(float(wait))
        raise refused

    def _send(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> HTTPResponse:
        reused = self._connection.sock is not None
        try:
            return self._exchange(method, path, data, headers)
        except OSError:
            if not reused:
                raise
        # The server may close a connection that has been idle; nothing of the request was done then.
        return self._exchange(method, path, data, headers)

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> HTTPResponse:
        try:
            self._connection.request(method, path, data, headers)
            return self._connection.getresponse()
        except BaseException:
            self._connection.close()  # what was broken off half-way is good for nothing more
            raise

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
    try:
        answer = json.loads(content)
    except ValueError:
        return content.decode(errors="replace")
    return str(answer.get("message") or answer) if isinstance(answer, dict) else str(answer)
