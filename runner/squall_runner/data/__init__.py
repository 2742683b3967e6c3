"""Data feeders: rows of CSV and JSON lines files for iterations.

rows = open_rows(path, "csv")                                        # one per file, shared by the shards
feeder = Feeder("users", rows, order="unique", when_exhausted="stop", shard=2, shards=10)
env["data"]["users"] = feeder.next(vu)                               # at the start of an iteration
"""

from __future__ import annotations

from squall_runner.data.feeder import DataError, DataExhausted, Feeder, Order, WhenExhausted
from squall_runner.data.rows import Rows, RowsError, open_rows

__all__ = [
    "DataError",
    "DataExhausted",
    "Feeder",
    "Order",
    "Rows",
    "RowsError",
    "WhenExhausted",
    "open_rows",
]
