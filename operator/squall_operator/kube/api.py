"""A client of the Kubernetes API: plain objects over the official client, each call with a timeout.

The official client brings what is hard: configuration inside and outside a cluster, credentials that are renewed, TLS. Its models are left
aside: objects here are plain data, as they come from watches and go into manifests, so nothing is lost or invented on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from squall.errors import SquallError

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

FIELD_MANAGER: Final = "squall-operator"
SECONDS: Final = 15.0
"""How long one call may take."""
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"


class KubeError(SquallError):
    """The API server refused, or is not there.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
        reason: The server's word for it, such as `AlreadyExists`.
    """

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Kube:
    """Calls the API server. Made inside a running event loop; `close` it at the end."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    @classmethod
    async def connect(cls) -> Kube:
        """A client with the credentials of the pod, or of the kubeconfig outside of a cluster.

        Raises:
            KubeError: There are none.
        """
        configuration = Configuration()
        try:
            try:
                load_incluster_config(client_configuration=configuration)
            except ConfigException:
                await load_kube_config(client_configuration=configuration)
        except ConfigException as error:
            raise KubeError(0, f"there is no way to the Kubernetes API: {error}") from error
        return cls(ApiClient(configuration))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    async def get(self, path: str) -> Json:
        """Read an object or a list."""
        return await self.request("GET", path)

    async def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """Create an object in a collection."""
        return await self.request("POST", f"{path}?fieldManager={FIELD_MANAGER}", body)

    async def apply(self, path: str, body: Mapping[str, Any]) -> Json:
        """Make an object, or bring the fields that are given to what they should be (server-side apply)."""
        query = f"?fieldManager={FIELD_MANAGER}&force=true"
        return await self.request("PATCH", path + query, body, content_type=APPLY)

    async def merge(self, path: str, body: Mapping[str, Any]) -> Json:
        """Change some fields of an object."""
        return await self.request("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", body, content_type=MERGE)

    async def delete(self, path: str, *, body: Mapping[str, Any] | None = None) -> bool:
        """Delete an object or a collection; returns whether it was there."""
        try:
            await self.request("DELETE", path, body)
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
    ) -> Json:
        """Send one request; returns the decoded answer.

        Raises:
            KubeError: The server refused, or did not answer in time.
        """
        headers = {"Accept": "application/json"} | (
            {"Content-Type": content_type} if body is not None else {}
        )
        try:
            verb, url, sent, *_ = await self._client.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            plain = None if body is None else msgspec.to_builtins(body)
            response = await self._client.call_api(verb, url, sent, plain, _request_timeout=SECONDS)
            content = await response.read()
        except ApiException as error:
            raise _refused(error.status or 0, error.body or str(error.reason)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(
                0, f"the Kubernetes API does not answer: {str(error) or type(error).__name__}"
            ) from error
        if response.status >= 400:
            raise _refused(response.status, content)
        return dict(msgspec.json.decode(content)) if content else {}


def _refused(status: int, content: str | bytes) -> KubeError:
    try:
        answer = msgspec.json.decode(content)
        return KubeError(status, str(answer.get("message") or answer), str(answer.get("reason", "")))
    except (msgspec.DecodeError, AttributeError):
        text = content if isinstance(content, str) else content.decode(errors="replace")
        return KubeError(status, f"{status}: {text[:300]}")
