"""Which run a LoadTest asks for: the key that tells one run from the next, and the names that follow from it.

Applying the same LoadTest twice must not run it twice, and editing it during a run must. So a run has a key: a hash of what matters
to it. The run's id is derived from the key and the LoadTest's UID, so an operator that has forgotten everything finds the objects
of its run under the names that it would give them again.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

AGAIN: Final = "squall.dev/run"
"""The annotation whose change asks for another run of the same spec."""
DONE: Final = "squall.dev/done"
"""The annotation in which the operator notes the id of the run that is over, and its result. The status says the same, but whoever may
edit that must not thereby start a load."""
BESIDE: Final = frozenset({"suspend", "ttlSecondsAfterFinished", "historyLimit"})
"""Fields of the spec that say when a run may go and how long its traces stay, not what it is."""
_DIGITS: Final = 16
"""Of the hash within a run's id. A hub knows a run by its id alone, whatever namespace it is of, so nobody must find a spec or a
`squall.dev/run` whose run has the id of another's: that takes 2^64 tries."""
_LONGEST: Final = 38
"""Of the LoadTest's name within the run's: pods of an Indexed Job have host names of at most 63 characters, and `-<hash>-<index>` is
added."""


def run_key(spec: Mapping[str, Any], annotations: Mapping[str, str]) -> str:
    """The key of the run that a LoadTest asks for; 16 hexadecimal digits."""
    relevant = {name: value for name, value in spec.items() if name not in BESIDE}
    text = json.dumps([relevant, annotations.get(AGAIN, "")], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_id(name: str, uid: str, key: str) -> str:
    """The id of a run and the name of its objects: a DNS label that begins with the LoadTest's name."""
    digest = hashlib.sha256(f"{uid}/{key}".encode()).hexdigest()[:_DIGITS]
    stem = re.sub(r"[^a-z0-9-]", "-", name.lower())[:_LONGEST].strip("-")
    return f"{stem}-{digest}"
