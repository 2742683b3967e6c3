"""`squall get`: LoadTests in a table, the most telling figures of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from squall.metrics import format as fmt
from squall.remote.seen import status_of
from squall.report.console import RESULT_STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def table(bodies: Iterable[Mapping[str, Any]], now: float, *, namespaces: bool = False) -> Table:
    """A row for each LoadTest.

    Args:
        bodies: As the API server has them.
        now: Unix time, for their age.
        namespaces: Whether they come from several namespaces.
    """
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    columns = ("NAME", "PHASE", "VERDICT", "SHARDS", "REQ/S", "P95", "FAILED", "AGE")
    for column in ("NAMESPACE", *columns) if namespaces else columns:
        found.add_column(column, overflow="fold")
    for body in bodies:
        metadata = body["metadata"]
        cells = [Text(str(metadata["name"])), *_cells(body), Text(_age(metadata, now))]
        found.add_row(*([Text(str(metadata["namespace"])), *cells] if namespaces else cells))
    return found


def _cells(body: Mapping[str, Any]) -> list[Text]:
    status = status_of(body)
    verdict, live, shards = status.verdict, status.live, status.shards
    said = " ".join(filter(None, (verdict.result, verdict.reason))) if verdict else ""
    phase = status.phase or "-"
    if status.queue_position is not None:
        phase = f"{phase} ({status.queue_position})"
    return [
        Text(phase),
        Text(said or "-", RESULT_STYLE.get(verdict.result, "") if verdict else ""),
        Text(f"{shards.running}/{shards.desired}" if shards.desired else "-"),
        Text(fmt.number(live.requests_per_second) if live else "-"),
        Text(fmt.quantity(live.p95_seconds, "s") if live else "-"),
        Text(fmt.share(live.error_rate) if live else "-"),
    ]


def _age(metadata: Mapping[str, Any], now: float) -> str:
    made = datetime.fromisoformat(str(metadata["creationTimestamp"])).astimezone(UTC)
    return fmt.clock(max(0.0, now - made.timestamp()))
