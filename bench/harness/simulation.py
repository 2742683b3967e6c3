"""Squall on a cluster of fake nodes, with simulated runners: a real API server and controllers, pods that run nothing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.hubside import heard, start_fleet
from harness.runjournal import RunJournal
from support.cluster.audit import Audit
from support.cluster.fakenodes import OPERATOR, running_fake_cluster
from support.cluster.operated import Installation, installation

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the bench has in hand.

    Attributes:
        squall: The operator and the hub.
        audit: The operator's calls to the API server.
    """

    squall: Installation
    audit: Audit
    folder: Path

    def load_tests(self) -> list[dict[str, Any]]:
        """All LoadTests as they are now."""
        return list(self.squall.kube.get(self.squall.path(""))["items"])

    def journal(self, run: str) -> RunJournal:
        """What the hub has written about a run."""
        return RunJournal(self.folder / "hub" / run / "journal.jsonl")

    def heard(self) -> list[dict[str, Any]]:
        """What the simulated runners have heard that were let go."""
        return heard(self.folder / "fleet.jsonl")


@contextmanager
def running_simulation(*, within: float = 0.0) -> Iterator[Simulation]:
    """Run all of it until the end of the block; the runners of a run come within some seconds."""
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as name:
        folder = Path(name)
        audit = Audit(folder, OPERATOR)
        with (
            running_fake_cluster(*audit.options) as (_, access),
            installation(access, folder) as squall,
        ):
            fleet = start_fleet(squall.hub_url, folder / "key", folder / "fleet.jsonl", within=within)
            try:
                yield Simulation(squall, audit, folder)
            finally:
                fleet.stop()
