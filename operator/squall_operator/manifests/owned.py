"""What all objects of a run have in common: names, labels, and the LoadTest that owns them.

Ownership is what makes deletion safe: when a LoadTest goes, Kubernetes itself takes away everything that belongs to it, whether or
not an operator is there to see it. So no finalizer is needed, and nothing can hold up the end of a namespace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from squall.spec.base import API_VERSION

MANAGED: Final = "app.kubernetes.io/managed-by"
PRODUCT: Final = "squall"
LOAD_TEST: Final = "squall.dev/loadtest"
RUN: Final = "squall.dev/run"
REPORT: Final = "squall.dev/report"
_LONGEST_VALUE: Final = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The LoadTest that a run belongs to."""

    namespace: str
    name: str
    uid: str

    def labels(self, run: str) -> dict[str, str]:
        """The labels of every object of a run. A name that is longer than a label may be is cut."""
        name = re.sub(r"[^A-Za-z0-9]+$", "", self.name[:_LONGEST_VALUE])
        return {"app.kubernetes.io/name": PRODUCT, MANAGED: PRODUCT, LOAD_TEST: name, RUN: run}

    def metadata(self, run: str, name: str) -> dict[str, Any]:
        """The metadata of an object of a run."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(run),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "LoadTest",
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        }
