"""Every call that a user has made to the API server, by the server's own account: its audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from squall_operator.kinds import WATCHED

_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {{level: Metadata, users: [{user}]}}
- {{level: None}}
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        at: When the server received it, Unix time.
        what: Verb and resource, such as `create jobs` or `patch loadtests/status`.
        name: Of the object; empty for a collection and for one that is being made.
        uri: What was asked for.
    """

    at: float
    what: str
    name: str
    uri: str

    @property
    def belongs_to_watching(self) -> bool:
        """Whether this is a watch, or a page of the list that a watch begins with or is checked by."""
        verb, _, resource = self.what.partition(" ")
        return verb == "watch" or (verb == "list" and resource in WATCHED and "limit=" in self.uri)


class Audit:
    """The audit log of an API server, which has to be started with `options`.

    Args:
        folder: For the policy and the log.
        user: Whose calls are kept.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._log = folder / "audit.jsonl"
        policy = folder / "audit-policy.yaml"
        policy.write_text(_POLICY.format(user=user), encoding="utf-8")
        self.options = (f"--audit-policy-file={policy}", f"--audit-log-path={self._log}")

    def calls(self, since: float = 0.0, until: float = float("inf")) -> list[Call]:
        """The calls within a time, in order; a watch is one call."""
        found = {event["auditID"]: _call(event) for event in self._events()}
        return sorted((call for call in found.values() if since <= call.at < until), key=lambda call: call.at)

    def counts(self, since: float = 0.0, until: float = float("inf")) -> Counter[str]:
        """How many calls of each sort there were, without those that come whatever LoadTests there are.

        These are the watches, the lists that they begin with and are checked by, the election of a leader, and questions about rights.
        """
        calls = [call for call in self.calls(since, until) if not call.belongs_to_watching]
        aside = (" leases", " selfsubjectaccessreviews")
        return Counter(call.what for call in calls if not any(each in call.what for each in aside))

    def _events(self) -> Iterator[dict[str, Any]]:
        if self._log.exists():
            for line in self._log.read_text(encoding="utf-8").splitlines(keepends=True):
                if line.endswith("\n"):
                    yield json.loads(line)


def _call(event: dict[str, Any]) -> Call:
    about = event.get("objectRef", {})
    part = f"/{about['subresource']}" if "subresource" in about else ""
    what = f"{event['verb']} {about.get('resource', event['requestURI'])}{part}"
    at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
    return Call(at=at, what=what, name=about.get("name", ""), uri=event["requestURI"])
