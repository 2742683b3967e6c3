"""What a process is given that fills, empties or looks at the wallets of a test, and what it tells while it does.

The process is a runner's code (`python -m squall_runner.evm`), since only runners speak with chains; the commands are `squall evm`. It gets
one line of JSON on standard input, keys and seed among it, and tells one event a line on standard output, with no secret in it:

    progress   done, all            wallets that are done, of how many
    wallet     index, address, balance, nonce           one of `wallets`, balances in wei as text
    funded     wallets, filled, given, spent, transactions
    swept      accounts, returned, transfers, spent, dust, dusty, left, unread, coming, untouched, failed
    note       level, fields        something went wrong and goes on
    error      reason, message, hint    nothing more comes
    end                             the last one
"""

from __future__ import annotations

from typing import Literal

import msgspec

from squall.hub.protocol import Assignment


class EvmTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        command: `fund`, `sweep` or `wallets`.
        assignment: The manifest with all that belongs to it; its run is that whose wallets are meant.
        count: How many wallets, from the first; None for all.
        of_run: Whether the run is one that was, rather than made up for this.
        first_wallet: The address that the first wallet must have; empty when nobody knows.
        funders: The addresses that the funders must have; likewise.
        chain_id: Of the chain; 0 when nobody knows.
    """

    command: Literal["fund", "sweep", "wallets"]
    assignment: Assignment
    count: int | None = None
    of_run: bool = False
    first_wallet: str = ""
    funders: tuple[str, ...] = ()
    chain_id: int = 0
