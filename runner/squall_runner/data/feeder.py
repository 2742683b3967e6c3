"""Which row an iteration gets.

Each iteration takes one row, whichever VU of the shard runs it. Shards must not need to talk for that: shard `k` of
`n` that use the data owns the rows k, k+n, k+2n, ..., so the shares are disjoint, complete, and as even as can be for any `n`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from squall.errors import SquallError

if TYPE_CHECKING:
    from squall_runner.data.rows import Rows

Order = Literal["sequential", "random", "unique"]
WhenExhausted = Literal["recycle", "stop", "fail"]

_MASK = (1 << 64) - 1


class DataExhausted(Exception):  # noqa: N818 - the planned end of the data, not a mistake
    """A shard has used all its rows, and the manifest says to stop: its iterations end here.

    Attributes:
        data: The name of the data.
        rows: How many rows all shards together have.
    """

    def __init__(self, data: str, rows: int) -> None:
        super().__init__(f"data {data}: all rows are used")
        self.data = data
        self.rows = rows


class DataError(SquallError):
    """A shard has used all its rows, and the manifest says that the run fails then."""


class Feeder:
    """Hands out the rows of one data source to one shard.

    Args:
        name: The name under `data`, for messages.
        rows: The file's rows; shared by all shards of the process.
        order: `sequential`: the shard's rows in the order of the file; `unique`: the same, and no row of the file
            is used twice; `random`: any row of the whole file, drawn by a generator that depends on the seed and
            the VU only, so that a VU sees the same rows however the load is spread.
        when_exhausted: After the shard's last row; None for the default (`stop` when unique, else `recycle`).
            Random rows never end.
        shard: This shard's place among those whose iterations use the data, from 0.
        shards: How many these are.
        seed: Of random rows.
    """

    def __init__(
        self,
        name: str,
        rows: Rows,
        *,
        order: Order = "sequential",
        when_exhausted: WhenExhausted | None = None,
        shard: int = 0,
        shards: int = 1,
        seed: int = 0,
    ) -> None:
        if order == "unique" and when_exhausted == "recycle":
            raise ValueError("unique rows cannot be recycled")
        self.name = name
        self._rows = rows
        self._random = order == "random"
        self._when_exhausted = when_exhausted or ("stop" if order == "unique" else "recycle")
        self._shard = shard
        self._shards = shards
        self._seed = _mixed(seed)
        self._share = len(range(shard, len(rows), shards))
        self._taken = 0
        self._draws: dict[int, int] = {}

    def next(self, vu: int) -> dict[str, Any]:
        """The next row, for an iteration of VU `vu`.

        Raises:
            DataExhausted: When the shard's rows are used up and `when_exhausted` is `stop`.
            DataError: The same for `fail`.
            RowsError: When the row is malformed.
        """
        if self._random:
            return self._rows[self._draw(vu)]
        taken = self._taken
        if taken >= self._share:
            self._exhausted()
            # A shard without rows of its own, when rows are fewer than shards, repeats somebody else's.
            taken = taken % self._share if self._share else 0
        self._taken += 1
        return self._rows[(self._shard + taken * self._shards) % len(self._rows)]

    def _draw(self, vu: int) -> int:
        count = self._draws.get(vu, 0)
        self._draws[vu] = count + 1
        return _mixed(_mixed(self._seed ^ vu) + count) % len(self._rows)

    def _exhausted(self) -> None:
        if self._when_exhausted == "stop":
            raise DataExhausted(self.name, len(self._rows))
        if self._when_exhausted == "fail":
            message = f"data {self.name}: a shard has used all its {self._share} rows of {self._rows.path}"
            raise DataError(message, "add rows, use fewer iterations, or set whenExhausted: recycle or stop")


def _mixed(value: int) -> int:
    """The 64-bit finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring inputs give unrelated outputs."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
