"""How a whole number of things is divided over shards, exactly and without anybody coordinating it.

Whoever splits load by multiplying with 1/N loses or invents some of it: a third of ten VUs is not a
number of VUs. Here the things (VUs, arrivals, iterations, data rows) are numbered 0, 1, 2, ... over the
whole fleet, and thing `i` belongs to shard `i % count`. Every shard finds its own part from its own place
alone; together they cover each number exactly once, whatever the total is and however it changes in time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?")


@dataclass(frozen=True, slots=True)
class Share:
    """The place `index` (from 0) of a shard among the `count` shards that carry the same work.

    Raises:
        ValueError: `count` is below 1 or `index` is outside `0..count-1`.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.index < self.count:
            raise ValueError(f"no place {self.index} among {self.count} shards")

    def of(self, total: int) -> int:
        """How many of the numbers `0..total-1` are this shard's; over all shards the sum is `total`."""
        return max(0, (total - self.index + self.count - 1) // self.count)

    def owns(self, number: int) -> bool:
        """Whether the thing with this number belongs to this shard."""
        return number % self.count == self.index

    def nth(self, k: int) -> int:
        """The number of this shard's k-th thing (k from 0): the inverse of `of`."""
        return self.index + k * self.count

    def first_from(self, number: int) -> int:
        """The smallest number at or above `number` that is this shard's."""
        return number + (self.index - number) % self.count

    def of_rounds(self, total: int, width: int) -> int:
        """How many of `total` things are this shard's if they are dealt in rounds to `width` owners.

        Thing `i` goes to owner `i % width`, and owner `j` lives on the shard that owns `j`. Iterations are
        dealt this way to VUs, so a shard gets iterations in proportion to its VUs, and none without a VU.
        """
        rounds, rest = divmod(total, width)
        return rounds * self.of(width) + self.of(rest)


WHOLE = Share(0, 1)
"""The share of a run that has a single shard: everything."""


def parse_shard_ranges(text: str) -> tuple[int, ...]:
    """Read shard numbers as people write them, `"1-10,15"`, into sorted indices that start at 0.

    Args:
        text: Numbers from 1 and inclusive ranges, separated by commas.

    Raises:
        ValueError: The text is not such a list; the message says which part and why.
    """
    indices: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"`{part.strip()}` is not a shard number or a range such as 1-10")
        first = int(match[1])
        last = int(match[2] or first)
        if first < 1:
            raise ValueError(f"`{part.strip()}`: shards are numbered from 1")
        if last < first:
            raise ValueError(f"`{part.strip()}` runs backwards")
        indices.update(range(first - 1, last))
    return tuple(sorted(indices))
