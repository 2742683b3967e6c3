"""The API: what can be written in a manifest, and how a manifest is read.

The pydantic models are the one source of validation, of the CRDs, of the JSON schema for editors and of
the reference documentation.
"""

from squall.spec.loadtest import LoadTest, LoadTestSpec
from squall.spec.policy import LoadTestPolicy
from squall.spec.schedule import LoadTestSchedule

KINDS: dict[str, type[LoadTest | LoadTestSchedule | LoadTestPolicy]] = {
    "LoadTest": LoadTest,
    "LoadTestSchedule": LoadTestSchedule,
    "LoadTestPolicy": LoadTestPolicy,
}

__all__ = ["KINDS", "LoadTest", "LoadTestPolicy", "LoadTestSchedule", "LoadTestSpec"]
