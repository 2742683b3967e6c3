"""The webhook of one replica: its parts put together, for as long as the process lives."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from squall.hub.certificates import Certificates
from squall_operator.admission.desk import Desk
from squall_operator.admission.keeper import Keeper
from squall_operator.admission.server import serve_reviews

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from squall.kube.api import Kube
    from squall_operator.settings import Settings, WebhookSettings
    from squall_operator.telemetry import Telemetry


GOING_SECONDS: Final = 4.0
"""The webhook is served for so long after the word to terminate: until then not everybody who calls has heard that this pod goes."""


class Webhook:
    """Serves reviews, whether or not this process leads.

    Args:
        kube: The API server.
        settings: Of the installation; one without a webhook serves nothing.
        telemetry: Counts, and has the log.
    """

    def __init__(self, kube: Kube, settings: Settings, telemetry: Telemetry) -> None:
        self._kube = kube
        self._settings = settings
        self._telemetry = telemetry
        self._keeper: Keeper | None = None
        self._listens = settings.webhook is None

    @property
    def serves(self) -> bool:
        """Whether it can be called, if it is to be."""
        return self._listens and (self._keeper is None or self._keeper.announced)

    async def during(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work, and serve until a little after its end.

        Raises:
            UsageError: The files that were given hold no certificate that could be used.
            OSError: The address cannot be listened on.
        """
        given = self._settings.webhook
        if given is None:
            await work
            return
        serving, working = asyncio.create_task(self._run(given)), asyncio.create_task(work)
        try:
            await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            await working
            await asyncio.sleep(GOING_SECONDS)
        finally:
            for each in (serving, working):
                each.cancel()
            await asyncio.gather(serving, working, return_exceptions=True)

    async def _run(self, given: WebhookSettings) -> None:
        desk = Desk(self._kube, self._settings, time.monotonic)
        try:
            if given.files is not None:
                await self._serve(desk, given, given.files)
            else:
                with TemporaryDirectory(prefix="squall-webhook-") as folder:
                    await self._serve_own(desk, given, Path(folder) / "webhook.pem")
        finally:
            desk.close()

    async def _serve_own(self, desk: Desk, given: WebhookSettings, file: Path) -> None:
        keeper = self._keeper = Keeper(
            self._kube,
            given.namespace,
            given.configuration,
            given.host,
            file,
            wall=lambda: dt.datetime.now(dt.UTC),
            tell=self._telemetry.waiting,
        )
        keeping = asyncio.create_task(keeper.run())
        try:
            await keeper.wait()
            await self._serve(desk, given, (file, file))
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _serve(self, desk: Desk, given: WebhookSettings, files: tuple[Path, Path]) -> None:
        certificates = Certificates(*files, self._telemetry.certificate)
        web = await serve_reviews(desk, self._telemetry, given.address, certificates.context)
        self._listens = True
        try:
            await asyncio.Event().wait()
        finally:
            self._listens = False
            await web.cleanup()
