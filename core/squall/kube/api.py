"""A client of the Kubernetes API: plain objects over the official client, each call with a timeout.

The official client brings what is hard: configuration inside and outside a cluster, credentials that are renewed, TLS. Its models are left
aside: objects here are plain data, as they come from watches and go into manifests, so nothing is lost or invented on the way.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
    refresh_token,
)

from squall.errors import SquallError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

Json = dict[str, Any]
Observer = Callable[[str, int, float], None]
"""Method, status, and seconds of a call; the status is 0 where there was no answer."""

SECONDS: Final = 15.0
"""How long one call may take."""
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
_RENEWED_SECONDS: Final = 30.0
_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubeError(SquallError):
    """The API server refused, or is not there.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
        reason: The server's word for it, such as `AlreadyExists`.
    """

    def __init__(self, status: int, message: str, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.reason = reason


class Kube:
    """Calls the API server. Made inside a running event loop; `close` it at the end.

    Args:
        client: The official client.
        manager: In whose name fields are changed.
        renewing: Keeps its credentials fresh; ended with it.
        observe: Told of each call, when it is over.
    """

    def __init__(
        self,
        client: ApiClient,
        manager: str,
        renewing: asyncio.Task[None] | None = None,
        observe: Observer | None = None,
    ) -> None:
        self._client = client
        self._manager = manager
        self._renewing = renewing
        self._observe = observe

    @classmethod
    async def connect(cls, manager: str, observe: Observer | None = None) -> Kube:
        """A client with the credentials of the pod, or of the kubeconfig outside of a cluster.

        Args:
            manager: In whose name fields are changed.
            observe: Told of each call, when it is over.

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
        return cls(ApiClient(configuration), manager, observe=observe)

    @classmethod
    async def of_context(cls, manager: str, context: str = "") -> tuple[Kube, str]:
        """A client as somebody's kubeconfig says, and the namespace that it names, as `kubectl` would take them.

        Args:
            manager: In whose name fields are changed.
            context: Of the kubeconfig; its current one when empty. Where there is no kubeconfig but a pod's credentials, those.

        Raises:
            KubeError: There is no kubeconfig, or no such context.
        """
        configuration = Configuration()
        place = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        try:
            if not context and not any(map(os.path.exists, place.split(os.pathsep))):
                load_incluster_config(client_configuration=configuration)
                return cls(ApiClient(configuration), manager), _POD_NAMESPACE.read_text(
                    encoding="utf-8"
                ).strip()
            contexts, current = list_kube_config_contexts(place)
            chosen = (
                next((each for each in contexts if each["name"] == context), None) if context else current
            )
            if chosen is None:
                raise KubeError(0, f"the kubeconfig has no context {context!r}")
            loader = await load_kube_config(
                config_file=place,
                context=chosen["name"],
                client_configuration=configuration,
                persist_config=False,
            )
        except (ConfigException, OSError) as error:
            there = any(map(os.path.exists, place.split(os.pathsep)))
            why = error if there else f"there is no kubeconfig {place}, and this is no pod"
            hint = "set KUBECONFIG, or give --context" if there else "set KUBECONFIG to where it is"
            raise KubeError(0, f"there is no way to a cluster: {why}", hint=hint) from error
        # What a credential plugin gives lasts for minutes, and whoever follows a run stays for hours.
        renewing = asyncio.create_task(refresh_token(loader, configuration, interval=_RENEWED_SECONDS))
        namespace = str(chosen["context"].get("namespace") or "default")
        return cls(ApiClient(configuration), manager, renewing), namespace

    async def close(self) -> None:
        """Let go of the connections."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
        await self._client.close()

    async def get(self, path: str) -> Json:
        """Read an object or a list."""
        return await self.request("GET", path)

    async def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """Create an object in a collection."""
        return await self.request("POST", f"{path}?fieldManager={self._manager}", body)

    async def apply(
        self, path: str, body: Mapping[str, Any], *, force: bool = True, dry_run: bool = False
    ) -> Json:
        """Make an object, or bring the fields that are given to what they should be (server-side apply).

        Args:
            path: Of the object.
            body: With the fields that are to be ours; those that were and are not given any more go.
            force: Whether fields that others manage are taken over; else such an apply is refused with status 409.
            dry_run: Whether the server only answers what would come of it.
        """
        query = f"?fieldManager={self._manager}&force={str(force).lower()}" + (
            "&dryRun=All" if dry_run else ""
        )
        return await self.request("PATCH", path + query, body, content_type=APPLY)

    async def merge(self, path: str, body: Mapping[str, Any]) -> Json:
        """Change some fields of an object."""
        return await self.request("PATCH", f"{path}?fieldManager={self._manager}", body, content_type=MERGE)

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
        async with self._answered(method, path, headers, body, timeout=SECONDS) as response:
            content = await response.read()
        return dict(msgspec.json.decode(content)) if content else {}

    async def lines(self, path: str, *, idle_seconds: float | None = None) -> AsyncIterator[bytes]:
        """Read an answer line by line while it comes in: a watch, or the log of a pod.

        Args:
            path: With its query.
            idle_seconds: How long nothing may come; None for ever.

        Raises:
            KubeError: The server refused, or went away.
        """
        limits = aiohttp.ClientTimeout(total=None, connect=SECONDS, sock_read=idle_seconds)
        async with self._answered("GET", path, {"Accept": "*/*"}, None, timeout=limits) as response:
            rest = b""
            async for chunk in response.content.iter_any():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line
            if rest:
                yield rest

    @asynccontextmanager
    async def _answered(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        *,
        timeout: float | aiohttp.ClientTimeout,  # noqa: ASYNC109 - handed on to the client
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a request, unless it is an error."""
        status, began = 0, time.perf_counter()
        try:
            verb, url, sent, *_ = await self._client.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            plain = None if body is None else msgspec.to_builtins(body)
            answer = await self._client.call_api(verb, url, sent, plain, _request_timeout=timeout)
            async with answer.response as response:
                status = response.status
                if response.status >= 400:
                    raise _refused(response.status, await response.read())
                yield response
        except ApiException as error:
            status = error.status or 0
            raise _refused(error.status or 0, error.body or str(error.reason)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status = 0
            raise KubeError(
                0, f"the Kubernetes API does not answer: {str(error) or type(error).__name__}"
            ) from error
        finally:
            if self._observe is not None:
                self._observe(method, status, time.perf_counter() - began)


def _refused(status: int, content: str | bytes) -> KubeError:
    try:
        answer = msgspec.json.decode(content)
        return KubeError(status, str(answer.get("message") or answer), str(answer.get("reason", "")))
    except (msgspec.DecodeError, AttributeError):
        text = content if isinstance(content, str) else content.decode(errors="replace")
        return KubeError(status, f"{status}: {text[:300]}")
