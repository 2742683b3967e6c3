"""LoadTests that a schedule makes: what is written into them, and what is read from them again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from squall.spec.base import API_VERSION
from squall_operator.manifests.owned import MANAGED, PRODUCT
from squall_operator.schedules import Made
from squall_operator.times import stamp, unix_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from squall_operator.schedules import GiveWay, Make

SCHEDULE: Final = "squall.dev/schedule"
"""The label that names the schedule."""
SCHEDULED_AT: Final = "squall.dev/scheduled-at"
"""The annotation that says which time a LoadTest is for."""
REPLACED_BY: Final = "squall.dev/replaced-by"
"""The annotation that says which LoadTest this one gave way to."""
_LONGEST_LABEL: Final = 63


def load_test(schedule: Mapping[str, Any], make: Make) -> dict[str, Any]:
    """The LoadTest for a time; it belongs to its schedule, and goes with it."""
    metadata, template = schedule["metadata"], schedule["spec"]["loadTestTemplate"]
    written = template.get("metadata") or {}
    label = re.sub(r"[^A-Za-z0-9]+$", "", metadata["name"][:_LONGEST_LABEL])
    return {
        "apiVersion": API_VERSION,
        "kind": "LoadTest",
        "metadata": {
            "name": make.name,
            "namespace": metadata["namespace"],
            "labels": {**(written.get("labels") or {}), MANAGED: PRODUCT, SCHEDULE: label},
            "annotations": {**(written.get("annotations") or {}), SCHEDULED_AT: stamp(make.at)},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "LoadTestSchedule",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": template["spec"],
    }


def giving_way(action: GiveWay) -> dict[str, Any]:
    """What is changed in a LoadTest that gives way to another."""
    return {"metadata": {"annotations": {REPLACED_BY: action.to}}, "spec": {"suspend": True}}


def schedule_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Name and UID of the schedule that a LoadTest belongs to; None for one that somebody has made."""
    for owner in body["metadata"].get("ownerReferences", ()):
        if owner["kind"] == "LoadTestSchedule":
            return str(owner["name"]), str(owner["uid"])
    return None


def made(body: Mapping[str, Any]) -> Made:
    """A LoadTest of a schedule as it is now."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    try:
        at = unix_of(annotations.get(SCHEDULED_AT, ""))
    except ValueError:
        at = 0.0
    return Made(
        name=metadata["name"],
        at=at or unix_of(metadata.get("creationTimestamp", "")),
        phase=str((body.get("status") or {}).get("phase") or ""),
        replaced_by=annotations.get(REPLACED_BY, ""),
        deleting="deletionTimestamp" in metadata,
    )
