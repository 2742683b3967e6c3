"""Keeps a manifest's tags from making more series than anybody can hold, or read.

One tag whose value is an identifier makes a series of every iteration. A plain cap would then refuse whatever comes
next, such as the series of another scenario, whose thresholds would see nothing. So what a series loses beyond the cap
is the tags of the manifest, those with many values first; scenario, stage, step and the like stay. Every value is
still counted, each scenario keeps its own figures, and only what no figure could show any more is merged.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from squall.metrics.names import TAGS

if TYPE_CHECKING:
    from squall.metrics.series import Tags

MANY_VALUES: Final = 100
"""A tag of a scenario with more values than this is the one to lose."""
ROOM: Final = 10
"""Series without tags of the manifest are bounded by the manifest. Should that be wrong, there is an end at this many caps."""

_SQUALLS: Final = frozenset(TAGS)
_LAST: Final = frozenset({"scenario", "error"})


class SeriesLimit:
    """Says under which tags a series is counted.

    Series with tags of the manifest are admitted as they are until there are `most`. Of later ones, tags with many
    values are dropped; and from twice as many on, all tags of the manifest.

    Args:
        most: How many series with tags of the manifest are admitted as they are.

    Attributes:
        cut: Tags of the manifest that were dropped from any series.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._admitted: set[tuple[str, Tags]] = set()
        self._plain: set[tuple[str, Tags]] = set()
        self._values: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        self.cut: set[str] = set()

    def admit(self, metric: str, tags: Tags) -> Tags:
        """The tags under which this series is counted: all of them, or fewer."""
        if (metric, tags) in self._admitted:
            return tags
        if all(name in _SQUALLS for name, _ in tags):
            return self._bare(metric, tags)
        if len(self._admitted) < self._most:
            return self._keep(metric, tags)
        scenario = dict(tags).get("scenario", "")
        few = tuple(
            tag for tag in tags if tag[0] in _SQUALLS or len(self._values[scenario, tag[0]]) <= MANY_VALUES
        )
        bare = tuple(tag for tag in tags if tag[0] in _SQUALLS)
        if few == bare:
            found = self._bare(metric, bare)
        elif (metric, few) in self._admitted or len(self._admitted) < 2 * self._most:
            found = self._keep(metric, few)
        else:
            found = self._bare(metric, bare)
        self.cut.update({name for name, _ in tags} - {name for name, _ in found})
        return found

    def _keep(self, metric: str, tags: Tags) -> Tags:
        self._admitted.add((metric, tags))
        scenario = dict(tags).get("scenario", "")
        for name, value in tags:
            values = self._values[scenario, name]
            if name not in _SQUALLS and len(values) <= MANY_VALUES:
                values.add(value)
        return tags

    def _bare(self, metric: str, tags: Tags) -> Tags:
        if (metric, tags) not in self._plain:
            if len(self._plain) >= ROOM * self._most:
                return tuple(sorted((*(tag for tag in tags if tag[0] in _LAST), ("overflow", "true"))))
            self._plain.add((metric, tags))
        return tags

    def warning(self) -> str:
        """What the user should know; empty while nothing was dropped."""
        if not self.cut:
            return ""
        one = len(self.cut) == 1
        return (
            f"too many different values of the {'tag' if one else 'tags'} {', '.join(sorted(self.cut))}: "
            f"values were counted without {'it' if one else 'them'}"
        )
