"""A namespace of a cluster, and what the command line asks of it."""

from __future__ import annotations

import asyncio
import zlib
from base64 import b64decode
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from squall.errors import SquallError, UsageError
from squall.kube.api import Kube, KubeError
from squall.kube.paths import collection, named
from squall.remote.seen import status_of
from squall.report.model import MAX_SUMMARY, SCHEMA, Summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from squall.kube.api import Json

MANAGER: Final = "squall-cli"
REPORT_KEY: Final = "summary.json.gz"
_WATCH_SECONDS: Final = 60
"""How long one watch lasts; whoever sits between may forget longer ones."""
_RETRY_SECONDS: Final = 1.0
_REPORT_TRIES: Final = 30
_FINAL: Final = frozenset({400, 401, 403, 404, 405, 422})
"""Answers that do not get better by asking again."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where LoadTests are."""

    kube: Kube
    namespace: str

    def path(self, name: str) -> str:
        """The path of a LoadTest."""
        return named("loadtests", self.namespace, name)

    async def load_test(self, name: str) -> Json:
        """A LoadTest.

        Raises:
            UsageError: There is none of that name.
        """
        found = await self.find(name)
        if found is None:
            raise UsageError(
                f'there is no LoadTest "{name}" in namespace {self.namespace}', "`squall get` lists them"
            )
        return found

    async def find(self, name: str) -> Json | None:
        """A LoadTest, or None."""
        try:
            return await self.kube.get(self.path(name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def hold(self, name: str, *, suspend: bool) -> Json:
        """Set or take back `spec.suspend`."""
        return await self.kube.merge(self.path(name), {"spec": {"suspend": suspend}})

    async def summary(self, report: str) -> Summary:
        """The summary in a report ConfigMap.

        Raises:
            KubeError: It is not there.
            UsageError: This version cannot read it.
        """
        body = await self.kube.get(named("configmaps", self.namespace, report))
        try:
            packed = b64decode((body.get("binaryData") or {})[REPORT_KEY])
            summary = msgspec.json.decode(_unpacked(packed), type=Summary)
        except (KeyError, ValueError, RecursionError, zlib.error) as error:
            raise UsageError(f"ConfigMap {report} holds no report: {error}") from error
        if summary.schema != SCHEMA:
            raise UsageError(
                f"ConfigMap {report} has schema {summary.schema!r}; this version reads {SCHEMA!r}"
            )
        return summary

    async def final(self, report: str, tell: Callable[[str], None]) -> Summary | None:
        """The summary of a run that has just ended; None, and a word about it, when it cannot be had: the verdict stands without."""
        for attempt in range(_REPORT_TRIES):
            try:
                return await self.summary(report)
            except SquallError as error:
                passing = isinstance(error, KubeError) and error.status not in _FINAL
                if not passing or attempt == _REPORT_TRIES - 1:
                    tell(f"warning: the report cannot be shown: {error.message}")
                    return None
            await asyncio.sleep(_RETRY_SECONDS)
        return None

    async def report_of(self, name: str, run: str = "") -> Summary:
        """The summary of a finished run of a LoadTest; of the last one when no run is named.

        Raises:
            UsageError: There is no such run, or it has left no report.
        """
        history = status_of(await self.load_test(name)).history
        past = next((each for each in history if run in ("", each.id)), None)
        if past is None:
            known = ", ".join(each.id for each in history)
            said = f"has no finished run {run}" if run else "has no finished run yet"
            raise UsageError(f"LoadTest {name} {said}", f"its finished runs: {known}" if known else "")
        if not past.report:
            raise UsageError(f"run {past.id} has left no report: {past.result} ({past.reason})")
        return await self.summary(past.report)

    async def follow(self, name: str, tell: Callable[[str], None]) -> AsyncIterator[Json | None]:
        """A LoadTest now and whenever it changes; None when it is gone. An API server that is away is waited for.

        Raises:
            KubeError: The server refuses.
        """
        path = f"{collection('loadtests', self.namespace)}?fieldSelector=metadata.name%3D{name}"
        away = False
        while True:
            try:
                listed = await self.kube.get(path)
                away = False
                yield listed["items"][0] if listed["items"] else None
                version = listed["metadata"]["resourceVersion"]
                query = f"&watch=true&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
                async for line in self.kube.lines(path + query, idle_seconds=_WATCH_SECONDS + 15):
                    event: dict[str, Any] = msgspec.json.decode(line)
                    if event["type"] == "ERROR":
                        break  # what was asked for is too long ago: begin anew
                    yield None if event["type"] == "DELETED" else event["object"]
            except KubeError as error:
                if error.status in _FINAL:
                    raise
                if not away:
                    tell(f"{error.message}; the run does not depend on it, waiting")
                away = True
                await asyncio.sleep(_RETRY_SECONDS)


@asynccontextmanager
async def connected(namespace: str = "", context: str = "") -> AsyncIterator[Cluster]:
    """A cluster, until the end of the block.

    Args:
        namespace: By default that of the kubeconfig's context.
        context: By default the kubeconfig's current one.

    Raises:
        KubeError: There is no way to it.
    """
    kube, usual = await Kube.of_context(MANAGER, context)
    try:
        yield Cluster(kube, namespace or usual)
    finally:
        await kube.close()


def _unpacked(packed: bytes) -> bytes:
    """What was compressed by gzip; whoever may write ConfigMaps can have written this one.

    Raises:
        ValueError: It is larger than any summary, or was cut short.
        zlib.error: It is not gzip's.
    """
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    data = reader.decompress(packed, MAX_SUMMARY + 1)
    if len(data) > MAX_SUMMARY:
        raise ValueError(f"it unfolds to more than {MAX_SUMMARY >> 20} MiB")
    if not reader.eof:
        raise ValueError("it was cut short")
    return data
