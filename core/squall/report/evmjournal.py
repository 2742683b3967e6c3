"""What has to be known to find a run's money again: written before any of it is given away, read by `squall evm sweep`.

No key and no seed is in it. They come from where the run had them, and the address of the first wallet shows whether they are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from squall.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = "squall.dev/evm-journal/v1"
JOURNAL: Final = "evm.json"
"""Of the file in a results folder."""
_MOST_BYTES: Final = 1 << 20


class EvmJournal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run has on a chain.

    Attributes:
        schema: Of this file.
        run: The run's id.
        name: The LoadTest's name.
        chain_id: The chain's.
        shards: Of the run.
        count: Its wallets.
        first_wallet: The address of the first wallet.
        funders: The addresses of the funders.
    """

    schema: str = SCHEMA
    run: str
    name: str
    chain_id: int
    shards: int
    count: int
    first_wallet: str
    funders: tuple[str, ...]


def write_journal(path: Path, journal: EvmJournal) -> None:
    """Write it so that it is there whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(journal)) + b"\n")
    temporary.replace(path)


def read_journal(path: Path) -> EvmJournal:
    """Read it.

    Raises:
        UsageError: It is not there, or is none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES)
        journal = msgspec.json.decode(data, type=EvmJournal)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"{path} is no journal of a run: {error}") from error
    if journal.schema != SCHEMA:
        raise UsageError(f"{path} has schema {journal.schema!r}; this version reads {SCHEMA!r}")
    return journal
