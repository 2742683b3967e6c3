"""The journal of what a run has on a chain, in its results folder: written when a runner says that money is about to go out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squall.logs import events
from squall.report.evmjournal import JOURNAL, EvmJournal, write_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Tell = Callable[[str, str, Mapping[str, Any]], None]


def keeping_journal(tell: Tell, folder: Path, run: str, name: str) -> Tell:
    """What takes lines for a run's log, and besides writes the journal of its chain.

    Args:
        tell: Takes the lines.
        folder: The run's results.
        run: The run's id.
        name: The LoadTest's name.
    """

    def told(level: str, event: str, fields: Mapping[str, Any]) -> None:
        tell(level, event, fields)
        if event != events.CHAIN_JOURNAL:
            return
        try:
            journal = EvmJournal(
                run=run,
                name=name,
                chain_id=int(fields["chain_id"]),
                shards=int(fields["shards"]),
                count=int(fields["count"]),
                first_wallet=str(fields["first_wallet"]),
                funders=tuple(str(fields["funders"]).split()),
            )
            write_journal(folder / JOURNAL, journal)
        except (KeyError, TypeError, ValueError, OSError) as error:
            message = f"{folder / JOURNAL} cannot be written: {error}"
            tell("warning", "ChainJournalLost", {"message": message})

    return told
