"""What a hub has written about a run, followed while it writes: when the load began, when slots were judged, why it was stopped."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_SECONDS = 0.005


class RunJournal:
    """Follows the journal of one run; times are Unix times.

    Attributes:
        ready: When all runners were ready; 0 before.
        start: When the load has begun; 0 before.
        lags: By slot: how long after its end it was seen to be judged.
        breach: The end of the slot for which the run was stopped; 0 without one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.ready = self.start = self.breach = 0.0
        self.lags: dict[int, float] = {}

    def look(self) -> RunJournal:
        """Take in what is new."""
        now = time.time()
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return self
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line), now)
        return self

    def _take(self, record: dict[str, Any], now: float) -> None:
        match record["kind"]:
            case "starting":
                self.ready = record["at"] / 1e9
            case "start":
                self.start = record["at"] / 1e9
            case "judged":
                self.lags[record["slot"]] = now - (self.start + record["slot"] + 1)
            case "stop" if record["why"]["slot"] >= 0:
                self.breach = self.start + record["why"]["slot"] + 1

    def follow(self, *, slots: int, seconds: float) -> None:
        """Look again and again until so many slots have been judged.

        Raises:
            SystemExit: They were not, within a time.
        """
        deadline = time.monotonic() + seconds
        while len(self.look().lags) < slots:
            if time.monotonic() > deadline:
                raise SystemExit(f"the hub has judged {len(self.lags)} of {slots} slots")
            time.sleep(_LOOK_SECONDS)
